"""Services of Consul become endpoints: registered, scaled, failing, under maintenance, gone; also while Consul
is away, or a token sees less than before."""

import collections
import os
import signal

import pytest

import pki
from harness import NS, Poller, doc, eventually, ref, request, route, says, to, vs

CLUSTER = "consul-svc:web_gloo-system"


def consul_to(name, **more):
    return {"routeAction": {"single": {"consul": {"serviceName": name, **more}}}}


class World:
    """A site whose Settings ask for services of a Consul, and instances that are registered there."""

    def __init__(self, site, consul):
        self.site, self.consul, self.ups = site, consul, {}

    def settings(self, consul=None, **more):
        c = {"httpAddress": f"127.0.0.1:{self.consul.port}", "dnsAddress": f"127.0.0.1:{self.consul.dns}",
             "dnsPollingInterval": "1s", "serviceDiscovery": {}, **(consul or {})}
        more.setdefault("solder", {"consulServices": {"drainTime": "300ms"}})
        self.site.write("settings.yaml", doc("Settings", "default", {"consul": c, **more}))
        return self

    def routes(self, *routes, name="web"):
        self.site.write(f"vs-{name}.yaml", vs(name, f"{name}.test", list(routes)))
        return self

    def start(self, **more):
        self.site.start(**more)
        return self

    def instance(self, name, service="web", tls=None, **more):
        """A server that says NAME, registered as an instance of SERVICE under that id."""
        up = self.ups[name] = self.site.upstream(name, publish=False, tls=tls)
        more.setdefault("address", "127.0.0.1")
        self.consul.register(service, up.port, id=name, **more)
        return up

    def answers(self, path="/", n=24, host="web.test"):
        """Who answers, how often; errors by status."""
        seen = collections.Counter()
        for _ in range(n):
            a = self.site.ask(path, host=host)
            seen[a.headers.get("X-Upstream") or a.status] += 1
        return seen

    def wait_answers(self, *names, **more):
        """Waits until exactly these answer."""
        def there():
            seen = self.answers(**more)
            assert set(seen) == set(names), f"{dict(seen)}"
            return True
        eventually(there, timeout=20)

    def endpoints(self, cluster=CLUSTER, eds=None):
        """address:port -> the endpoint as Envoy gets it."""
        body = (eds or self.site.xds("eds"))[cluster]["body"]
        items = [e for part in body.get("endpoints", []) for e in part["lbEndpoints"]]
        return {"{address}:{portValue}".format(**e["endpoint"]["address"]["socketAddress"]): e for e in items}

    def problem(self):
        return [p for p in self.site.api("/v1/sources")["sources"] if p["type"] == "consul"][0]


@pytest.fixture
def make_world(make_site, make_consul):
    def make(**more):
        return World(make_site(), make_consul(**more))
    return make


@pytest.fixture
def world(make_world):
    """With a route to service web, running."""
    return make_world().settings().routes(route("/", consul_to("web"))).start()


# ---- Coming and going ----

def test_register_scale_deregister(world):
    """4.4: instances become endpoints at once; nothing but the assignment changes when they do."""
    assert world.site.ask(host="web.test").status == 503
    world.site.wait_state("VirtualService", "web", "Warning", "SLD0208")
    world.instance("a")
    world.wait_answers("a")
    world.site.wait_state("VirtualService", "web", "Accepted")
    before = {t: {n: r["version"] for n, r in world.site.xds(t).items()} for t in ("cds", "rds", "lds")}
    world.instance("b")
    world.instance("c")
    world.wait_answers("a", "b", "c")
    world.consul.deregister("b")
    world.wait_answers("a", "c")
    assert before == {t: {n: r["version"] for n, r in world.site.xds(t).items()} for t in ("cds", "rds", "lds")}
    world.consul.deregister("a")
    world.consul.deregister("c")
    eventually(lambda: world.endpoints() == {})
    eventually(lambda: world.site.ask(host="web.test").status == 503)  # Envoy's threads hear of it one after the other
    world.instance("d")
    world.wait_answers("d")


