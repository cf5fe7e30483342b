"""Every option built so far, at each of its levels, as requests through the real Envoy show it."""

import re
import threading

import pytest

from harness import NS, Raw, eventually, ref, route, says, to, upstream, vs


@pytest.fixture
def case(shared, request):
    """A domain of the test's own, on the shared gateway."""
    return Case(shared, re.sub("[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_")))


class Case:
    def __init__(self, site, name):
        self.site, self.name, self.domain = site, name[:50].strip("-"), name[:50].strip("-") + ".test"
        self.servers = []

    def up(self, name="a", publish=True, **more):
        full = f"{self.name}-{name}"[-60:].strip("-")
        return self.site.upstream(full, publish, **more)

    def serve(self, routes, options=None, *docs, **more):
        """Writes the virtual service and waits until it is in force."""
        self.site.write(f"{self.name}.yaml", vs(self.name, self.domain, routes, options=options, **more), *docs)
        self.site.settled()
        return self

    def ask(self, path="/", **more):
        return self.site.ask(path, host=self.domain, **more)

    def accepted(self):
        o = self.site.wait_state("VirtualService", self.name, "Accepted")
        assert o["findings"] == []


# ---- Rewrites ----

def test_prefix_rewrite(case):
    """prefixRewrite (route): the matched prefix is replaced."""
    up = case.up()
    case.serve([route("/a/", to(up.name), {"prefixRewrite": "/b/c/"}), route("/", to(up.name))])
    assert case.ask("/a/x?q=1").json["path"] == "/b/c/x?q=1"
    assert case.ask("/other").json["path"] == "/other"
    case.accepted()


def test_regex_rewrite(case):
    """regexRewrite (route): pattern and substitution with groups."""
    up = case.up()
    case.serve([route("/", to(up.name), {
        "regexRewrite": {"pattern": {"regex": "^/service/([^/]+)(/.*)$"}, "substitution": "\\2/instance/\\1"}})])
    assert case.ask("/service/foo/v1/api").json["path"] == "/v1/api/instance/foo"


def test_host_rewrite(case):
    """hostRewrite (route) sets the upstream's Host."""
    up = case.up()
    case.serve([route("/plain", to(up.name)), route("/", to(up.name), {"hostRewrite": "inner.example"})])
    assert case.ask("/x").json["headers"]["host"] == ["inner.example"]
    assert case.ask("/plain").json["headers"]["host"] == [case.domain]
    case.accepted()


def test_auto_host_rewrite(case):
    """autoHostRewrite (route): the name of the DNS host that was chosen; 4.6: hosts by name are
    resolved."""
    up = case.up(publish=False)
    name = f"{case.name}-dns"
    case.serve([route("/", to(name), {"autoHostRewrite": True})], None,
               upstream(name, {"addr": "localhost", "port": up.port}))
    a = eventually(lambda: (a := case.ask()).status == 200 and a)
    assert a.json["headers"]["host"] == ["localhost"]


# ---- Time ----

def test_timeout(case):
    """timeout (route): 504 when the upstream takes longer."""
    up = case.up()
    up.gate = threading.Event()
    case.serve([route("/", to(up.name), {"timeout": "0.2s"})])
    assert case.ask("/fast").status == 200
    assert case.ask("/slow").status == 504
    up.gate.set()


def test_options_that_are_not_built_are_told(case):
    """A field whose feature is not built yet gives a warning finding with its own code on the object;
    an enterprise field the same. The rest of the object is served."""
    up = case.up()
    case.serve([route("/", to(up.name), {"envoyMetadata": {"a": {"b": 1}}, "jwt": {"disable": True},
                                         "prefixRewrite": "/p/"})])
    o = case.site.wait_state("VirtualService", case.name, "Warning", "SLD0108")
    assert {(f["code"], f["path"].rsplit(".")[-1]) for f in o["findings"]} == {
        ("SLD0108", "envoyMetadata"), ("SLD0109", "jwt")}
    assert case.ask("/x").json["path"] == "/p/x"


