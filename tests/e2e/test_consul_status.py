"""Statuses in Consul: in the values as Gloo has them, or beside; written by one of several Solders."""

import json
import re
import signal
import socket

import pytest
import yaml

from consul import flat, key_of
from harness import NS, cli, doc, dump, eventually, free_port, gateway, route, says, to, upstream, vs

LEADER = "gloo/solder/leader"
SENTINEL = "gloo/solder/sentinel"


def host(name, body="1"):
    return vs(name, f"{name}.test", [route("/", says(200, body))])


def broken(name):
    """Refers to what is not there."""
    return vs(name, f"{name}.test", [route("/", to("nobody-here"))])


def beside(d, root="gloo"):
    return f"{root}-status/" + key_of(d, root).split("/", 1)[1]


class World:
    """An agent, and Solders that have their configuration from it."""

    def __init__(self, make_site, consul):
        self.make_site, self.consul, self.sites = make_site, consul, []

    def start(self, place=None, envoy=False, env=None, **settings):
        site = self.make_site(gateway_=False)
        self.sites.append(site)
        args = ["--xds", f"127.0.0.1:{free_port()}"] if len(self.sites) > 1 else []
        if place:
            settings["solder"] = {"consulKv": {"statusPlace": place}}
        if settings:
            (site.dir / "settings.yaml").write_text(yaml.safe_dump(settings))
            args += ["--settings", site.dir / "settings.yaml"]
        self.run(site, *args, envoy=envoy, env=env)
        return site

    def run(self, site, *args, envoy=False, env=None):
        site.start(*args, configs=[f"consul://127.0.0.1:{self.consul.port}/gloo"], envoy=envoy, env=env)

    def beside(self, d, ns=NS):
        """The status beside D as a document, or None."""
        e = self.consul.get(beside(d))
        return json.loads(e.value)["statuses"].get(ns) if e else None

    def in_value(self, d, ns=NS):
        return self.consul.get(key_of(d)).doc.get("namespacedStatuses", {}).get("statuses", {}).get(ns)

    def wait(self, where, d, state, words=""):
        def there():
            s = where(d)
            assert s and s["state"] == state and words in s.get("reason", ""), (d["metadata"]["name"], s)
            return s
        return eventually(there, 30)

    def leader(self):
        """The session that has the lock; waits for one."""
        def held():
            e = self.consul.get(LEADER)
            assert e and e.session
            return e.session
        return eventually(held, 60)

    def leading(self):
        """The sites that think that they lead."""
        return [s for s in self.sites if s.proc.poll() is None and takes(s) > losses(s)]


def takes(site):
    return len(site.events("consul_lock_taken"))


def writer(site):
    """Who writes statuses to Consul, as SITE tells."""
    return next(s for s in site.api("/v1/sources")["sources"] if s["type"] == "consul").get("statuses")


def losses(site):
    return len(site.events("consul_lock_lost"))


@pytest.fixture
def world(make_site, make_consul):
    w = World(make_site, make_consul())
    w.consul.write(gateway("gateway-proxy", 8080), host("a"))
    return w


# ---- Beside ----

def test_beside_by_default(world):
    """Values that never had a status are not written to; what goes takes its status along."""
    before = {k: e.index for k, e in world.consul.entries("gloo/gateway.solo.io/").items()}
    site = world.start()
    world.wait(world.beside, host("a"), "Accepted")
    assert world.consul.get(SENTINEL).doc["status"] == "beside"
    assert {k: e.index for k, e in world.consul.entries("gloo/gateway.solo.io/").items()} == before
    world.consul.write(broken("b"))
    s = world.wait(world.beside, broken("b"), "Warning", "nobody-here")
    assert s["reportedBy"] == "gloo" and s["warnings"] >= 1
    assert s["findings"][0]["code"] == "SLD0201" and s["findings"][0]["path"].startswith("virtualHost.")
    world.consul.write(host("b"))
    world.wait(world.beside, host("b"), "Accepted")
    world.consul.remove(host("b"))
    eventually(lambda: world.beside(host("b")) is None)
    assert world.beside(host("a"))["state"] == "Accepted"
    assert not site.api("/v1/sources")["sources"][0].get("problem")
    # Settings have one as everybody else.
    settings = doc("Settings", "default", {"refreshRate": "20s"})
    world.consul.write(settings)
    world.wait(world.beside, settings, "Accepted")