def test_only_what_is_referred_to(world):
    """A service that nobody refers to has no cluster; a route to it brings one, its removal takes it away."""
    world.instance("a")
    world.instance("x", service="other")
    world.wait_answers("a")
    assert not [n for n in world.site.xds("cds") if "other" in n]
    world.routes(route("/", consul_to("other")), name="other")
    world.wait_answers("x", host="other.test")
    world.site.remove("vs-other.yaml")
    eventually(lambda: "consul-svc:other_gloo-system" not in world.site.xds("cds"))


def test_new_route_waits_for_endpoints(world):
    """A route that moves to a service never asked for before loses no request."""
    world.instance("a")
    world.instance("x", service="other")
    world.wait_answers("a")
    with Poller(world.site.port, host="web.test") as p:
        world.routes(route("/", consul_to("other")))
        world.wait_answers("x")
        p.more(50)
    p.assert_clean()


def test_upstreams(world):
    """4.1, 4.2: an Upstream of type consul, and the upstream that is discovered."""
    world.instance("a", tags=["v1"])
    world.instance("b", tags=["v2"])
    world.site.write("upstream.yaml", doc("Upstream", "mine", {"consul": {"serviceName": "web", "instanceTags": ["v2"]}}))
    world.routes(route("/mine", to("mine")), route("/found", to("web")), route("/", consul_to("web")))
    world.wait_answers("b", path="/mine")
    world.wait_answers("a", "b", path="/found")
    world.site.wait_state("Upstream", "mine", "Accepted")
    found = world.site.object("Upstream", "web")
    assert found["state"] == "Accepted"


# ---- Health ----

def test_failing_check(world):
    """Health counts by default: a failing instance gets no new request, and is dropped after it drained."""
    a, b = world.instance("a"), world.instance("b")
    world.wait_answers("a", "b")
    world.consul.check("b", "critical")
    world.wait_answers("a")
    eventually(lambda: len(world.endpoints()) == 1)
    world.consul.check("b", "passing")
    world.wait_answers("a", "b")
    world.consul.check("a", "warning")
    world.wait_answers("b")
    world.consul.check("a", "critical")
    world.consul.check("b", "critical")
    eventually(lambda: world.endpoints() == {})


def test_draining(make_world):
    """An instance that fails is told to Envoy as draining first."""
    w = make_world().settings(solder={"consulServices": {"drainTime": "1h"}}).routes(route("/", consul_to("web")))
    w.start()
    a, b = w.instance("a"), w.instance("b")
    w.wait_answers("a", "b")
    w.consul.check("b", "critical")
    draining = eventually(lambda: w.endpoints()[f"127.0.0.1:{b.port}"].get("healthStatus") == "DRAINING")
    assert draining
    w.wait_answers("a")
    w.consul.check("b", "passing")
    w.wait_answers("a", "b")


def test_warnings_by_setting(make_world):
    """solder.consulServices.health: WARNING takes instances with warnings, with their weight for that."""
    w = make_world().settings(solder={"consulServices": {"health": "WARNING"}}).routes(route("/", consul_to("web")))
    w.start()
    a = w.instance("a", weights=(10, 3))
    w.wait_answers("a")
    assert w.endpoints()[f"127.0.0.1:{a.port}"]["loadBalancingWeight"] == 10
    w.consul.check("a", "warning")
    eventually(lambda: w.endpoints()[f"127.0.0.1:{a.port}"]["loadBalancingWeight"] == 3)
    w.wait_answers("a")


def test_catalog_by_setting(make_world):
    """solder.consulServices.health: IGNORED does what Gloo does: the catalog alone counts (4.4)."""
    w = make_world().settings(solder={"consulServices": {"health": "IGNORED"}}).routes(route("/", consul_to("web")))
    w.start()
    w.instance("a")
    w.instance("b", status="critical")
    w.wait_answers("a", "b")
    w.consul.deregister("a")
    w.wait_answers("b")


def test_maintenance(world):
    """Maintenance of an instance and of a node."""
    world.instance("a")
    world.instance("b")
    world.wait_answers("a", "b")
    world.consul.maintain("b")
    world.wait_answers("a")
    world.consul.maintain("b", False)
    world.wait_answers("a", "b")
    world.consul.maintain_node()
    eventually(lambda: world.endpoints() == {})
    world.consul.maintain_node(False)
    world.wait_answers("a", "b")