@pytest.mark.parametrize("level", ["route", "host"])
def test_retries(case, level):
    """retries (route, virtual host): failed requests are sent again, as often as numRetries says."""
    up = case.up()
    policy = {"retryOn": "5xx", "numRetries": 2}
    if level == "route":
        case.serve([route("/", to(up.name), {"retries": policy})])
    else:
        case.serve([route("/", to(up.name))], {"retries": policy, "includeRequestAttemptCount": True})
    up.fail_first = len(up.seen) + 2
    a = case.ask("/retried")
    assert a.status == 200
    assert up.paths().count("/retried") == 3
    if level == "host" and case.site.object("VirtualService", case.name)["state"] == "Accepted":
        assert a.json["headers"]["x-envoy-attempt-count"] == ["3"]
    up.fail_first = len(up.seen) + 3
    assert case.ask("/given-up").status == 503


def test_retriable_status_codes_and_per_try_timeout(case):
    """retries.retriableStatusCodes and perTryTimeout."""
    up = case.up()
    up.gate = threading.Event()
    case.serve([route("/", to(up.name), {"retries": {
        "retryOn": "retriable-status-codes,5xx", "retriableStatusCodes": [418], "numRetries": 1,
        "perTryTimeout": "0.1s", "retryBackOff": {"baseInterval": "0.01s", "maxInterval": "0.02s"}}})])
    assert case.ask("/tea?status=418").status == 418
    assert up.paths().count("/tea?status=418") == 2
    assert case.ask("/slow").status == 504
    assert up.paths().count("/slow") == 2
    up.gate.set()


# ---- Headers ----

def test_header_manipulation(case):
    """headerManipulation (virtual host, route): add, append, overwrite, remove, both ways."""
    up = case.up()
    up.headers = [("X-Secret", "s"), ("X-Kept", "k")]
    case.serve([
        route("/route", to(up.name), {"headerManipulation": {
            "requestHeadersToAdd": [{"header": {"key": "x-a", "value": "route"}, "append": False},
                                    {"header": {"key": "x-b", "value": "two"}}],
            "requestHeadersToRemove": ["x-gone"],
            "responseHeadersToAdd": [{"header": {"key": "x-out", "value": "r"}}],
            "responseHeadersToRemove": ["x-secret"]}}),
        route("/", to(up.name))],
        {"headerManipulation": {"requestHeadersToAdd": [{"header": {"key": "x-host", "value": "h"}}],
                                "responseHeadersToAdd": [{"header": {"key": "x-host-out", "value": "h"}}]}})
    a = case.ask("/route", headers=[("x-a", "client"), ("x-b", "one"), ("x-gone", "1")])
    seen = a.json["headers"]
    assert seen["x-a"] == ["route"] and ",".join(seen["x-b"]) == "one,two"
    assert "x-gone" not in seen and seen["x-host"] == ["h"]
    assert a.headers["x-out"] == "r" and a.headers["x-secret"] is None and a.headers["x-kept"] == "k"
    assert a.headers["x-host-out"] == "h"
    b = case.ask("/")
    assert b.headers["x-secret"] == "s" and b.json["headers"]["x-host"] == ["h"]


def test_header_manipulation_of_weighted_destinations(case):
    """headerManipulation (weighted destination)."""
    up = case.up()
    case.serve([route("/", {"routeAction": {"multi": {"destinations": [
        {"destination": {"upstream": ref(up.name)}, "weight": 1,
         "options": {"headerManipulation": {"requestHeadersToAdd": [{"header": {"key": "x-arm", "value": "a"}}]}}},
        {"destination": {"upstream": ref(up.name)}, "weight": 0}]}}})])
    assert case.ask().json["headers"]["x-arm"] == ["a"]


