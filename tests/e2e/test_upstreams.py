"""Upstreams: kinds of hosts, TLS, health, limits; and TCP gateways, as the real Envoy treats them."""

import re

import pytest

import pki
from harness import (NS, Poller, Raw, TcpEcho, doc, eventually, free_port, ref, route, tls_secret, to,
                     upstream, vs)


@pytest.fixture
def case(shared, request):
    c = Case(shared, re.sub("[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_")).strip("-"))
    yield c
    for t in c.closing:
        t.close()


class Case:
    """A virtual service whose only route leads to an upstream of the test's own name."""

    def __init__(self, site, name):
        self.site, self.name, self.closing = site, name[:50], []

    def up(self, name="a", **more):
        return self.site.upstream(f"{self.name}-{name}", publish=False, **more)

    def serve(self, *hosts, docs=(), **spec):
        self.site.write(f"{self.name}.yaml", upstream(self.name, *hosts, **spec),
                        vs(self.name, f"{self.name}.test", [route("/", to(self.name))]), *docs)
        self.site.settled()
        return self

    def accepted(self):
        o = self.site.wait_state("Upstream", self.name, "Accepted")
        assert not o["findings"], o

    def ask(self, path="/", **more):
        return self.site.ask(path, host=f"{self.name}.test", **more)

    def hosts(self):
        """Envoy's own view of the cluster's hosts: address -> words."""
        out = {}
        for line in self.site.envoy_admin("/clusters").text.splitlines():
            part = line.split("::")
            if part[0] == f"{self.name}_{NS}" and len(part) == 4:
                out.setdefault(part[1], {})[part[2]] = part[3]
        return out


def test_unix_pipe(case):
    """Upstream: unix pipe."""
    path = case.site.dir / "up.sock"
    case.site.upstream(f"{case.name}-s", publish=False, path=path)
    case.site.write(f"{case.name}.yaml", doc("Upstream", case.name, {"pipe": {"path": str(path)}}),
                    vs(case.name, f"{case.name}.test", [route("/", to(case.name))]))
    assert eventually(lambda: (a := case.ask()).status == 200 and a).json["name"] == f"{case.name}-s"
    case.accepted()


def test_dns_host(case):
    """Upstream: static with DNS hosts (3.9: STRICT_DNS)."""
    up = case.up()
    case.serve({"addr": "localhost", "port": up.port})
    eventually(lambda: case.ask().status == 200)
    case.accepted()
    assert case.site.xds("cds")[f"{case.name}_{NS}"]["body"]["type"] == "STRICT_DNS"


def test_dns_host_that_does_not_exist_disturbs_nobody(case):
    """Clusters with DNS: the CDS ACK decides (xDS push order); a name that nobody knows is 503."""
    case.serve({"addr": "no-such-host.invalid", "port": 80})
    assert case.ask().status == 503
    case.site.settled()


def test_hosts_change_one_assignment_only(case):
    """Endpoint changes never touch anything but one ClusterLoadAssignment (design 5)."""
    a, b = case.up("a"), case.up("b")
    case.serve(a.port)
    assert case.ask().json["name"] == a.name

    def versions():
        return {(t, n): r["version"] for t in ("lds", "rds", "cds", "eds") for n, r in case.site.xds(t).items()}
    before = versions()
    case.site.write(f"{case.name}.yaml", upstream(case.name, b.port),
                    vs(case.name, f"{case.name}.test", [route("/", to(case.name))]))
    eventually(lambda: case.ask().json["name"] == b.name)
    after = versions()
    assert {k for k in after if after[k] != before.get(k)} == {("eds", f"{case.name}_{NS}")}


def test_http2(case):
    """useHttp2: an upstream that does not speak it fails, one line away."""
    up = case.up()
    case.serve(up.port, useHttp2=True)
    assert case.ask().status in (502, 503)
    case.serve(up.port)
    eventually(lambda: case.ask().status == 200)