# ---- Tags, data centers, weights, TLS, names ----

def test_tags(world):
    """4.4: exactly these tags; where no instance has them any instance answers; weighted by tags."""
    world.instance("a", tags=["v1"])
    world.instance("b", tags=["v2"])
    world.instance("c", tags=["v1", "canary"])
    multi = {"routeAction": {"multi": {"destinations": [
        {"weight": 1, "destination": {"consul": {"serviceName": "web", "tags": ["v2"]}}},
        {"weight": 1, "destination": {"consul": {"serviceName": "web", "tags": ["v1", "canary"]}}}]}}}
    world.routes(route("/v1", consul_to("web", tags=["v1"])), route("/multi", multi),
                 route("/both", consul_to("web", tags=["v1", "v2"])), route("/", consul_to("web")))
    world.wait_answers("a", path="/v1")
    world.wait_answers("b", "c", path="/multi")
    world.wait_answers("a", "b", "c", path="/both")
    world.consul.register("web", world.ups["a"].port, id="a", tags=["v2"])
    world.wait_answers("a", "b", "c", path="/multi", n=60)


def test_weights(world):
    """Weights of services become weights of endpoints."""
    world.instance("a", weights=(30, 1))
    world.instance("b")
    world.wait_answers("a", "b", n=100)
    seen = world.answers(n=300)
    assert seen["a"] > 8 * seen["b"], seen


def test_metadata(world):
    """Node and metadata of the service are metadata of the endpoint."""
    a = world.instance("a", meta={"version": "7"})
    world.wait_answers("a")
    meta = world.endpoints()[f"127.0.0.1:{a.port}"]["metadata"]["filterMetadata"]["solder.consul"]
    assert meta["node"] == "n1" and meta["meta"] == {"version": "7"} and meta["id"] == "a"


def test_name_as_address(world):
    """4.4: an instance whose address is a name is looked up at consul.dnsAddress."""
    a = world.instance("a", address="n1.node.consul")
    world.wait_answers("a")
    e = world.endpoints()[f"127.0.0.1:{a.port}"]
    assert e["endpoint"]["hostname"] == "n1.node.consul"
    world.consul.register("other", 1, id="o", address="127.0.0.9")
    world.consul.register("web", a.port, id="b", address="other.service.consul")
    eventually(lambda: set(world.endpoints()) == {f"127.0.0.1:{a.port}", f"127.0.0.9:{a.port}"})
    # It moves; Consul's answer about the service stays the same.
    world.consul.register("other", 1, id="o", address="127.0.0.8")
    eventually(lambda: set(world.endpoints()) == {f"127.0.0.1:{a.port}", f"127.0.0.8:{a.port}"})
    # It is not found any more: the last good address stays.
    world.consul.deregister("o")
    eventually(lambda: world.site.get("/healthz").text.find("other.service.consul") >= 0
               or "other.service.consul" in world.site.log_text())
    assert set(world.endpoints()) == {f"127.0.0.1:{a.port}", f"127.0.0.8:{a.port}"}


def test_tls_tagging(make_world):
    """4.4: useTlsTagging with splitTlsServices: instances with the tag are reached with TLS, by <service>-tls."""
    ca = pki.Authority("ca")
    w = make_world()
    w.site.write("ca.yaml", {"apiVersion": "gloo.solo.io/v1", "kind": "Secret",
                             "metadata": {"name": "ca", "namespace": NS}, "tls": {"rootCa": ca.pem}})
    w.settings(consulDiscovery={"useTlsTagging": True, "splitTlsServices": True, "rootCa": ref("ca")})
    w.routes(route("/tls", consul_to("web-tls")), route("/", consul_to("web"))).start()
    w.instance("plain")
    w.instance("secure", tls=pki.server(w.site.dir, *ca.issue("web.test")), tags=["glooUseTls"])
    w.wait_answers("secure", path="/tls")
    w.wait_answers("plain")