def test_header_secret(case):
    """headerManipulation with secret values, tainted: `***` in every dump, the value on the wire; an
    edit of the secret follows."""
    up = case.up()
    site = case.site

    def secret(value):
        site.write(f"{case.name}-secret.yaml", {
            "apiVersion": "v1", "kind": "Secret", "type": "gloo.solo.io/header",
            "metadata": {"name": case.name, "namespace": NS}, "stringData": {"x-api-key": value}})
    secret("very-hidden-1")
    case.serve([route("/", to(up.name), {"headerManipulation": {
        "requestHeadersToAdd": [{"headerSecretRef": ref(case.name)}]}})])
    assert case.ask().json["headers"]["x-api-key"] == ["very-hidden-1"]
    secret("very-hidden-2")
    eventually(lambda: case.ask().json["headers"]["x-api-key"] == ["very-hidden-2"])
    everything = "".join(site.get(p).text for p in (
        "/v1/xds/gloo-system~gateway-proxy/rds", "/v1/objects?spec=true", "/v1/findings",
        f"/v1/objects/secrets/{NS}/{case.name}", "/metrics")) + site.log_text()
    assert "very-hidden" not in everything
    assert "***" in site.get("/v1/xds/gloo-system~gateway-proxy/rds").text


# ---- CORS ----

CORS = {"allowOrigin": ["https://a.example"], "allowOriginRegex": ["https://[a-z]+\\.b\\.example"],
        "allowMethods": ["GET", "POST"], "allowHeaders": ["x-one"], "exposeHeaders": ["x-two"],
        "maxAge": "60", "allowCredentials": True}


def preflight(case, path, origin="https://a.example"):
    return case.ask(path, method="OPTIONS", headers={"Origin": origin, "Access-Control-Request-Method": "GET"})


@pytest.mark.parametrize("level", ["route", "host"])
def test_cors(case, level):
    """cors (route, virtual host): preflight answers and headers of simple requests."""
    up = case.up()
    if level == "route":
        case.serve([route("/", to(up.name), {"cors": CORS})])
    else:
        case.serve([route("/off", to(up.name), {"cors": {"disableForRoute": True, "allowOrigin": ["*"]}}),
                    route("/", to(up.name))], {"cors": CORS})
    a = preflight(case, "/x")
    assert a.status == 200 and a.headers["access-control-allow-origin"] == "https://a.example"
    assert a.headers["access-control-allow-methods"] == "GET,POST"
    assert a.headers["access-control-allow-headers"] == "x-one"
    assert a.headers["access-control-max-age"] == "60"
    assert a.headers["access-control-allow-credentials"] == "true"
    assert preflight(case, "/x", "https://abc.b.example").headers["access-control-allow-origin"]
    assert preflight(case, "/x", "https://evil.example").headers["access-control-allow-origin"] is None
    b = case.ask("/x", headers={"Origin": "https://a.example"})
    assert b.status == 200 and b.headers["access-control-expose-headers"] == "x-two"
    if level == "host":
        assert preflight(case, "/off").headers["access-control-allow-methods"] is None


def test_cors_merge(case):
    """corsPolicyMergeSettings.exposeHeaders UNION joins the lists of virtual host and route."""
    up = case.up()
    case.serve([route("/", to(up.name), {"cors": {"allowOrigin": ["https://a.example"],
                                                  "exposeHeaders": ["x-three"]}})],
               {"cors": CORS, "corsPolicyMergeSettings": {"exposeHeaders": "UNION"}})
    a = case.ask("/", headers={"Origin": "https://a.example"})
    assert set(a.headers["access-control-expose-headers"].replace(" ", "").split(",")) == {"x-two", "x-three"}


# ---- Faults, shadowing ----

