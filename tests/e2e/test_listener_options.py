"""Options of gateways: access logs, the connection manager's settings, health check, gzip."""

import json
import re
import socket

import pytest

from harness import (NS, Connection, Raw, Site, eventually, free_port, gateway, ref, request, route, says, to,
                     upstream, vs)


@pytest.fixture
def case(shared, request):
    return Case(shared, re.sub("[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_")).strip("-"))


class Case:
    """A gateway of the test's own with one virtual service."""

    def __init__(self, site, name):
        self.site, self.name, self.port = site, name[:50], free_port()

    def serve(self, routes=None, options=None, listener=None, status=200, vh=None, **more):
        """OPTIONS are those of httpGateway, LISTENER those of the Gateway."""
        if routes is None:
            self.up = self.site.upstream(self.name)
            routes = [route("/", to(self.name))]
        g = gateway(self.name, self.port, http_={"virtualServices": [ref(self.name)], "options": options or {}},
                    **({"options": listener} if listener else {}))
        self.site.write(f"{self.name}.yaml", g, vs(self.name, f"{self.name}.test", routes, options=vh, **more))
        if status:
            eventually(lambda: self.ask().status == status)
        o = self.site.wait_state("Gateway", self.name, "Accepted")
        assert not o["findings"], o
        return self

    def hcm(self, settings, **more):
        return self.serve(options={"httpConnectionManagerSettings": settings}, **more)

    def ask(self, path="/", host=None, **more):
        return request(self.port, path, host=host or f"{self.name}.test", **more)

    def raw(self, text):
        with Raw(self.port) as r:
            r.send(text.replace("HOST", f"{self.name}.test").encode())
            return r.until(b"\r\n\r\n").decode()


# ---- Access logs ----

@pytest.fixture(scope="module")
def quick_site():
    """A site whose Envoy writes its logs at once."""
    s = Site()
    xds = f"127.0.0.1:{free_port()}"
    try:
        s.start("--xds", xds, envoy=False)
        s.envoy("--file-flush-interval-msec", "50", xds=xds)
        yield s
    finally:
        s.close()


@pytest.fixture
def logged(quick_site, request):
    return Case(quick_site, request.node.name.replace("_", "-").removeprefix("test-"))


def test_access_log_string(logged):
    """accessLoggingService to a file: string format."""
    log = logged.site.dir / "string.log"
    logged.serve(listener={"accessLoggingService": {"accessLog": [
        {"fileSink": {"path": str(log), "stringFormat": "%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE%\n"}}]}})
    logged.ask("/logged?status=418")
    eventually(lambda: "GET /logged?status=418 418" in log.read_text())


def test_access_log_json(logged):
    """accessLoggingService to a file: JSON format."""
    log = logged.site.dir / "json.log"
    logged.serve(listener={"accessLoggingService": {"accessLog": [{"fileSink": {
        "path": str(log), "jsonFormat": {"path": "%REQ(:PATH)%", "status": "%RESPONSE_CODE%",
                                         "up": "%UPSTREAM_CLUSTER%"}}}]}})
    logged.ask("/logged")
    got = eventually(lambda: [r for r in map(json.loads, log.read_text().splitlines()) if r["path"] == "/logged"])
    assert got == [{"path": "/logged", "status": 200, "up": f"{logged.name}_{NS}"}]


def test_access_log_filters(logged):
    """accessLoggingService with filters: status code, header, response flag, and, or."""
    logs = {n: logged.site.dir / f"filter-{n}.log" for n in ("status", "both", "either", "header", "flag")}
    sink = {n: {"fileSink": {"path": str(p), "stringFormat": "%REQ(:PATH)%\n"}} for n, p in logs.items()}
    status = {"statusCodeFilter": {"comparison": {"op": "GE", "value": {"defaultValue": 400, "runtimeKey": "k.a"}}}}
    header = {"headerFilter": {"header": {"name": "x-log", "exactMatch": "yes"}}}
    logged.serve(listener={"accessLoggingService": {"accessLog": [
        {**sink["status"], "filter": status},
        {**sink["header"], "filter": header},
        {**sink["both"], "filter": {"andFilter": {"filters": [status, header]}}},
        {**sink["either"], "filter": {"orFilter": {"filters": [status, header]}}},
        {**sink["flag"], "filter": {"responseFlagFilter": {"flags": ["UH", "NR"]}}}]}})
    logged.ask("/fine")
    logged.ask("/bad?status=500")
    logged.ask("/header", headers={"x-log": "yes"})
    logged.ask("/all?status=500", headers={"x-log": "yes"})
    logged.ask("/nr", host="unknown.test")

    def said(n):
        return sorted(logs[n].read_text().split())
    eventually(lambda: said("flag") == ["/nr"])
    eventually(lambda: said("both") == ["/all?status=500"])
    eventually(lambda: said("status") == ["/all?status=500", "/bad?status=500", "/nr"])
    eventually(lambda: said("header") == ["/all?status=500", "/header"])
    eventually(lambda: said("either") == ["/all?status=500", "/bad?status=500", "/header", "/nr"])