def test_data_centers(make_world, make_consul):
    """4.4: instances of all data centers, or of those that Settings list; routes choose among them."""
    w = make_world()
    far = make_consul(dc="dc2", node_name="n2")
    wan = far.do("GET", "/v1/agent/self")["Config"]
    port = far.do("GET", "/v1/agent/self")["DebugConfig"]["SerfPortWAN"]
    assert wan["Datacenter"] == "dc2"
    w.consul.do("PUT", f"/v1/agent/join/127.0.0.1:{port}", wan="1")
    eventually(lambda: sorted(w.consul.do("GET", "/v1/catalog/datacenters")) == ["dc1", "dc2"])
    w.instance("near")
    up = w.ups["far"] = w.site.upstream("far", publish=False)
    far.register("web", up.port, id="far")
    w.settings().routes(route("/dc2", consul_to("web", dataCenters=["dc2"])), route("/", consul_to("web"))).start()
    w.wait_answers("near", "far")
    w.wait_answers("far", path="/dc2")
    far.check("far", "critical")
    w.wait_answers("near")
    far.check("far", "passing")
    w.wait_answers("near", "far")
    w.settings(consul={"serviceDiscovery": {"dataCenters": ["dc1", "dc9"]}})
    w.wait_answers("near")
    assert "dc9" in eventually(lambda: w.problem()["problem"] if "dc9" in str(w.problem()) else None or "dc9" in w.site.log_text() and "dc9")


# ---- Settings ----

def test_which_services_are_discovered(make_world):
    """discovery.udsOptions and consulDiscovery.serviceTagsAllowlist say which services become upstreams; both are
    followed while Solder runs, and destination.consul needs neither."""
    w = make_world().settings(discovery={"udsOptions": {"watchLabels": {"team": "a"}}})
    w.routes(route("/one", to("one")), route("/two", to("two")), route("/", consul_to("two"))).start()
    w.instance("1", service="one", tags=["team=a"])
    w.instance("2", service="two", tags=["public"])
    w.wait_answers("1", path="/one")
    w.wait_answers(503, path="/two")
    w.wait_answers("2")
    w.settings(consulDiscovery={"serviceTagsAllowlist": ["public"]})
    w.wait_answers("2", path="/two")
    w.site.wait_state("VirtualService", "web", "Warning", "SLD0201")
    w.settings()
    w.wait_answers("1", path="/one")
    w.site.wait_state("VirtualService", "web", "Accepted")
    w.settings(discovery={"udsOptions": {"enabled": False}})
    w.site.wait_state("VirtualService", "web", "Warning", "SLD0201")
    w.wait_answers("2")


def test_another_agent(make_world, make_consul):
    """consul.httpAddress and the token change while Solder runs: instances are those of the agent that is named now."""
    w = make_world(acl=True)
    other = make_consul(acl=True)
    w.settings(consul={"token": w.consul.token}).routes(route("/", consul_to("web"))).start()
    w.instance("a")
    w.wait_answers("a")
    with Poller(w.site.port, host="web.test") as p:
        b = w.ups["b"] = w.site.upstream("b", publish=False)
        other.register("web", b.port, id="b", address="127.0.0.1")
        w.settings(consul={"httpAddress": f"127.0.0.1:{other.port}", "token": "no-such-token"})
        eventually(lambda: "stale since" in w.site.get("/healthz").text)
        w.settings(consul={"httpAddress": f"127.0.0.1:{other.port}", "token": other.token})
        w.wait_answers("b")
        eventually(lambda: "stale since" not in w.site.get("/healthz").text)
        p.more(50)
    p.assert_clean()


# ---- Consul away ----

@pytest.mark.parametrize("persistent", [True, False], ids=["restarted", "state lost"])
def test_consul_killed(make_world, persistent):
    """While Consul is away, and when it comes back having lost what it knew, endpoints stay."""
    w = make_world(persistent=persistent).settings().routes(route("/", consul_to("web"))).start()
    w.instance("a", status=None)
    w.wait_answers("a")
    with Poller(w.site.port, host="web.test") as p:
        w.consul.kill()
        eventually(lambda: "stale since" in w.site.get("/healthz").text)
        w.consul.start()
        eventually(lambda: "stale since" not in w.site.get("/healthz").text, timeout=30)
        w.instance("b")
        # An agent that lost what it knew has the service again, so what it says of it counts.
        w.wait_answers(*(["a", "b"] if persistent else ["b"]))
        p.more(50)
    p.assert_clean()