def test_faults(case):
    """faults (route): abort with a status, delay also below a second (9.2: Gloo refuses those)."""
    up = case.up()
    # Envoy's own word for what it did: DI, a delay was injected; FI, an abort.
    flags = {"headerManipulation": {"responseHeadersToAdd": [{"header": {"key": "x-flags", "value": "%RESPONSE_FLAGS%"}}]}}
    case.serve([
        route("/abort", to(up.name), {"faults": {"abort": {"percentage": 100, "httpStatus": 418}}}),
        route("/delay", to(up.name), {"faults": {"delay": {"percentage": 100, "fixedDelay": "0.3s"}}}),
        route("/never", to(up.name), {"faults": {"abort": {"percentage": 0, "httpStatus": 418},
                                                 "delay": {"percentage": 0, "fixedDelay": "0.3s"}}}),
        route("/", to(up.name))], flags)
    abort, delay = case.ask("/abort"), case.ask("/delay")
    assert (abort.status, abort.headers["x-flags"]) == (418, "FI")
    assert (delay.status, delay.headers["x-flags"]) == (200, "DI")
    for path in "/never", "/":
        answer = case.ask(path)
        assert (answer.status, answer.headers["x-flags"]) == (200, "-")


def test_shadowing(case):
    """shadowing (route): a copy goes to the other upstream, with Host changed to <host>-shadow."""
    up, copy = case.up("a"), case.up("b")
    case.serve([route("/", to(up.name), {"shadowing": {"upstream": ref(copy.name), "percentage": 100}})])
    assert case.ask("/shadowed").json["name"] == up.name
    eventually(lambda: "/shadowed" in copy.paths())
    assert copy.seen[-1]["headers"]["host"] == [case.domain.replace(".test", ".test-shadow")]
    assert up.paths().count("/shadowed") == 1


# ---- Load balancing ----

def test_lb_hash(case):
    """lbHash (route) with ringHash (upstream): a header, a cookie, the source address decide alone."""
    ups = [case.up(str(i), publish=False) for i in range(4)]
    name = f"{case.name}-ring"
    case.serve([
        route("/header", to(name), {"lbHash": {"hashPolicies": [{"header": "x-user"}]}}),
        route("/cookie", to(name), {"lbHash": {"hashPolicies": [{"cookie": {"name": "sticky", "ttl": "60s",
                "path": "/"}}]}}),
        route("/source", to(name), {"lbHash": {"hashPolicies": [{"sourceIp": True}]}})],
        None, upstream(name, *[u.port for u in ups], loadBalancerConfig={
            "ringHash": {"ringHashConfig": {"minimumRingSize": 256, "maximumRingSize": 1024}}}))
    users = {f"u{i}": {case.ask("/header", headers={"x-user": f"u{i}"}).json["name"] for _ in range(4)}
             for i in range(30)}
    assert all(len(v) == 1 for v in users.values())
    assert len(set.union(*users.values())) > 1
    first = case.ask("/cookie")
    cookie = first.headers["set-cookie"].split(";")[0]
    assert cookie.startswith("sticky=")
    assert {case.ask("/cookie", headers={"Cookie": cookie}).json["name"] for _ in range(8)} == {first.json["name"]}
    assert len({case.ask("/source").json["name"] for _ in range(8)}) == 1


def test_round_robin_and_weights_of_hosts(case):
    """Upstream static: several hosts, weights (1.7)."""
    ups = [case.up(str(i), publish=False) for i in range(2)]
    name = f"{case.name}-rr"
    case.serve([route("/", to(name))], None, upstream(name, {
        "addr": "127.0.0.1", "port": ups[0].port, "loadBalancingWeight": 3}, {
        "addr": "127.0.0.1", "port": ups[1].port, "loadBalancingWeight": 1}))
    names = [case.ask().json["name"] for _ in range(40)]
    assert 20 < names.count(ups[0].name) < 40