def test_a_restart_writes_nothing(world):
    """Statuses that are there are left alone; those of objects that went meanwhile go."""
    world.consul.write(host("b"))
    site = world.start()
    world.wait(world.beside, host("a"), "Accepted")
    world.wait(world.beside, host("b"), "Accepted")
    assert site.stop() == 0
    index = world.consul.get(beside(host("a"))).index
    world.consul.remove(host("b"))
    world.run(site)
    eventually(lambda: world.beside(host("b")) is None, 30)
    assert world.consul.get(beside(host("a"))).index == index


def test_many_lists_are_bounded(world):
    """Of many findings some are told, and how many there are."""
    many = host("many")
    many["spec"]["virtualHost"]["routes"] = [route(f"/{i}", to(f"none-{i}")) for i in range(150)]
    world.consul.write(many)
    world.start()
    s = world.wait(world.beside, many, "Warning")
    assert s["warnings"] >= 100 and len(s["findings"]) == 16 and len(s["reason"]) <= 1024 and "more" in s["reason"]
    assert len(world.consul.get(beside(many)).value) < 16384


# ---- In values ----

GLOOS = """\
# Ours.
virtualHost:   # not sorted
  domains: ["g.test"]
  routes:
  - matchers: [{prefix: /}]
    directResponseAction: {status: 200, body: "1"}
metadata: {name: g, namespace: gloo-system}
"""
OLD = """\
namespacedStatuses:
  statuses:
    gloo-system:
      reportedBy: gloo
      state: 2
    other:
      state: Accepted
"""


def test_in_values_where_gloo_kept_them(world):
    """A tree of Gloo's keeps statuses where they were; the rest of each value stays byte for byte."""
    c = world.consul
    c.put(key_of(host("g")), GLOOS + OLD)
    text = c.get(key_of(host("a"))).text
    c.put(key_of(host("j")), json.dumps(flat(host("j")), indent=2))
    world.start()
    world.wait(world.in_value, host("g"), "Accepted")
    world.wait(world.in_value, host("a"), "Accepted")
    world.wait(world.in_value, host("j"), "Accepted")
    assert c.get(SENTINEL).doc["status"] == "value"
    value = c.get(key_of(host("g"))).text
    assert value.startswith(GLOOS) and yaml.safe_load(value)["namespacedStatuses"]["statuses"]["other"] == {
        "state": "Accepted"}
    assert c.get(key_of(host("a"))).text.startswith(text)
    j = c.get(key_of(host("j"))).text
    assert json.loads(j)["namespacedStatuses"] and j.startswith(json.dumps(flat(host("j")), indent=2)[:-2])
    assert c.entries("gloo-status/") == {}


def test_edits_in_between(world):
    """Who puts a document without its status gets it again; an edit is never overwritten."""
    world.start("IN_VALUE")
    world.wait(world.in_value, host("a"), "Accepted")
    for n in range(20):
        world.consul.write(host("a", f"edit {n}") if n % 2 else broken("a"))
    world.wait(world.in_value, host("a"), "Accepted")
    assert "edit 19" in world.consul.get(key_of(host("a"))).text
    world.consul.write(broken("a"))
    world.wait(world.in_value, broken("a"), "Warning", "nobody-here")