@pytest.mark.parametrize("died", [False, True], ids=["stopped", "killed"])
def test_restart_while_consul_is_away(make_world, died):
    """Solder and Envoy both new, Consul down: the last known instances are served."""
    w = make_world(persistent=True).settings()
    w.routes(route("/found", to("other")), route("/", consul_to("web"))).start()
    w.instance("a", status=None)
    w.instance("b", service="other", status=None)
    w.wait_answers("a")
    w.wait_answers("b", path="/found")
    kept = w.site.state / "services.consul"
    eventually(lambda: '"other"' in kept.read_text())
    if died:
        envoy = w.site.envoy_pid()
        w.site.kill()
        os.kill(envoy, signal.SIGKILL)
    else:
        w.site.stop()
    w.consul.kill()
    w.start()
    w.wait_answers("a")
    w.wait_answers("b", path="/found")
    eventually(lambda: "stale since" in w.site.get("/healthz").text)
    w.consul.start()
    w.instance("c")
    w.wait_answers("a", "c")
    w.consul.deregister("a")
    w.wait_answers("c")


def test_chosen_while_nobody_knows_by_what(make_world):
    """Solder is killed, what it knew of services is lost, and Consul is away: an Envoy that lived on goes on choosing
    instances by tags as it did."""
    w = make_world(persistent=True).settings()
    w.instance("a", tags=["v1"], status=None)
    w.instance("b", tags=["v2"], status=None)
    w.routes(route("/", consul_to("web", tags=["v1"]))).start()
    w.wait_answers("a")
    with Poller(w.site.port, lambda a: None if a.headers.get("X-Upstream") == "a" else f"{a.status} {a.text}",
                host="web.test") as p:
        w.site.kill()
        w.consul.kill()
        (w.site.state / "services.consul").unlink()
        w.start(wait=False)
        w.site.wait_ready(60)
        eventually(lambda: "stale since" in w.site.get("/healthz").text)
        # It came back, and was told what is new.
        eventually(lambda: [e for e in w.site.api("/v1/envoys")["envoys"] if e["converged"] and e["types"]["rds"]["subscribed"]])
        p.more(60)
        w.consul.start()
        eventually(lambda: w.site.object("virtualservices", "web")["state"] == "Accepted")
        w.site.write("vs-more.yaml", vs("more", "more.test", [route("/", says(200, "more"))]))
        w.site.wait_answer(lambda a: a.text == "more", host="more.test")
        p.more(20)
    p.assert_clean()
    w.instance("c", tags=["v1"], status=None)
    w.wait_answers("a", "c")


def test_services_no_longer_asked_for(make_world):
    """Settings without serviceDiscovery: nothing is known of services any more, and nothing is kept of them."""
    w = make_world().settings().routes(route("/", consul_to("web"))).start()
    w.instance("a")
    w.wait_answers("a")
    kept = w.site.state / "services.consul"
    eventually(lambda: kept.exists())
    w.site.write("settings.yaml", doc("Settings", "default", {"consul": {"httpAddress": f"127.0.0.1:{w.consul.port}"}}))
    w.site.wait_state("VirtualService", "web", "Warning", "SLD0208")
    eventually(lambda: not kept.exists())
    w.settings()
    w.site.wait_state("VirtualService", "web", "Accepted")
    w.wait_answers("a")