def test_connection_config(case):
    """connectionConfig: maxRequestsPerConnection, connectTimeout and the rest are Envoy's fields."""
    up = case.up()
    case.serve(up.port, connectionConfig={
        "maxRequestsPerConnection": 1, "connectTimeout": "1.5s", "tcpKeepalive": {"keepaliveProbes": 3},
        "perConnectionBufferLimitBytes": 32768, "commonHttpProtocolOptions": {"idleTimeout": "9s"}})
    case.accepted()
    before = up.connections
    for _ in range(4):
        assert case.ask().status == 200
    assert up.connections - before == 4
    body = case.site.xds("cds")[f"{case.name}_{NS}"]["body"]
    assert body["connectTimeout"] == "1.5s" and body["perConnectionBufferLimitBytes"] == 32768


def test_circuit_breakers(case):
    """circuitBreakers: above a limit 503, with Envoy's word for it."""
    up = case.up()
    case.serve(up.port, circuitBreakers={"maxPendingRequests": 0, "maxConnections": 5, "maxRequests": 5,
                                         "maxRetries": 1})
    case.accepted()
    a = case.ask()
    assert a.status == 503 and a.headers["x-envoy-overloaded"] == "true"
    limits = case.site.envoy_admin("/clusters").text
    assert f"{case.name}_{NS}::default_priority::max_connections::5" in limits
    case.serve(up.port, circuitBreakers={"maxPendingRequests": 10})
    eventually(lambda: case.ask().status == 200)


def test_health_checks(case):
    """healthChecks: requests avoid an unhealthy host, and come back to it."""
    good, bad = case.up("good"), case.up("bad")
    case.serve(good.port, bad.port, healthChecks=[{
        "timeout": "1s", "interval": "0.1s", "unhealthyThreshold": 1, "healthyThreshold": 1,
        "noTrafficInterval": "0.1s", "unhealthyInterval": "0.1s",
        "httpHealthCheck": {"path": "/health", "host": "hc"}}])
    eventually(lambda: {case.ask().json["name"] for _ in range(10)} == {good.name, bad.name})
    assert [s for s in good.seen if s["path"] == "/health"][0]["headers"]["host"] == ["hc"]
    bad.status = 500
    eventually(lambda: {case.ask().json["name"] for _ in range(10)} == {good.name})
    bad.status = 200
    eventually(lambda: {case.ask().json["name"] for _ in range(10)} == {good.name, bad.name})


def test_tcp_health_check(case):
    """healthChecks: tcpHealthCheck."""
    up = case.up()
    case.serve(up.port, {"addr": "127.0.0.1", "port": free_port()}, healthChecks=[{
        "timeout": "1s", "interval": "0.1s", "unhealthyThreshold": 1, "healthyThreshold": 1,
        "noTrafficInterval": "0.1s", "tcpHealthCheck": {}}])
    eventually(lambda: all(case.ask().status == 200 for _ in range(10)))
    case.accepted()


def test_outlier_detection(case):
    """outlierDetection: a host that fails is left out."""
    good, bad = case.up("good"), case.up("bad")
    bad.status = 500
    case.serve(good.port, bad.port, outlierDetection={
        "interval": "0.1s", "consecutive5xx": 3, "baseEjectionTime": "600s", "maxEjectionPercent": 50,
        "enforcingConsecutive5xx": 100})
    case.accepted()
    eventually(lambda: all(case.ask().status == 200 for _ in range(10)))


# ---- TLS to the upstream ----

@pytest.fixture(scope="module")
def ca():
    return pki.Authority()


