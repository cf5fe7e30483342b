"""Random edits under load: not one wrong answer, and no edit of routes or upstreams changes LDS."""

import os
import random
import threading
import time

from harness import Poller, doc, eventually, ref, route, says, table, to, upstream, vs

EDITS = int(os.environ.get("SLD_E2E_EDITS", "500"))


class World:
    """What the files say, and what the gateway may answer: hosts h0..h9, each with a service of its own.

    Every answer carries what it is of: a direct response its body, an upstream its name. A host may
    answer with what was right at any moment since the last time everything had settled.
    """

    hosts, upstreams = 10, 8

    def __init__(self, site, rng):
        self.site, self.rng, self.lock = site, rng, threading.Lock()
        self.ups = [site.upstream(f"u{i}", publish=False) for i in range(self.upstreams)]
        # Name of each upstream resource -> index of the server behind it.
        self.resource = {}
        self.services = {}
        self.tables = {}
        self.allowed = {i: set() for i in range(self.hosts)}
        self.n = 0
        for i in range(self.upstreams):
            self.put_upstream(f"up{i}", i)
        for i in range(self.hosts):
            self.put_service(i, ("upstream", f"up{i % self.upstreams}"))
        self.settle()

    # What is right for a host now.

    def right(self, i):
        kind, what = self.services[i]
        if kind == "direct":
            return {what}
        if kind == "upstream":
            return {self.resource[what]}
        if kind == "weights":
            return {self.resource[w] for w in what}
        return {self.tables[what]}

    def allow(self):
        with self.lock:
            for i in range(self.hosts):
                if i in self.services:
                    self.allowed[i] |= self.right(i)

    def settle(self, pollers=()):
        """From here on only what is right now is allowed."""
        self.site.settled()
        # Endpoints may come after routes that were written later; then every worker has to take them.
        eventually(lambda: self.site.api("/v1/envoys")["envoys"][0]["converged"])
        self.site.settled()
        for p in pollers:
            p.more(2)  # what was asked before is answered
        with self.lock:
            for i in range(self.hosts):
                self.allowed[i] = self.right(i)

    # Edits

    def put_upstream(self, name, server):
        self.resource[name] = f"u{server}"
        self.allow()
        self.site.write(f"{name}.yaml", upstream(name, self.ups[server].port, **self.rng.choice([
            {}, {"connectionConfig": {"connectTimeout": f"{self.rng.randint(1, 9)}s"}},
            {"loadBalancerConfig": {"random": {}}},
            {"circuitBreakers": {"maxRequests": self.rng.randint(500, 900)}}])))

    def put_service(self, i, what):
        self.services[i] = what
        self.allow()
        kind, arg = what
        if kind == "direct":
            action = says(200, arg)
        elif kind == "upstream":
            action = to(arg)
        elif kind == "weights":
            action = {"routeAction": {"multi": {"destinations": [
                {"destination": {"upstream": ref(n)}, "weight": self.rng.randint(1, 5)} for n in arg]}}}
        else:
            action = {"delegateAction": {"ref": ref(arg)}}
        options = self.rng.choice([None, {"timeout": f"{self.rng.randint(5, 20)}s"},
                                   {"retries": {"retryOn": "connect-failure"}},
                                   {"headerManipulation": {"responseHeadersToAdd": [
                                       {"header": {"key": "x-n", "value": str(self.n)}}]}}])
        if kind in ("direct", "table"):
            options = None
        more = [route(f"/other-{k}", says(204)) for k in range(self.rng.randint(0, 5))]
        # The file's name changes now and then: a rename of it must not matter.
        old, new = f"h{i}.yaml", f"h{i}-moved.yaml"
        if (self.site.config / new).exists():
            old, new = new, old
        self.site.write(old, vs(f"h{i}", f"h{i}.test", [*more, route("/", action, options)]))
        if self.rng.random() < 0.2:
            self.site.rename(old, new)

    def put_table(self, name):
        body = f"table {self.n}"
        self.tables[name] = body
        self.allow()
        self.site.write(f"{name}.yaml", table(name, [route("/", says(200, body))]))

    def edit(self):
        self.n += 1
        rng = self.rng
        what = rng.random()
        if what < 0.3:
            name = rng.choice(sorted(self.resource))
            self.put_upstream(name, rng.randrange(self.upstreams))
        elif what < 0.4:  # a new upstream and the route to it, in one go
            name = f"new{self.n}"
            self.put_upstream(name, rng.randrange(self.upstreams))
            self.put_service(rng.randrange(self.hosts), ("upstream", name))
        elif what < 0.5 and self.tables:
            self.put_table(rng.choice(sorted(self.tables)))
        elif what < 0.6:
            name = f"t{rng.randrange(5)}"
            self.put_table(name)
            self.put_service(rng.randrange(self.hosts), ("table", name))
        elif what < 0.7:
            self.put_service(rng.randrange(self.hosts), ("direct", f"direct {self.n}"))
        elif what < 0.8:
            names = rng.sample(sorted(self.resource), min(3, len(self.resource)))
            self.put_service(rng.randrange(self.hosts), ("weights", tuple(names)))
        elif what < 0.95:
            self.put_service(rng.randrange(self.hosts), ("upstream", rng.choice(sorted(self.resource))))
        else:
            self.remove_unused()

    def remove_unused(self):
        used = {w for k, what in self.services.values() if k in ("upstream", "weights")
                for w in ([what] if k == "upstream" else what)}
        free = [n for n in sorted(self.resource) if n not in used]
        if free:
            name = self.rng.choice(free)
            del self.resource[name]
            self.site.remove(f"{name}.yaml")

    # Looking

    def check(self, i):
        def one(answer):
            if answer.status != 200:
                return f"h{i}: {answer.status} {answer.text[:100]}"
            said = answer.headers["x-upstream"] or answer.text
            with self.lock:
                allowed = set(self.allowed[i])
            return None if said in allowed else f"h{i}: {said!r} instead of {allowed}"
        return one