def test_token_loses_rights(make_world):
    """A token that may not see the service any more is no reason to drop its endpoints (1.8 says nothing of it)."""
    w = make_world(acl=True)
    c = w.consul
    c.policy("read", 'service_prefix "" {policy="read"} node_prefix "" {policy="read"}')
    _, token = c.make_token("read")
    w.settings(consul={"token": token, "waitTime": "1s"}).routes(route("/", consul_to("web"))).start()
    w.instance("a")
    w.wait_answers("a")
    c.policy("read", 'service "other" {policy="read"} node_prefix "" {policy="read"}')
    eventually(lambda: "may not see service web" in w.site.log_text() + w.site.get("/healthz").text)
    w.wait_answers("a")
    c.policy("read", 'service_prefix "" {policy="read"} node_prefix "" {policy="read"}')
    w.instance("b")
    w.wait_answers("a", "b")
    assert "may not see service web" not in w.site.get("/healthz").text
    c.deregister("a")
    c.deregister("b")
    eventually(lambda: w.endpoints() == {})


# ---- Many ----

def connections_to(pid, port):
    """Open connections of a process to PORT of this machine."""
    mine = set()
    for fd in os.scandir(f"/proc/{pid}/fd"):
        try:
            mine.add(os.readlink(fd.path))
        except OSError:
            continue
    found = 0
    for line in open(f"/proc/{pid}/net/tcp").read().splitlines()[1:]:
        part = line.split()
        if int(part[2].split(":")[1], 16) == port and part[3] == "01" and f"socket:[{part[9]}]" in mine:
            found += 1
    return found


def test_more_services_than_watches(make_world):
    """Changes are seen of all of many services, with few connections."""
    n = 220
    w = make_world().settings()
    w.routes(*[route(f"/{i}/", consul_to(f"svc{i}")) for i in range(n)], route("/", consul_to("web")))
    node = [{"ID": f"svc{i}-1", "Service": f"svc{i}", "Address": "127.0.0.1", "Port": 2000 + i} for i in range(n)]
    w.consul.catalog("far", "127.0.0.2", node)
    w.start(envoy=False)

    def of(i, eds=None):
        return set(w.endpoints(f"consul-svc:svc{i}_gloo-system", eds))

    def all_of():
        eds = w.site.xds("eds")
        return [of(i, eds) for i in range(n)]
    eventually(lambda: all_of() == [{f"127.0.0.1:{2000 + i}"} for i in range(n)])
    assert connections_to(w.site.proc.pid, w.consul.port) < 150
    for i in (0, n // 2, n - 1):
        w.consul.catalog("far", "127.0.0.2", [{"ID": f"svc{i}-2", "Service": f"svc{i}", "Address": "127.0.0.1",
                                               "Port": 3000 + i}])
    for i in (0, n // 2, n - 1):
        eventually(lambda i=i: of(i) == {f"127.0.0.1:{2000 + i}", f"127.0.0.1:{3000 + i}"}, timeout=10)
    # The port of one: no instance more or less.
    for i in (5, n - 5):
        w.consul.catalog("far", "127.0.0.2", [{"ID": f"svc{i}-1", "Service": f"svc{i}", "Address": "127.0.0.1",
                                               "Port": 4000 + i}])
        eventually(lambda i=i: of(i) == {f"127.0.0.1:{4000 + i}"}, timeout=10)
    for i in (7, n - 7):
        def health(status, i=i):
            w.consul.transact([{"Check": {"Verb": "set", "Check": {
                "Node": "far", "CheckID": f"c{i}", "Name": "c", "Status": status, "ServiceID": f"svc{i}-1"}}}])
        health("critical")
        eventually(lambda i=i: of(i) == set(), timeout=10)
        health("passing")
        eventually(lambda i=i: of(i) == {f"127.0.0.1:{2000 + i}"}, timeout=10)
    # A whole node.
    w.consul.transact([{"Check": {"Verb": "set", "Check": {"Node": "far", "CheckID": "serfHealth", "Name": "s",
                                                          "Status": "critical"}}}])
    eventually(lambda: not any(all_of()), timeout=20)
    w.consul.do("PUT", "/v1/catalog/deregister", {"Node": "far", "ServiceID": "svc3-1"})
    w.consul.transact([{"Check": {"Verb": "set", "Check": {"Node": "far", "CheckID": "serfHealth", "Name": "s",
                                                          "Status": "passing"}}}])
    eventually(lambda: [i for i, e in enumerate(all_of()) if not e] == [3], timeout=20)
