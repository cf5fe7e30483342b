"""Write, change, rename and delete every kind of document; the gateway follows without one wrong
answer; every object's status says the truth."""

import pytest

from harness import (NS, Poller, doc, eventually, free_port, gateway, ref, request, route, says, table, to,
                     upstream, vs)


def host(name):
    return f"{name}.test"


@pytest.fixture
def busy(shared):
    """Nothing a test does disturbs the rest: a poller on a virtual service of its own."""
    if not (shared.config / "steady.yaml").exists():
        # What nothing refers to goes from Envoys soon, so that its absence can be seen.
        shared.write("settings.yaml", doc("Settings", "default", {"solder": {"linger": "0.2s"}}))
        # So many that what a test removes is never most of all objects.
        shared.write("filler.yaml", *[table(f"filler-{i}", []) for i in range(60)])
        shared.upstream("steady")
        shared.write("steady.yaml", vs("steady", "steady.test", [route("/", to("steady"))]))
        shared.wait_answer(200, host="steady.test")
    with Poller(shared.port, host="steady.test") as p:
        yield shared
        shared.settled()
        p.more(5)
    p.assert_clean()


def gone(site, kind, name):
    return site.get(f"/v1/objects/{kind}/{NS}/{name}").status == 404


def test_virtual_service(busy):
    """VirtualService: write, change, rename the file, rename the object, delete."""
    busy.write("v1.yaml", vs("v1", host("v1"), [route("/", says(200, "one"))]))
    busy.wait_answer(lambda a: a.text == "one", host=host("v1"))
    busy.wait_state("VirtualService", "v1", "Accepted")
    busy.write("v1.yaml", vs("v1", host("v1"), [route("/", says(200, "two"))]))
    busy.wait_answer(lambda a: a.text == "two", host=host("v1"))
    with Poller(busy.port, lambda a: None if a.text == "two" else a.text, host=host("v1")) as p:
        busy.rename("v1.yaml", "v1-moved.yaml")
        eventually(lambda: "v1-moved.yaml" in busy.object("VirtualService", "v1")["origin"])
        busy.settled()
        p.more(5)
    p.assert_clean()
    with Poller(busy.port, lambda a: None if a.text == "two" else a.text, host=host("v1")) as p:
        busy.write("v1-moved.yaml", vs("v1-renamed", host("v1"), [route("/", says(200, "two"))]))
        eventually(lambda: gone(busy, "VirtualService", "v1"))
        busy.wait_state("VirtualService", "v1-renamed", "Accepted")
        busy.settled()
        p.more(5)
    p.assert_clean()
    busy.remove("v1-moved.yaml")
    busy.wait_answer(404, host=host("v1"))
    eventually(lambda: gone(busy, "VirtualService", "v1-renamed"))


def test_route_table(busy):
    """RouteTable: write, change, rename, delete; a missing table is a warning and its route is left
    out."""
    delegate = {"delegateAction": {"ref": ref("rt")}}
    busy.write("rt-vs.yaml", vs("rt", host("rt"), [route("/a", delegate), route("/", says(200, "rest"))]))
    busy.wait_state("VirtualService", "rt", "Warning", "SLD0203")
    assert busy.ask("/a", host("rt")).text == "rest"
    busy.write("rt.yaml", table("rt", [route("/a/x", says(200, "x"))]))
    busy.wait_answer(lambda a: a.text == "x", "/a/x", host("rt"))
    busy.wait_state("VirtualService", "rt", "Accepted")
    busy.wait_state("RouteTable", "rt", "Accepted")
    busy.write("rt.yaml", table("rt", [route("/a/x", says(200, "y"))]))
    busy.wait_answer(lambda a: a.text == "y", "/a/x", host("rt"))
    with Poller(busy.port, lambda a: None if a.text == "y" else a.text, path="/a/x", host=host("rt")) as p:
        busy.rename("rt.yaml", "rt-moved.yaml")
        busy.settled()
        p.more(5)
    p.assert_clean()
    busy.remove("rt-moved.yaml")
    busy.wait_answer(lambda a: a.text == "rest", "/a/x", host("rt"))
    busy.wait_state("VirtualService", "rt", "Warning", "SLD0203")
    busy.remove("rt-vs.yaml")


def test_upstream(busy):
    """Upstream: a missing one is a warning, and 503 at run time (9.1); written it works; deleted it is
    missing again."""
    busy.write("us-vs.yaml", vs("us", host("us"), [route("/", to("us"))]))
    busy.wait_state("VirtualService", "us", "Warning", "SLD0201")
    busy.wait_answer(503, host=host("us"))
    up = busy.upstream("us", publish=False)
    busy.write("us.yaml", upstream("us", up.port))
    busy.wait_answer(200, host=host("us"))
    busy.wait_state("VirtualService", "us", "Accepted")
    busy.wait_state("Upstream", "us", "Accepted")
    busy.remove("us.yaml")
    busy.wait_answer(503, host=host("us"))
    busy.wait_state("VirtualService", "us", "Warning", "SLD0201")
    busy.remove("us-vs.yaml")