def test_random_edits_under_load(site):
    """500 random edits under load with a poller that counts every wrong answer (must be 0); no edit of
    routes or upstreams changes LDS bytes; what every host answers in the end is right."""
    seed = int(os.environ.get("SLD_E2E_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
    print(f"SLD_E2E_SEED={seed}")
    rng = random.Random(seed)
    site.write("settings.yaml", doc("Settings", "default", {"solder": {"linger": "1s"}}))
    site.write("first.yaml", vs("first", "first.test", [route("/", says(200))]))
    site.start()
    world = World(site, rng)
    listeners = {n: r["version"] for n, r in site.xds("lds").items()}
    pollers = [Poller(site.port, world.check(i), every=0.01, host=f"h{i}.test") for i in range(world.hosts)]
    for p in pollers:
        p.__enter__()
    try:
        for k in range(EDITS):
            world.edit()
            if rng.random() < 0.3:
                time.sleep(rng.random() * 0.03)  # bursts and pauses, as people and tools make them
            if k % 50 == 49:
                world.settle(pollers)
                for p in pollers:
                    p.more(2)
        world.settle(pollers)
        for p in pollers:
            p.more(5)
    finally:
        for p in pollers:
            p.__exit__()
    for p in pollers:
        p.assert_clean()
    assert sum(p.count for p in pollers) > EDITS
    assert {n: r["version"] for n, r in site.xds("lds").items()} == listeners
    assert site.metric("solder_xds_nacks_total") == 0
    eventually(lambda: site.api("/v1/envoys")["envoys"][0]["converged"])
    for o in site.api("/v1/objects?limit=1000")["items"]:
        assert o["state"] in ("Accepted", "Pending"), o


def test_no_edit_changes_the_listener(site):
    """The listener is a function of Gateway and Settings alone: also the first use of an option leaves
    its bytes as they are (design 5)."""
    up = site.upstream()
    site.write("vs.yaml", vs("v", "*", [route("/", to("echo"))]))
    site.start()
    before = {n: r["version"] for n, r in site.xds("lds").items()}
    pushes = site.metric("solder_xds_pushes_total", type="lds")
    for options in ({"cors": {"allowOrigin": ["*"]}}, {"faults": {"abort": {"percentage": 100, "httpStatus": 418}}},
                    {"retries": {"retryOn": "5xx"}}, {"lbHash": {"hashPolicies": [{"header": "x"}]}},
                    {"upgrades": [{"websocket": {}}]}, {"shadowing": {"upstream": ref("echo"), "percentage": 1}},
                    {"headerManipulation": {"requestHeadersToAdd": [{"header": {"key": "a", "value": "b"}}]}}):
        site.write("vs.yaml", vs("v", "*", [route("/", to("echo"), options)]))
        site.settled()
        assert site.ask().status == (418 if "faults" in options else 200)
    site.write("upstream-echo.yaml", upstream("echo", up.port, healthChecks=[{
        "timeout": "1s", "interval": "1s", "unhealthyThreshold": 1, "healthyThreshold": 1, "tcpHealthCheck": {}}]))
    site.write("rt.yaml", table("t", [route("/x", says(200))]))
    site.settled()
    assert {n: r["version"] for n, r in site.xds("lds").items()} == before
    assert site.metric("solder_xds_pushes_total", type="lds") == pushes