# ---- httpConnectionManagerSettings ----

def test_server_name_and_its_transformation(case):
    """serverName, serverHeaderTransformation."""
    case.hcm({"serverName": "my-gateway"})
    assert case.ask().headers["server"] == "my-gateway"


def test_server_header_pass_through(case):
    """serverHeaderTransformation PASS_THROUGH leaves the upstream's."""
    case.hcm({"serverHeaderTransformation": "PASS_THROUGH"})
    assert "Python" in case.ask().headers["server"]


def test_forwarded_for(case):
    """useRemoteAddress, xffNumTrustedHops, skipXffAppend, via, appendXForwardedPort."""
    case.hcm({"useRemoteAddress": True, "via": "here", "appendXForwardedPort": True})
    h = case.ask(headers={"x-forwarded-for": "1.2.3.4"}).json["headers"]
    assert h["x-forwarded-for"][0].startswith("1.2.3.4,") and h["via"] == ["here"]
    assert h["x-forwarded-port"] == [str(case.port)]


def test_skip_xff_append(case):
    """skipXffAppend."""
    case.hcm({"useRemoteAddress": True, "skipXffAppend": True, "xffNumTrustedHops": 1})
    h = case.ask(headers={"x-forwarded-for": "1.2.3.4"}).json["headers"]
    assert h["x-forwarded-for"] == ["1.2.3.4"]


def test_request_ids(case):
    """generateRequestId false; preserveExternalRequestId."""
    case.hcm({"generateRequestId": False})
    assert "x-request-id" not in case.ask().json["headers"]


def test_preserved_request_ids(case):
    """preserveExternalRequestId."""
    case.hcm({"preserveExternalRequestId": True, "useRemoteAddress": True})
    assert case.ask(headers={"x-request-id": "mine"}).json["headers"]["x-request-id"] == ["mine"]


def test_header_limits(case):
    """maxRequestHeadersKb, maxHeadersCount."""
    case.hcm({"maxRequestHeadersKb": 4, "maxHeadersCount": 20})
    assert case.ask(headers={"x-big": "a" * 3000}).status == 200
    assert case.ask(headers={"x-big": "a" * 5000}).status == 431
    assert case.ask(headers=[(f"x-{i}", "1") for i in range(30)]).status == 431


@pytest.mark.parametrize("action", ["ALLOW", "REJECT_CLIENT_REQUEST", "DROP_HEADER"])
def test_headers_with_underscores(case, action):
    """headersWithUnderscoresAction."""
    case.hcm({"headersWithUnderscoresAction": action})
    a = case.ask(headers={"x_under": "1"})
    if action == "REJECT_CLIENT_REQUEST":
        assert a.status == 400
    else:
        assert ("x_under" in a.json["headers"]) == (action == "ALLOW")


def test_http_10(case):
    """acceptHttp10 with defaultHostForHttp10; without them 426."""
    case.hcm({"acceptHttp10": True, "defaultHostForHttp10": f"{case.name}.test"})
    assert case.raw("GET / HTTP/1.0\r\n\r\n").startswith(("HTTP/1.0 200", "HTTP/1.1 200"))


def test_http_10_is_refused_by_default(case):
    """acceptHttp10 unset."""
    case.serve([route("/", says(200))])
    assert " 426 " in case.raw("GET / HTTP/1.0\r\nHost: HOST\r\n\r\n").splitlines()[0]