def test_upstream_is_renamed_in_one_edit(busy):
    """Upstream and the route to it change together: the route moves to a new cluster without a wrong
    answer."""
    up = busy.upstream("moved", publish=False)
    n = 0

    def write(name):
        busy.write("moved.yaml", upstream(name, up.port), vs("moved", host("moved"), [route("/", to(name))]))
    write("moved-0")
    busy.wait_answer(200, host=host("moved"))
    with Poller(busy.port, host=host("moved"), threads=2) as p:
        for n in range(1, 20):
            write(f"moved-{n}")
            p.more(8)
        busy.settled()
        p.more(10)
    p.assert_clean()
    busy.remove("moved.yaml")


def test_upstream_group(busy):
    """UpstreamGroup: missing, written, deleted."""
    up = busy.upstream("member")
    busy.write("ug-vs.yaml", vs("ug", host("ug"), [route("/", {"routeAction": {"upstreamGroup": ref("ug")}})]))
    busy.wait_state("VirtualService", "ug", "Warning", "SLD0202")
    busy.wait_answer(503, host=host("ug"))
    busy.write("ug.yaml", doc("UpstreamGroup", "ug", {"destinations": [
        {"destination": {"upstream": ref(up.name)}, "weight": 1}]}))
    busy.wait_answer(200, host=host("ug"))
    busy.wait_state("UpstreamGroup", "ug", "Accepted")
    busy.write("ug.yaml", doc("UpstreamGroup", "ug", {"destinations": [
        {"destination": {"upstream": ref("nobody")}, "weight": 1}]}))
    o = eventually(lambda: (o := busy.object("UpstreamGroup", "ug"))["findings"] and o)
    assert "SLD0201" in {f["code"] for f in o["findings"]}
    busy.remove("ug.yaml")
    busy.wait_answer(503, host=host("ug"))
    busy.remove("ug-vs.yaml")


@pytest.mark.parametrize("kind", ["RouteOption", "VirtualHostOption"])
def test_option_resources(busy, kind):
    """RouteOption and VirtualHostOption: missing is a warning (3.3), written counts, changed, deleted."""
    up = busy.upstream(f"opt-{kind.lower()}")
    name = kind.lower()

    def option(value):
        return doc(kind, name, {"options": {"headerManipulation": {
            "responseHeadersToAdd": [{"header": {"key": "x-o", "value": value}}]}}})
    r = route("/", to(up.name))
    if kind == "RouteOption":
        r["optionsConfigRefs"] = {"delegateOptions": [ref(name)]}
    busy.write(f"{name}-vs.yaml", vs(name, host(name), [r], refs=[ref(name)] if kind != "RouteOption" else None))
    busy.wait_state("VirtualService", name, "Warning", "SLD0204")
    assert busy.ask(host=host(name)).status == 200
    busy.write(f"{name}.yaml", option("1"))
    busy.wait_answer(lambda a: a.headers["x-o"] == "1", host=host(name))
    busy.wait_state("VirtualService", name, "Accepted")
    busy.write(f"{name}.yaml", option("2"))
    busy.wait_answer(lambda a: a.headers["x-o"] == "2", host=host(name))
    busy.remove(f"{name}.yaml")
    busy.wait_answer(lambda a: a.headers["x-o"] is None, host=host(name))
    busy.remove(f"{name}-vs.yaml")


def test_gateway(busy):
    """Gateway: written opens its port, changed moves it, deleted closes it; the others do not notice."""
    a, b = free_port(), free_port()
    busy.write("gw-vs.yaml", vs("gw", host("gw"), [route("/", says(200, "gw"))]))
    busy.write("gw.yaml", gateway("gw", a, http_={"virtualServices": [ref("gw")]}))
    eventually(lambda: request(a, host=host("gw")).text == "gw")
    busy.write("gw.yaml", gateway("gw", b, http_={"virtualServices": [ref("gw")]}))
    eventually(lambda: request(b, host=host("gw")).text == "gw")
    eventually(lambda: not connects(a))
    busy.remove("gw.yaml")
    eventually(lambda: not connects(b))
    busy.remove("gw-vs.yaml")


def connects(port):
    try:
        request(port)
        return True
    except OSError:
        return False