def test_weighted_destinations(case):
    """multi with weights, and a weight of 0 (3.10)."""
    a, b, c = (case.up(n) for n in "abc")
    case.serve([route("/", {"routeAction": {"multi": {"destinations": [
        {"destination": {"upstream": ref(a.name)}, "weight": 80},
        {"destination": {"upstream": ref(b.name)}, "weight": 20},
        {"destination": {"upstream": ref(c.name)}, "weight": 0}]}}})])
    names = [case.ask().json["name"] for _ in range(150)]
    assert names.count(a.name) > names.count(b.name) > 0 and names.count(c.name) == 0


def test_upstream_group(case):
    """upstreamGroup: a weighted list that several routes use; an edit of it changes them all."""
    a, b = case.up("a"), case.up("b")
    group = {"apiVersion": "gloo.solo.io/v1", "kind": "UpstreamGroup",
             "metadata": {"name": case.name, "namespace": NS}}

    def spec(wa, wb):
        return {**group, "spec": {"destinations": [
            {"destination": {"upstream": ref(a.name)}, "weight": wa},
            {"destination": {"upstream": ref(b.name)}, "weight": wb}]}}
    case.site.write(f"{case.name}-group.yaml", spec(1, 0))
    case.serve([route("/one", {"routeAction": {"upstreamGroup": ref(case.name)}}),
                route("/two", {"routeAction": {"upstreamGroup": ref(case.name)}})])
    assert {case.ask(p).json["name"] for p in ("/one", "/two") for _ in range(5)} == {a.name}
    case.site.write(f"{case.name}-group.yaml", spec(0, 1))
    eventually(lambda: case.ask("/one").json["name"] == b.name)
    assert case.ask("/two").json["name"] == b.name


def test_cluster_header(case):
    """clusterHeader: the header names an Envoy cluster, <upstream>_<namespace> (3.9)."""
    up = case.up()
    case.serve([route("/", {"routeAction": {"clusterHeader": "x-cluster"}})])
    assert case.ask(headers={"x-cluster": f"{up.name}_{NS}"}).json["name"] == up.name
    assert case.ask(headers={"x-cluster": "nope"}).status == 503
    assert case.ask().status == 503


def test_subsets(case):
    """Subsets: a destination with subset.values goes to the hosts with these labels only."""
    ups = {n: case.up(n, publish=False) for n in ("red", "blue")}
    name = f"{case.name}-us"
    hosts = [{"addr": "127.0.0.1", "port": u.port, "metadata": {"envoy.lb": {"color": n}}} for n, u in ups.items()]
    case.site.write(f"{name}.yaml", {
        "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": {"name": name, "namespace": NS},
        "spec": {"static": {"hosts": hosts, "subsetSpec": {"selectors": [{"keys": ["color"]}]}}}})
    state = eventually(lambda: case.site.object("Upstream", name))
    if state["state"] == "Rejected":
        pytest.skip("1.7: static upstreams carry no subsetSpec; subsets are shown with sources that have them")
    case.serve([route(f"/{n}", {"routeAction": {"single": {"upstream": ref(name),
                                                           "subset": {"values": {"color": n}}}}})
                for n in ups])
    for n, u in ups.items():
        assert {case.ask(f"/{n}").json["name"] for _ in range(5)} == {u.name}


# ---- Upgrades ----