def test_statuses_cause_no_work(world):
    """Neither our own writes nor those of another control plane change anything."""
    site = world.start("IN_VALUE")
    world.wait(world.in_value, host("a"), "Accepted")

    def rounds(mark):
        world.consul.write(host("mark", mark))
        eventually(lambda: mark in site.get(f"/v1/objects/virtualservices/{NS}/mark?document=true").text)
        return int(re.search(r"^solder_config_generation (\d+)", site.get("/metrics").text, re.M)[1])
    rounds("first")
    world.wait(world.in_value, host("mark"), "Accepted")
    one, two = rounds("second"), rounds("third")
    doc = world.consul.get(key_of(host("a"))).doc
    for n in range(5):
        doc["namespacedStatuses"]["statuses"]["other"] = {"state": "Accepted", "reason": str(n)}
        assert world.consul.put(key_of(host("a")), doc)
    assert rounds("fourth") - two == two - one
    assert world.in_value(host("a"), "other") == {"state": "Accepted", "reason": "4"}


def test_apply_over_a_status(world):
    """apply sees through statuses: what says the same is unchanged; what it writes gets one again."""
    world.start("IN_VALUE")
    world.wait(world.in_value, host("a"), "Accepted")
    address = f"consul://127.0.0.1:{world.consul.port}/gloo"
    done = cli("apply", "-f", "-", "--config", address, stdin=dump(host("a")))
    assert done.stdout.endswith("unchanged\n"), done
    assert cli("diff", "-f", "-", "--config", address, stdin=dump(host("a"))).returncode == 0
    done = cli("apply", "-f", "-", "--config", address, stdin=dump(host("a", "2")))
    assert done.stdout.endswith("configured\n"), done
    world.wait(world.in_value, host("a"), "Accepted")


def test_nowhere(world):
    """By a setting nothing is written at all, but the key by which the store is known."""
    site = world.start("NONE")
    world.consul.write(broken("a"))
    site.wait_state("virtualservices", "a", "Warning")
    assert world.consul.entries("gloo-status/") == {} and world.consul.get(LEADER) is None
    assert world.in_value(broken("a")) is None


# ---- Rights ----

def test_without_rights(make_site, make_consul):
    """A token that may only read: it is told, nothing is down, and mended rights are enough."""
    c = make_consul(acl=True)
    w = World(make_site, c)
    c.write(gateway("gateway-proxy", 8080), host("a"))
    c.policy("solder", 'key_prefix "gloo/" { policy = "read" }')
    site = w.start(env={"CONSUL_HTTP_TOKEN": c.make_token("solder")[1]})

    def told():
        text = json.dumps(site.api("/v1/findings"))
        assert "no statuses are written without the lock" in text and "Permission denied" in text, text
        return True
    eventually(told)
    assert not site.api("/v1/sources")["sources"][0].get("problem") and "stale" not in site.get("/healthz").text
    c.policy("solder", 'key_prefix "gloo/" { policy = "write" } key_prefix "gloo-status/" { policy = "write" } '
                       'session_prefix "" { policy = "write" }')
    w.wait(w.beside, host("a"), "Accepted")
    eventually(lambda: "without the lock" not in json.dumps(site.api("/v1/findings")))
    # One kind that may not be written is no reason for the others.
    c.policy("solder", 'key_prefix "gloo/" { policy = "write" } key_prefix "gloo-status/" { policy = "write" } '
                       'key_prefix "gloo-status/gloo.solo.io/" { policy = "read" } '
                       'session_prefix "" { policy = "write" }')
    c.write(upstream("u", 1), host("b"))
    w.wait(w.beside, host("b"), "Accepted")
    assert c.get(beside(upstream("u", 1))) is None


# ---- Several ----