def test_two_gateways_on_one_port(busy):
    """Two gateways on one port are found (3.1)."""
    a, b = free_port(), free_port()
    busy.write("pc-vs.yaml", vs("pc", host("pc"), [route("/", says(200, "pc"))]))
    busy.write("pc-1.yaml", gateway("pc-1", a))
    eventually(lambda: request(a, host=host("pc")).text == "pc")
    busy.write("pc-2.yaml", gateway("pc-2", a))
    o = busy.wait_state("Gateway", "pc-2", "Rejected", "SLD0301")
    assert "pc-1" in o["reason"]
    assert busy.object("Gateway", "pc-1")["state"] == "Accepted", "a newcomer takes nothing from who was there"
    assert request(a, host=host("pc")).text == "pc"
    busy.write("pc-2.yaml", gateway("pc-2", b))
    eventually(lambda: request(b, host=host("pc")).text == "pc")
    busy.wait_state("Gateway", "pc-1", "Accepted")
    for n in ("pc-1.yaml", "pc-2.yaml", "pc-vs.yaml"):
        busy.remove(n)


def test_statuses_have_gloos_shape(busy):
    """0.3: statuses by the reporter's namespace, with state, reason, reportedBy, sub-resources by
    Proxy."""
    busy.write("st.yaml", vs("st", host("st"), [route("/", to("nobody-here"))]))
    busy.wait_state("VirtualService", "st", "Warning")
    o = busy.get(f"/v1/objects/virtualservices/{NS}/st?format=resource").json
    s = o["status"]["statuses"][NS]
    assert s["state"] in ("Warning", 3) and s["reportedBy"] == "gloo" and "nobody-here" in s["reason"]
    assert f"*v1.Proxy.gateway-proxy_{NS}" in s["subresourceStatuses"]
    busy.remove("st.yaml")


def test_documents_of_every_form(busy):
    """Several documents a file, List unpacked, JSON, Gloo's layout <plural>/<namespace>/, missing
    namespace is the write namespace, foreign kinds ignored, names beginning with a dot skipped."""
    routes = [route("/", says(200, "form"))]
    busy.write("forms/list.json", '{"apiVersion": "v1", "kind": "List", "items": [%s]}' % (
        '{"apiVersion":"gateway.solo.io/v1","kind":"VirtualService","metadata":{"name":"form-list"},'
        '"spec":{"virtualHost":{"domains":["form-list.test"],"routes":[{"matchers":[{"prefix":"/"}],'
        '"directResponseAction":{"status":200,"body":"form"}}]}}}'))
    busy.write("forms/virtualservices/teamspace/flat.yml", {
        "metadata": {"name": "form-flat", "namespace": "teamspace"},
        "virtual_host": {"domains": ["form-flat.test"], "routes": routes}})
    busy.write("forms/foreign.yaml", {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}},
               vs("form-after", "form-after.test", routes))
    busy.write("forms/.hidden.yaml", vs("form-hidden", "form-hidden.test", routes))
    busy.write("forms/readme.txt", "not: [yaml")
    for name in ("form-list", "form-flat", "form-after"):
        busy.wait_answer(lambda a: a.text == "form", host=f"{name}.test")
    assert busy.object("VirtualService", "form-flat", "teamspace")["state"] == "Accepted"
    assert busy.ask(host="form-hidden.test").status == 404
    assert not [f for f in busy.api("/v1/findings")["items"] if "forms/" in str(f)], "nothing to complain of"


def test_proxies_and_discovered_upstreams_are_not_input(busy):
    """Leftovers of Gloo in a store (Proxies it wrote, discovered Upstreams) are recognised by their
    labels and not taken as input."""
    busy.write("left.yaml",
               {"apiVersion": "gloo.solo.io/v1", "kind": "Proxy", "metadata": {
                   "name": "gateway-proxy", "namespace": NS, "labels": {"created_by": "gloo-gateway"}},
                "spec": {"listeners": [{"name": "l", "bindAddress": "::", "bindPort": busy.port}]}},
               {"apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": {
                   "name": "default-x-80", "namespace": NS, "labels": {"discovered_by": "kubernetesplugin"}},
                "spec": {"kube": {"serviceName": "x", "serviceNamespace": "default", "servicePort": 80}}},
               vs("left", host("left"), [route("/", says(200))]))
    busy.wait_answer(200, host=host("left"))
    assert gone(busy, "Upstream", "default-x-80") and gone(busy, "Proxy", "gateway-proxy")
    busy.remove("left.yaml")


# ---- Delegation (3.6) ----