def websocket(port, host, path="/"):
    r = Raw(port)
    r.send((f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
    return r, r.until(b"\r\n\r\n")


def test_websocket(case):
    """upgrades: websocket always is allowed unless the listener lists it (3.11); a route can switch it
    off."""
    up = case.up()
    case.serve([route("/no", to(up.name), {"upgrades": [{"websocket": {"enabled": False}}]}),
                route("/yes", to(up.name), {"upgrades": [{"websocket": {"enabled": True}}]}),
                route("/", to(up.name))])
    for path in ("/", "/yes"):
        r, head = websocket(case.site.port, case.domain, path)
        with r:
            assert head.startswith(b"HTTP/1.1 101"), head
            r.send(b"hello")
            assert r.until(b"HELLO")
    r, head = websocket(case.site.port, case.domain, "/no")
    with r:
        assert head.startswith(b"HTTP/1.1 403"), head


def test_connect(case):
    """upgrades: connect passes a CONNECT on, connectTerminate makes a tunnel of it; connectMatcher
    (1.5)."""
    up = case.up()
    # The host of a CONNECT has a port, which Envoy looks up as it stands.
    domain = f"{case.domain}:443"
    case.site.write(f"{case.name}.yaml", vs(case.name, [case.domain, domain], [
        route(None, to(up.name), {"upgrades": [{"connectTerminate": {"enabled": True}}]}, connectMatcher={},
              headers=[{"name": "x-end", "value": "here"}]),
        route(None, to(up.name), {"upgrades": [{"connect": {"enabled": True}}]}, connectMatcher={})]))
    case.site.settled()
    case.accepted()
    with Raw(case.site.port) as r:
        r.send(f"CONNECT {domain} HTTP/1.1\r\nHost: {domain}\r\n\r\n".encode())
        assert r.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        r.send(b"through")
        r.until(b"THROUGH")
    assert up.seen[-1]["method"] == "CONNECT"
    with Raw(case.site.port) as r:
        r.send(f"CONNECT {domain} HTTP/1.1\r\nHost: {domain}\r\nx-end: here\r\n\r\n".encode())
        assert r.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        r.send(b"GET /inner HTTP/1.1\r\nHost: inner\r\n\r\n")
        assert r.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert "/inner" in up.paths()


# ---- Actions ----

def test_direct_response(case):
    """directResponse: status and body; also without a body."""
    case.serve([route("/body", says(201, "text")), route("/", says(404))])
    a = case.ask("/body")
    assert (a.status, a.text) == (201, "text")
    assert case.ask("/").status == 404


@pytest.mark.parametrize("action, location, status", [
    ({"hostRedirect": "other.example"}, "http://other.example/r/x", 301),
    ({"pathRedirect": "/there", "responseCode": "FOUND"}, "http://{host}/there", 302),
    ({"prefixRewrite": "/s/", "responseCode": "SEE_OTHER"}, "http://{host}/s/x", 303),
    ({"regexRewrite": {"pattern": {"regex": "^/r/(.*)$"}, "substitution": "/q/\\1"},
      "responseCode": "TEMPORARY_REDIRECT"},
     "http://{host}/q/x", 307),
    ({"httpsRedirect": True, "responseCode": "PERMANENT_REDIRECT"}, "https://{host}/r/x", 308),
    ({"httpsRedirect": True, "portRedirect": 8443}, "https://{host}:8443/r/x", 301),
    ({"hostRedirect": "o.example", "stripQuery": True}, "http://o.example/r/x", 301)])
def test_redirect(case, action, location, status):
    """redirectAction: host, path, prefix, regex, code, https, port, stripQuery (3.10)."""
    case.serve([route("/r/", {"redirectAction": action})])
    query = "?k=v" if action.get("stripQuery") else ""
    a = case.ask("/r/x" + query)
    assert (a.status, a.headers["location"]) == (status, location.format(host=case.domain))


# ---- Matchers ----

def test_matchers(case):
    """All matchers (1.5): prefix, exact, regex, case, headers (present, exact, regex, inverted), query
    parameters, methods; the first route that fits is taken."""
    case.serve([
        route(None, says(200, "exact"), exact="/exact"),
        route(None, says(200, "regex"), regex="/re/[0-9]+"),
        route("/CASE", says(200, "case"), caseSensitive=False),
        route("/h", says(200, "present"), headers=[{"name": "x-p"}]),
        route("/h", says(200, "equal"), headers=[{"name": "x-e", "value": "v"}]),
        route("/h", says(200, "expression"), headers=[{"name": "x-r", "value": "a+", "regex": True}]),
        route("/h", says(200, "inverted"), headers=[{"name": "x-not", "invertMatch": True}]),
        route("/q", says(200, "query"), queryParameters=[{"name": "a", "value": "1"}]),
        route("/q", says(200, "query-re"), queryParameters=[{"name": "b", "value": "[0-9]+", "regex": True}]),
        route("/q", says(200, "query-any"), queryParameters=[{"name": "c"}]),
        route("/m", says(200, "method"), methods=["PUT", "DELETE"]),
        route("/", says(404, "none"))])
    case.accepted()

    def got(path, **more):
        return case.ask(path, **more).text
    assert got("/exact") == "exact" and got("/exact/") == "none"
    assert got("/re/12") == "regex" and got("/re/12a") == "none"
    assert got("/case/x") == "case"
    assert got("/h", headers={"x-p": "", "x-not": "1"}) == "present"
    assert got("/h", headers={"x-e": "v", "x-not": "1"}) == "equal"
    assert got("/h", headers={"x-r": "aaa", "x-not": "1"}) == "expression"
    assert got("/h", headers={"x-r": "ab", "x-not": "1"}) == "none"
    assert got("/h") == "inverted"
    assert got("/q?a=1") == "query" and got("/q?b=12") == "query-re" and got("/q?c=") == "query-any"
    assert got("/q?a=2") == "none"
    assert got("/m", method="PUT") == "method" and got("/m") == "none"


def test_several_matchers_of_one_route(case):
    """One Envoy route per matcher (3.10)."""
    case.serve([{"matchers": [{"exact": "/a"}, {"exact": "/b"}], **says(200, "ab")}, route("/", says(404))])
    assert [case.ask(p).status for p in ("/a", "/b", "/c")] == [200, 200, 404]


def test_domains(case):
    """domains: exact, *.suffix, prefix.*; Envoy takes the most specific."""
    base = case.name
    case.site.write(f"{case.name}.yaml",
                    vs(f"{base}-1", f"exact.{base}.test", [route("/", says(200, "exact"))]),
                    vs(f"{base}-2", f"*.{base}.test", [route("/", says(200, "suffix"))]),
                    vs(f"{base}-3", f"{base}.*", [route("/", says(200, "prefix"))]))
    case.site.settled()
    assert case.site.ask(host=f"exact.{base}.test").text == "exact"
    assert case.site.ask(host=f"a.b.{base}.test").text == "suffix"
    assert case.site.ask(host=f"{base}.example").text == "prefix"


# ---- Options by reference ----

def test_route_options_and_virtual_host_options_by_reference(case):
    """RouteOption and VirtualHostOption delegation: inline options win, then earlier references win over
    later; a set field is never deep-merged (3.3, 3.6)."""
    up = case.up()
    k = "gateway.solo.io/v1"

    def option(kind, name, options):
        return {"apiVersion": k, "kind": kind, "metadata": {"name": f"{case.name}-{name}", "namespace": NS},
                "spec": {"options": options}}
    r = route("/", to(up.name), {"prefixRewrite": "/inline/"})
    r["optionsConfigRefs"] = {"delegateOptions": [ref(f"{case.name}-r1"), ref(f"{case.name}-r2")]}
    case.site.write(f"{case.name}-o.yaml",
                    option("RouteOption", "r1", {"prefixRewrite": "/one/", "hostRewrite": "one.example"}),
                    option("RouteOption", "r2", {"hostRewrite": "two.example", "timeout": "0.3s"}),
                    option("VirtualHostOption", "v1", {"headerManipulation": {
                        "responseHeadersToAdd": [{"header": {"key": "x-v", "value": "1"}}]}}))
    case.serve([r], None, refs=[ref(f"{case.name}-v1")])
    a = case.ask("/x")
    assert a.json["path"] == "/inline/x" and a.json["headers"]["host"] == ["one.example"]
    assert a.headers["x-v"] == "1"
    up.gate, up.gate_path = threading.Event(), "/inline/slow"
    assert case.ask("/slow").status == 504
    up.gate.set()