def test_tls_to_the_upstream(case, ca):
    """TLS to the upstream with the root from a secret, SNI, SAN check; a certificate of another
    authority or name is 503."""
    cert, key = ca.issue("up.test")
    up = case.up(tls=pki.server(case.site.dir, cert, key))
    root = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": case.name, "namespace": NS}, "stringData": {"ca.crt": ca.pem}}
    ssl = {"secretRef": ref(case.name), "sni": "up.test", "verifySubjectAltName": ["up.test"]}
    case.serve(up.port, docs=[root], sslConfig=ssl)
    a = eventually(lambda: (a := case.ask()).status == 200 and a)
    assert a.json["peer"]["version"].startswith("TLS")
    case.accepted()
    case.serve(up.port, docs=[root], sslConfig={**ssl, "verifySubjectAltName": ["other.test"]})
    eventually(lambda: case.ask().status == 503)
    case.serve(up.port, docs=[{**root, "stringData": {"ca.crt": pki.Authority("another").pem}}], sslConfig=ssl)
    eventually(lambda: case.ask().status == 503)


def test_mutual_tls_to_the_upstream(case, ca):
    """Mutual TLS to the upstream; the client certificate is rotated by SDS, without a cluster change."""
    cert, key = ca.issue("up.test")
    up = case.up(tls=pki.server(case.site.dir, cert, key, ca.pem))
    ssl = {"secretRef": ref(case.name), "sni": "up.test"}
    case.serve(up.port, docs=[tls_secret(case.name, *ca.issue("client-one"), ca=ca.pem)], sslConfig=ssl)
    assert eventually(lambda: (a := case.ask()).status == 200 and a).json["peer"]["cn"] == "client-one"
    before = case.site.xds("cds")[f"{case.name}_{NS}"]["version"]
    case.serve(up.port, docs=[tls_secret(case.name, *ca.issue("client-two"), ca=ca.pem)], sslConfig=ssl)

    def rotated():  # connections that are open stay as they are
        up.close_connections()
        return case.ask().json["peer"]["cn"] == "client-two"
    eventually(rotated)
    assert case.site.xds("cds")[f"{case.name}_{NS}"]["version"] == before


def test_tls_files_to_the_upstream(case, ca):
    """sslFiles: paths on Envoy's host; 9.2: Gloo refuses certificate and key as files."""
    cert, key = ca.issue("up.test")
    up = case.up(tls=pki.server(case.site.dir, cert, key, ca.pem))
    mine = ca.issue("client-file")
    for name, text in (("crt", mine[0]), ("key", mine[1]), ("ca", ca.pem)):
        (case.site.dir / f"{case.name}.{name}").write_text(text)
    base = str(case.site.dir / case.name)
    case.serve(up.port, sslConfig={"sni": "up.test", "sslFiles": {
        "tlsCert": base + ".crt", "tlsKey": base + ".key", "rootCa": base + ".ca"}})
    assert eventually(lambda: (a := case.ask()).status == 200 and a).json["peer"]["cn"] == "client-file"
    case.accepted()


def test_missing_secret_of_an_upstream(case):
    """Missing secret of an upstream: a finding on that object alone; it recovers by itself."""
    up = case.up()
    case.serve(up.port, sslConfig={"secretRef": ref("no-such-secret"), "sni": "x"})
    o = eventually(lambda: (o := case.site.object("Upstream", case.name))["findings"] and o)
    assert {"SLD0206"} == {f["code"] for f in o["findings"] if f["severity"] != "note"}
    assert case.ask().status == 503
    case.site.settled()


# ---- TCP gateways ----

def tcp_gateway(name, port, hosts, **more):
    return doc("Gateway", name, {"bindAddress": "127.0.0.1", "bindPort": port,
                                 "tcpGateway": {"tcpHosts": hosts, **more}})


def hello(port, tls=None, sni=None):
    with Raw(port, tls, sni) as r:
        name = r.until(b"\n").strip().decode()
        r.send(b"ping")
        r.until(b"PING")
        return name


@pytest.fixture
def tcp(case):
    def make(name):
        t = TcpEcho(f"{case.name}-{name}")
        case.closing.append(t)
        case.site.write(f"{t.name}.yaml", upstream(t.name, t.port))
        return t
    return make