def test_delegation(busy):
    """Delegation with references, selectors, expressions, weights, sorting, inheritance of matchers,
    prefixes and options."""
    up = busy.upstream("deleg")

    def t(name, prefix, body, labels, weight=None, ns=NS, **more):
        return table(name, [{**route(prefix, says(200, body)), **more}], ns=ns, meta={"labels": labels},
                     **({"weight": weight} if weight is not None else {}))
    parent = route("/in", {"delegateAction": {"ref": ref("dl-inherit")}}, {"prefixRewrite": "/from-parent"},
                   headers=[{"name": "x-h", "value": "1"}])
    parent["inheritableMatchers"] = True
    busy.write("dl.yaml", vs("dl", host("dl"), [
        route("/sel", {"delegateAction": {"selector": {"labels": {"dl": "sel"}, "namespaces": ["*"]}}}),
        route("/exp", {"delegateAction": {"selector": {"expressions": [
            {"key": "dl-e", "operator": "In", "values": ["yes"]}]}}}),
        parent, route("/", says(404, "none"))]),
        t("dl-late", "/sel", "late", {"dl": "sel"}, weight=10),
        t("dl-early", "/sel/long", "early", {"dl": "sel"}, weight=5, ns="other"),
        t("dl-e1", "/exp/a", "short", {"dl-e": "yes"}), t("dl-e2", "/exp/a/b", "long", {"dl-e": "yes"}),
        t("dl-e3", "/exp/c", "no", {"dl-e": "no"}),
        t("dl-e4", "/elsewhere", "never", {"dl-e": "yes"}),
        table("dl-inherit", [{**route("/in/x", to(up.name))},
                             {**route("/in/y", to(up.name), {"prefixRewrite": "/own"})}]))
    busy.settled()

    def got(path, **more):
        return busy.ask(path, host("dl"), **more).text
    assert got("/sel/long/x") == "early" and got("/sel/x") == "late"
    assert got("/exp/a/b") == "long" and got("/exp/a/c") == "short" and got("/exp/c") == "none"
    assert got("/in/x") == "none"
    assert busy.ask("/in/x", host("dl"), headers={"x-h": "1"}).json["path"] == "/from-parent"
    assert busy.ask("/in/y", host("dl"), headers={"x-h": "1"}).json["path"] == "/own"
    busy.wait_state("RouteTable", "dl-e4", "Warning", "SLD0407")
    busy.wait_state("VirtualService", "dl", "Warning")
    busy.remove("dl.yaml")


def test_cycle(busy):
    """Cycle: an error on the table that would be revisited, on the virtual service too; the rest works."""
    busy.write("cy-ok.yaml", vs("cy-ok", host("cy-ok"), [route("/", says(200))]))
    busy.write("cy.yaml", vs("cy", host("cy"), [route("/", {"delegateAction": {"ref": ref("cy-a")}})]),
               table("cy-a", [route("/a", {"delegateAction": {"ref": ref("cy-b")}})]),
               table("cy-b", [route("/a/b", {"delegateAction": {"ref": ref("cy-a")}})]))
    busy.wait_state("VirtualService", "cy", "Rejected", "SLD0408")
    busy.wait_answer(200, host=host("cy-ok"))
    busy.write("cy.yaml", vs("cy", host("cy"), [route("/", {"delegateAction": {"ref": ref("cy-a")}})]),
               table("cy-a", [route("/a", {"delegateAction": {"ref": ref("cy-b")}})]),
               table("cy-b", [route("/a/b", says(200, "end"))]))
    busy.wait_answer(lambda a: a.text == "end", "/a/b", host("cy"))
    busy.remove("cy.yaml")
    busy.remove("cy-ok.yaml")


def test_orphans_are_noted(busy):
    """Orphans: an object nothing refers to is a note, not a warning."""
    busy.write("orphan.yaml", table("orphan", [route("/", says(200))]))
    o = eventually(lambda: busy.object("RouteTable", "orphan"))
    busy.settled()
    o = busy.object("RouteTable", "orphan")
    assert o["state"] in ("Accepted", "Pending") and o["warnings"] == o["errors"] == 0
    busy.remove("orphan.yaml")


def test_replaced_invalid_routes(make_site):
    """invalidConfigPolicy.replaceInvalidRoutes: a route to a missing upstream answers with the
    configured code and text (3.12); Settings are hot-reloaded."""
    site = make_site()

    def settings(code):
        site.write("settings.yaml", doc("Settings", "default", {"gloo": {"invalidConfigPolicy": {
            "replaceInvalidRoutes": True, "invalidRouteResponseCode": code, "invalidRouteResponseBody": "sorry"}}}))
    site.write("vs.yaml", vs("r", "*", [route("/", to("nobody"))]))
    site.start()
    site.wait_answer(503)
    settings(404)
    a = site.wait_answer(404)
    assert a.text == "sorry"
    site.wait_state("VirtualService", "r", "Warning", "SLD0412")
    seen = []
    with Poller(site.port, lambda a: seen.append(a.status)) as p:
        p.more(20)
        settings(418)
        site.wait_answer(418)
        p.more(5)
        del seen[:]
        p.more(100)
    assert set(seen) == {418}, "connections within Envoy that were there before have the former code"
    site.remove("settings.yaml")
    site.wait_answer(503)
