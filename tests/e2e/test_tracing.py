"""Tracing: spans reach collectors of three kinds, and a collector that is missing costs the spans alone."""

import concurrent.futures
import json

import grpc
import pytest

from harness import NS, Upstream, eventually, free_port, gateway, ref, request, route, to, upstream, vs

OTLP = "opentelemetry.proto.collector.trace.v1.TraceService"


class Otlp:
    """A collector that keeps the bytes of what is exported to it."""

    def __init__(self):
        self.got = []
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
        take = grpc.unary_unary_rpc_method_handler(self.export)
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(OTLP, {"Export": take})])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def export(self, body, _):
        self.got.append(body)
        return b""


class Case:
    def __init__(self, site, name):
        self.site, self.name, self.port = site, name, free_port()
        site.upstream(name)

    def serve(self, tracing, options=None, destination=None):
        http = {"virtualServices": [ref(self.name)],
                "options": {"httpConnectionManagerSettings": {"tracing": tracing}}}
        self.site.write(f"{self.name}.yaml", gateway(self.name, self.port, http_=http),
                        vs(self.name, f"{self.name}.test", [route("/", to(destination or self.name), options)]))
        return self

    def accepted(self):
        o = self.site.wait_state("Gateway", self.name, "Accepted")
        assert not o["findings"], o
        return self

    def ask(self, **more):
        return request(self.port, "/traced", host=f"{self.name}.test", **more)

    def until(self, received):
        """Asks until the collector has got something: Envoy sends spans five at a time, or now and then."""
        eventually(lambda: self.ask().status == 200)

        def there():
            assert self.ask(headers=[("x-tenant", "acme")]).status == 200
            return received()
        return eventually(there, timeout=30)


@pytest.fixture
def case(shared, request):
    return Case(shared, request.node.name.removeprefix("test_").replace("_", "-"))


def collector_ref(name):
    return {"collectorUpstreamRef": {"name": name, "namespace": NS}}


def test_zipkin(case):
    """zipkinConfig with tags; the route names its spans."""
    collector = Upstream("zipkin")
    case.site.write("zipkin-collector.yaml", upstream("zipkin-collector", collector.port))
    case.serve({"zipkinConfig": {**collector_ref("zipkin-collector"), "collectorEndpoint": "/api/v2/spans"},
                "requestHeadersForTags": ["x-tenant"], "literalsForTags": [{"tag": "stage", "value": "test"}],
                "environmentVariablesForTags": [{"tag": "zone", "name": "SOLDER_NO_SUCH", "defaultValue": "none"}]},
               {"tracing": {"routeDescriptor": "pets"}}).accepted()
    case.until(lambda: any("x-tenant" in s["body"] for s in collector.seen))
    seen = collector.seen[0]
    assert (seen["method"], seen["path"]) == ("POST", "/api/v2/spans")
    span = next(s for seen in collector.seen for s in json.loads(seen["body"]) if s["tags"].get("x-tenant"))
    assert span["name"] == "pets"
    assert {k: span["tags"][k] for k in ("x-tenant", "stage", "zone")} == \
        {"x-tenant": "acme", "stage": "test", "zone": "none"}


def test_open_telemetry(case):
    """openTelemetryConfig: the service is called like the gateway."""
    collector = Otlp()
    case.site.write("otlp-collector.yaml", upstream("otlp-collector", collector.port, useHttp2=True))
    case.serve({"openTelemetryConfig": collector_ref("otlp-collector")}, {"tracing": {"routeDescriptor": "pets"}})
    case.accepted()
    case.until(lambda: collector.got)
    assert case.name.encode() in collector.got[0] and b"pets" in collector.got[0]


def test_datadog(case):
    """datadogConfig by the name of a cluster that is an Upstream's."""
    collector = Upstream("datadog")
    case.site.write("datadog-agent.yaml", upstream("datadog-agent", collector.port))
    case.serve({"datadogConfig": {"clusterName": f"datadog-agent_{NS}", "serviceName": "shop"}}).accepted()
    case.until(lambda: [s for s in collector.seen if s["path"].endswith("/traces") and "shop" in s["body"]])


def test_spans_of_upstreams_and_their_metadata(case):
    """spawnUpstreamSpan makes a span of its own for each request to an upstream; metadataForTags."""
    collector = Upstream("zipkin")
    case.site.write("spawn-collector.yaml", upstream("spawn-collector", collector.port))
    case.site.write("spawn-labelled.yaml", upstream("spawn-labelled", {
        "addr": "127.0.0.1", "port": collector.port, "metadata": {"envoy.lb": {"rack": "r7"}}}))
    case.serve({"zipkinConfig": {**collector_ref("spawn-collector"), "collectorEndpoint": "/api/v2/spans"},
                "spawnUpstreamSpan": True,
                "metadataForTags": [
                    {"tag": "rack", "kind": "ENDPOINT", "value": {"namespace": "envoy.lb", "key": "rack"}},
                    {"tag": "user", "value": {"namespace": "a", "key": "b.c"}, "defaultValue": "nobody"}]},
               destination="spawn-labelled").accepted()

    def spans():
        return [s for seen in collector.seen if seen["path"] == "/api/v2/spans" for s in json.loads(seen["body"])]
    case.until(lambda: any(s["kind"] == "CLIENT" for s in spans()))
    server = {s["id"]: s for s in spans() if s["kind"] == "SERVER"}
    client = next(s for s in spans() if s["kind"] == "CLIENT" and s.get("parentId") in server)
    assert client["tags"]["rack"] == "r7"
    assert server[client["parentId"]]["tags"]["user"] == "nobody"