def test_one_of_three_writes(world):
    """Each status is written once; a leader that ends well hands over, one that is killed is succeeded."""
    for _ in range(3):
        world.start()
    world.wait(world.beside, host("a"), "Accepted")
    first = world.leader()
    assert len(world.leading()) == 1
    # Who it is can be asked of each.
    lead, = world.leading()
    holder = f"{socket.gethostname()} (pid {lead.proc.pid})"
    for site in world.sites:
        ours = site is lead
        eventually(lambda: writer(site) == {"lock": LEADER, "ours": ours, "holder": holder})
        assert site.metric("solder_source_status_writer") == ours
        where = {"SOLDER_ADMIN": f"unix:{site.admin}"}
        shown = cli("get", "sources", env=where).stdout
        assert ("this one" if ours else holder) in shown and "consul://" in shown, shown
        whole = site.api("/v1/sources")["sources"]
        assert json.loads(cli("get", "sources", "-o", "json", env=where).stdout) == whole
        assert cli("get", "sources", "-o", "name", env=where).stdout.split() == [s["name"] for s in whole]
        assert [s["name"] for s in yaml.safe_load(cli("get", "sources", "-o", "yaml", env=where).stdout)] == \
            [s["name"] for s in whole]
    index = world.consul.get(beside(host("a"))).index
    world.consul.write(broken("b"))
    world.wait(world.beside, broken("b"), "Warning")
    # An orderly end.
    site, = world.leading()
    assert site.stop() == 0
    world.sites.remove(site)
    eventually(lambda: world.leader() != first, 60)
    second = world.leader()
    world.consul.write(host("b"))
    world.wait(world.beside, host("b"), "Accepted")
    # A sudden one.
    site, = world.leading()
    site.kill()
    world.sites.remove(site)
    world.consul.write(broken("b"))

    eventually(lambda: world.leader() != second, 90)
    world.wait(world.beside, broken("b"), "Warning")
    assert len(world.leading()) == 1
    assert world.consul.get(beside(host("a"))).index == index  # nobody wrote it again


def test_who_sleeps_writes_no_more(world):
    """A leader that is stopped for longer than its session lives finds the lock gone when it wakes."""
    for _ in range(2):
        world.start()
    first = world.leader()
    sleeper, = world.leading()
    other, = [s for s in world.sites if s is not sleeper]
    sleeper.proc.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: takes(other) == 1, 90)
        world.consul.write(broken("b"))
        world.wait(world.beside, broken("b"), "Warning")
        index = world.consul.get(beside(broken("b"))).index
    finally:
        sleeper.proc.send_signal(signal.SIGCONT)
    eventually(lambda: losses(sleeper) == 1)
    sleeper.wait_state("virtualservices", "b", "Warning")
    assert world.leader() != first and takes(sleeper) == 1
    assert world.consul.get(beside(broken("b"))).index == index


def test_by_namespace(world):
    """Control planes of two names have a status each, in one key, and a lock each."""
    world.start()
    world.start(discoveryNamespace="edge")
    world.wait(world.beside, host("a"), "Accepted")
    world.wait(lambda d: world.beside(d, "edge"), host("a"), "Accepted")
    world.wait(world.beside, host("a"), "Accepted")
    assert world.consul.get(LEADER).session != world.consul.get(LEADER + "-edge").session


# ---- Bad days ----

def test_consul_restarts(make_site, make_consul):
    """Killed and started again: the lock is taken again and statuses go on."""
    c = make_consul(persistent=True)
    w = World(make_site, c)
    c.write(gateway("gateway-proxy", 8080), host("a"))
    w.start()
    w.wait(w.beside, host("a"), "Accepted")
    c.kill()
    c.start()
    c.write(broken("a"))
    eventually(lambda: w.wait(w.beside, broken("a"), "Warning"), 90)


def test_many_at_once(world):
    """Five hundred statuses: each is written, many in one go."""
    world.consul.put_many({key_of(host(f"v{i}")): yaml.safe_dump(flat(host(f"v{i}"))) for i in range(500)})
    world.start()

    def all_there():
        e = world.consul.entries("gloo-status/gateway.solo.io/v1/VirtualService/")
        assert len(e) == 501, len(e)
        return e
    entries = eventually(all_there, 60)
    assert len({e.index for e in entries.values()}) <= 60