def test_paths(case):
    """normalizePath (true in Gloo), mergeSlashes, pathWithEscapedSlashesAction."""
    case.hcm({"mergeSlashes": True, "pathWithEscapedSlashesAction": "UNESCAPE_AND_FORWARD"})
    assert case.ask("/a//b/../c").json["path"] == "/a/c"
    assert case.ask("/a%2Fb").json["path"] == "/a/b"


def test_paths_as_they_are(case):
    """normalizePath false."""
    case.hcm({"normalizePath": False})
    assert case.ask("/a/../c").json["path"] == "/a/../c"


def test_escaped_slashes_refused(case):
    """pathWithEscapedSlashesAction REJECT_REQUEST."""
    case.hcm({"pathWithEscapedSlashesAction": "REJECT_REQUEST"})
    assert case.ask("/a%2Fb").status == 400


def test_strip_any_host_port(case):
    """stripAnyHostPort."""
    case.hcm({"stripAnyHostPort": True})
    assert case.ask(host=f"{case.name}.test:1234").status == 200


def test_hosts_with_port_otherwise(case):
    """stripAnyHostPort unset: a Host with a port is another domain."""
    case.serve([route("/", says(200))])
    assert case.ask(host=f"{case.name}.test:1234").status == 404


def test_max_requests_per_connection(case):
    """maxRequestsPerConnection."""
    case.hcm({"maxRequestsPerConnection": 2})
    c = Connection(case.port)
    assert c.ask(host=f"{case.name}.test").headers["connection"] is None
    assert c.ask(host=f"{case.name}.test").headers["connection"] == "close"
    c.close()


def test_timeouts(case):
    """requestHeadersTimeout, streamIdleTimeout, idleTimeout."""
    case.hcm({"requestHeadersTimeout": "0.2s", "idleTimeout": "0.5s"})
    with Raw(case.port) as r:
        r.send(b"GET / HTTP/1.1\r\n")
        assert b" 408 " in r.rest()
    with Raw(case.port) as r:  # an idle connection is closed
        assert r.rest() == b""


def test_request_timeout(case):
    """requestTimeout."""
    case.hcm({"requestTimeout": "0.2s"})
    with Raw(case.port) as r:
        r.send(f"POST / HTTP/1.1\r\nHost: {case.name}.test\r\nContent-Length: 5\r\n\r\n12".encode())
        assert b" 408 " in r.until(b"\r\n\r\n")


def test_header_case(case):
    """properCaseHeaderKeyFormat."""
    case.hcm({"properCaseHeaderKeyFormat": True})
    assert "\r\nContent-Type: " in case.raw("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n")


def test_preserved_header_case(case):
    """preserveCaseHeaderKeyFormat of listener and upstream keep the upstream's way of writing."""
    case.hcm({"preserveCaseHeaderKeyFormat": True})
    case.site.write(f"upstream-{case.name}.yaml", upstream(case.name, case.up.port, connectionConfig={
        "http1ProtocolOptions": {"preserveCaseHeaderKeyFormat": True}}))
    case.up.headers = [("x-WeIrD", "1")]
    eventually(lambda: "\r\nx-WeIrD: 1" in case.raw("GET / HTTP/1.1\r\nHost: HOST\r\n\r\n"))


def test_codec(case):
    """codecType HTTP2: HTTP/1.1 is not understood any more."""
    case.serve([route("/", says(200))], {"httpConnectionManagerSettings": {"codecType": "HTTP2"}}, status=None)

    def refused():
        with Raw(case.port) as r:
            r.send(f"GET / HTTP/1.1\r\nHost: {case.name}.test\r\n\r\n".encode())
            return b"HTTP/1.1 200" not in r.rest()
    assert eventually(refused)


def test_early_header_manipulation(case):
    """earlyHeaderManipulation: before the route is chosen."""
    case.serve([route("/", says(200, "early"), headers=[{"name": "x-early"}]), route("/", says(404))],
               {"httpConnectionManagerSettings": {"earlyHeaderManipulation": {
                   "headersToAdd": [{"header": {"key": "x-early", "value": "1"}}], "headersToRemove": ["x-no"]}}})
    assert case.ask().text == "early"