def test_zipkin_in_protobuf(case):
    """collectorEndpointVersion HTTP_PROTO."""
    collector = Upstream("zipkin")
    case.site.write("proto-collector.yaml", upstream("proto-collector", collector.port))
    case.serve({"zipkinConfig": {**collector_ref("proto-collector"), "collectorEndpoint": "/api/v2/spans",
                                 "collectorEndpointVersion": "HTTP_PROTO"}}).accepted()
    case.until(lambda: collector.seen)
    assert collector.seen[0]["headers"]["content-type"] == ["application/x-protobuf"]


def listeners_changed(site):
    """How many times this Envoy changed a listener that it had."""
    got = site.envoy_admin("/stats?format=json&filter=^listener_manager[.]listener_(modified|in_place_updated)$").json
    return sum(s["value"] for s in got["stats"])


def test_collector_comes_later(case):
    """A missing collector is an error of the gateway, which serves and loses spans, and heals when it comes. The
    listener stays, and with it the connections of clients, while the collector comes and goes."""
    collector = Upstream("late")
    case.serve({"zipkinConfig": {**collector_ref("late-collector"), "collectorEndpoint": "/api/v2/spans"}})
    case.site.wait_state("Gateway", case.name, "Rejected", code="SLD0201")
    eventually(lambda: case.ask().status == 200)
    before = listeners_changed(case.site)
    case.site.write("late-collector.yaml", upstream("late-collector", collector.port))
    case.accepted()
    case.until(lambda: collector.seen)
    case.site.remove("late-collector.yaml")
    case.site.wait_state("Gateway", case.name, "Rejected", code="SLD0201")
    case.site.settled()
    assert case.ask().status == 200
    assert listeners_changed(case.site) == before


def test_a_collector_that_envoy_refuses(case):
    """The gateway is served although Envoy does not take the cluster of its collector, and sends spans when it does."""
    collector = Upstream("refused")
    health = [{"timeout": "1s", "interval": "1s", "unhealthyThreshold": 1, "healthyThreshold": 1,
               "tcpHealthCheck": {}, "eventLogPath": "/no/such/folder/log"}]
    case.site.write("refused-collector.yaml", upstream("refused-collector", collector.port, healthChecks=health))
    case.serve({"zipkinConfig": {**collector_ref("refused-collector"), "collectorEndpoint": "/api/v2/spans"}})
    case.site.wait_state("Upstream", "refused-collector", "Rejected", code="SLD0802")
    o = case.site.wait_state("Gateway", case.name, "Rejected", code="SLD0201")
    assert [f["code"] for f in o["findings"]] == ["SLD0201"], o
    eventually(lambda: case.ask().status == 200)
    case.site.write("refused-collector.yaml", upstream("refused-collector", collector.port))
    case.accepted()
    case.until(lambda: collector.seen)


def test_a_cluster_that_envoy_does_not_know(case):
    """clusterName that neither the bootstrap nor an Upstream has: Envoy's words are told, and the rest goes on."""
    collector = Upstream("unknown")
    case.serve({"datadogConfig": {"clusterName": "nobody"}})
    o = case.site.wait_state("Gateway", case.name, "Rejected", code="SLD0802")
    assert "unknown cluster 'nobody'" in o["findings"][0]["message"], o
    case.site.write("unknown-collector.yaml", upstream("unknown-collector", collector.port))
    case.serve({"zipkinConfig": {**collector_ref("unknown-collector"), "collectorEndpoint": "/api/v2/spans"}})
    case.accepted()
    case.until(lambda: collector.seen)


def test_share_of_a_route(case):
    """tracePercentages of a route win over the listener's: none of its requests is traced."""
    collector = Upstream("share")
    case.site.write("share-collector.yaml", upstream("share-collector", collector.port))
    none = {"clientSamplePercentage": 0, "randomSamplePercentage": 0, "overallSamplePercentage": 0}
    http = {"virtualServices": [ref(case.name)], "options": {"httpConnectionManagerSettings": {"tracing": {
        "zipkinConfig": {**collector_ref("share-collector"), "collectorEndpoint": "/api/v2/spans"}}}}}
    case.site.write(f"{case.name}.yaml", gateway(case.name, case.port, http_=http),
                    vs(case.name, f"{case.name}.test", [
                        route("/quiet", to(case.name), {"tracing": {"routeDescriptor": "quiet",
                                                                   "tracePercentages": none}}),
                        route("/", to(case.name), {"tracing": {"routeDescriptor": "loud"}})]))
    case.accepted()

    def quiet():
        return request(case.port, "/quiet", host=f"{case.name}.test").status == 200
    eventually(quiet)
    assert all(quiet() for _ in range(20))
    case.until(lambda: collector.seen)
    names = {s["name"] for seen in collector.seen for s in json.loads(seen["body"])}
    assert names == {"loud"}