def test_tcp_gateway(case, tcp):
    """tcpGateway with a single destination; an edit of it is followed."""
    a, b = tcp("a"), tcp("b")
    port = free_port()

    def serve(t):
        case.site.write(f"{case.name}-gw.yaml", tcp_gateway(case.name, port, [
            {"name": "one", "destination": {"single": {"upstream": ref(t.name)}}}]))
    serve(a)
    assert eventually(lambda: hello(port)) == a.name
    assert not case.site.wait_state("Gateway", case.name, "Accepted")["findings"]
    serve(b)
    eventually(lambda: hello(port) == b.name)


def test_tcp_gateway_with_weights(case, tcp):
    """tcpGateway with multi and upstreamGroup destinations."""
    a, b = tcp("a"), tcp("b")
    port = free_port()
    weighted = {"destinations": [{"destination": {"upstream": ref(t.name)}, "weight": 5} for t in (a, b)]}
    case.site.write(f"{case.name}-gw.yaml", tcp_gateway(case.name, port, [
        {"name": "one", "destination": {"multi": weighted}}]))
    eventually(lambda: hello(port))
    assert {hello(port) for _ in range(40)} == {a.name, b.name}
    case.site.write(f"{case.name}-gw.yaml", doc("UpstreamGroup", case.name, {"destinations": [
        {"destination": {"upstream": ref(b.name)}, "weight": 1}]}), tcp_gateway(case.name, port, [
            {"name": "one", "destination": {"upstreamGroup": ref(case.name)}}]))
    eventually(lambda: {hello(port) for _ in range(10)} == {b.name})


def test_tcp_gateway_with_tls(case, tcp, ca):
    """tcpHosts with sslConfig: SNI decides, TLS ends here; without a secret the stream is passed on."""
    a, b = tcp("a"), tcp("b")
    port = free_port()
    case.site.write(f"{case.name}-secret.yaml", tls_secret(case.name, *ca.issue("*.tcp.test")))
    case.site.write(f"{case.name}-gw.yaml", tcp_gateway(case.name, port, [
        {"name": t.name, "sslConfig": {"secretRef": ref(case.name), "sniDomains": [f"{n}.tcp.test"]},
         "destination": {"single": {"upstream": ref(t.name)}}} for n, t in (("a", a), ("b", b))]))
    context = pki.client(case.site.dir, ca.pem)
    assert eventually(lambda: hello(port, context, "a.tcp.test")) == a.name
    assert hello(port, context, "b.tcp.test") == b.name


def test_tcp_gateway_that_forwards_by_server_name(case, tcp, ca):
    """forwardSniClusterName: the server name is the cluster's; TLS ends at the upstream."""
    cert, key = ca.issue("x")
    up = case.up(tls=pki.server(case.site.dir, cert, key))
    name = case.name
    port = free_port()
    cluster = f"{name}_{NS}"
    case.serve(up.port, docs=[tcp_gateway(f"{name}-gw", port, [
        {"name": "sni", "sslConfig": {"sniDomains": [cluster]}, "destination": {"forwardSniClusterName": {}}}])])
    o = eventually(lambda: (o := case.site.object("Gateway", f"{name}-gw"))["state"] != "Pending" and o)
    if o["state"] != "Accepted":
        pytest.skip(f"not built: {o['reason']}")
    with eventually(lambda: Raw(port, pki.client(case.site.dir, None), cluster)) as r:
        r.send(b"GET /through HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in r.until(b"\r\n\r\n")


def test_updates_of_a_loaded_cluster_lose_nothing(case):
    """Endpoints follow every cluster update in the same burst: no request is lost while an upstream's
    settings and hosts change."""
    a, b = case.up("a"), case.up("b")
    case.serve(a.port)
    with Poller(case.site.port, host=f"{case.name}.test", threads=2) as p:
        for i in range(30):
            case.site.write(f"{case.name}.yaml", upstream(case.name, (a if i % 2 else b).port, connectionConfig={
                "connectTimeout": f"{5 + i}s"}), vs(case.name, f"{case.name}.test", [route("/", to(case.name))]))
            p.more(6)
        case.site.settled()
        p.more(20)
    p.assert_clean()