def test_listed_upgrades_replace_the_default(case):
    """upgrades of the listener (3.11): websocket is added unless the user lists it."""
    case.hcm({"upgrades": [{"websocket": {"enabled": False}}]})
    head = case.raw("GET / HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert " 403 " in head.splitlines()[0]


def test_internal_addresses(case):
    """internalAddressConfig: whose x-envoy headers are believed."""
    case.hcm({"useRemoteAddress": True, "internalAddressConfig": {"cidrRanges": [
        {"addressPrefix": "127.0.0.0", "prefixLen": 8}]}})
    assert case.ask().json["headers"]["x-envoy-internal"] == ["true"]


# ---- healthCheck, gzip, router, headers of the listener ----

def test_health_check(case):
    """healthCheck.path answers by itself, for every host."""
    case.serve([route("/", says(404))], {"healthCheck": {"path": "/healthy"}}, status=404)
    assert case.ask("/healthy", host="any.test").status == 200
    assert case.ask("/healthy/x").status == 404


def test_gzip(case):
    """gzip: answers are compressed for clients that take it, above contentLength, of contentType."""
    case.serve(None, {"gzip": {"memoryLevel": 9, "contentLength": 100, "compressionLevel": "BEST",
                               "contentType": ["text/plain"], "windowBits": 12, "removeAcceptEncodingHeader": True}})
    a = case.ask("/?bytes=5000", headers={"Accept-Encoding": "gzip"})
    assert a.headers["content-encoding"] == "gzip" and len(a.body) < 1000
    assert case.ask("/?bytes=5000").headers["content-encoding"] is None
    assert case.ask("/?bytes=50", headers={"Accept-Encoding": "gzip"}).headers["content-encoding"] is None
    b = case.ask("/json", headers={"Accept-Encoding": "gzip"})
    assert b.headers["content-encoding"] is None and "accept-encoding" not in b.json["headers"]


def test_bind_all(case):
    """bindAddress ::, ipv4_compat (3.1): IPv4 and IPv6 clients."""
    case.site.write(f"{case.name}.yaml", gateway(case.name, case.port, address="::", http_={
        "virtualServices": [ref(case.name)]}), vs(case.name, "all.test", [route("/", says(200))]))
    eventually(lambda: request(case.port, host="all.test").status == 200)
    if socket.has_ipv6:
        try:
            assert request(case.port, host="all.test", address="::1").status == 200
        except OSError as e:
            pytest.skip(f"no IPv6 here: {e}")
    assert f"listener-::-{case.port}" in case.site.xds("lds")


# ---- Selection of virtual services (3.2) ----

@pytest.mark.parametrize("select, expected", [
    ({"virtualServiceSelector": {"team": "a"}}, "a"),
    ({"virtualServiceExpressions": {"expressions": [{"key": "team", "operator": "In", "values": ["b", "c"]}]}}, "b"),
    ({"virtualServiceExpressions": {"expressions": [{"key": "team", "operator": "DoesNotExist"},
                                                    {"key": "stage", "operator": "Exists"}]}}, "none"),
    ({"virtualServiceNamespaces": ["elsewhere"]}, "elsewhere"),
])
def test_selection(case, select, expected):
    """Selection of virtual services by labels, expressions and namespaces (3.2)."""
    each = [vs("sel-a", "sel.test", [route("/", says(200, "a"))], meta={"labels": {"team": "a", "sel": "1"}}),
            vs("sel-b", "sel.test", [route("/", says(200, "b"))], meta={"labels": {"team": "b", "sel": "1"}}),
            vs("sel-none", "sel.test", [route("/", says(200, "none"))], meta={"labels": {"stage": "x", "sel": "1"}}),
            vs("sel-else", "sel.test", [route("/", says(200, "elsewhere"))], ns="elsewhere")]
    # The shared gateway selects everything, and one domain must be there once only.
    case.site.write("gateway.yaml", gateway("gateway-proxy", case.site.port, http_={
        "virtualServiceNamespaces": [NS], "virtualServiceExpressions": {"expressions": [
            {"key": "sel", "operator": "DoesNotExist"}]}}))
    case.site.write("sel.yaml", *each)
    case.site.write(f"{case.name}.yaml", gateway(case.name, case.port, http_=select))
    assert eventually(lambda: request(case.port, host="sel.test")).text == expected
    case.site.remove(f"{case.name}.yaml")
    eventually(lambda: f"listener-127.0.0.1-{case.port}" not in case.site.xds("lds"))
