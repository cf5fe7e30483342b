"""Consul, Vault, Solder and Envoy die in random order under load; starts without either of the stores; very many
changes. What is served stays right.

SLD_CHAOS_SEED repeats a run of deaths; with SLD_LONG there are many more of all.
"""

import json
import os
import pathlib
import random
import signal
import socket
import threading
import time

import harness
import pki
from harness import NS, Poller, eventually
from world import DOMAIN, World

ROUNDS = 100 if harness.LONG else 8
CHANGES = 1000000 if harness.LONG else 50000


# ---- Deaths ----

class Killer:
    """Kills and starts the parts of a world. Answers may be missing while Envoy is away, but never wrong."""

    def __init__(self, world, seed):
        self.world, self.random, self.down = world, random.Random(seed), set()
        self.log, self.away = [], []  # what was done; when there was no Envoy, from and to
        self.spared = {"consul", "vault", "solder", "envoy"}  # did not die yet

    def _part(self, name):
        return {"consul": self.world.consul, "vault": self.world.vault, "solder": self.world.site}[name]

    def kill(self, name):
        self.log.append(f"kill {name}")
        self.spared.discard(name)
        if name != "envoy":
            self._part(name).kill()
            self.down.add(name)
            return
        began, pid = time.time(), self.world.site.envoy_pid()
        os.kill(pid, signal.SIGKILL)  # Solder starts it again
        eventually(lambda: self.world.site.envoy_pid() != pid, 60)
        # What the new one serves from its first answer on is what counts.
        eventually(lambda: self.world.site.ask("/text"), 60)
        self.away.append((began, time.time()))

    def start(self, name):
        self.log.append(f"start {name}")
        if name == "solder":
            self.world.start(wait=False)
            self.world.site.wait_ready(60)
        else:
            self._part(name).start()
        self.down.discard(name)

    def step(self, left):
        """One thing at random: something that runs is killed, or something that is down starts. When few steps are LEFT,
        those are killed that were spared until then."""
        up = [n for n in ("consul", "vault", "solder") if n not in self.down]
        if "solder" in up:
            up.append("envoy")  # there is somebody to start it again
        last = [n for n in up if n in self.spared] if left <= len(self.spared) + 1 else []
        if last:
            self.kill(self.random.choice(last))
        elif self.down and (not up or self.random.random() < 0.5):
            self.start(self.random.choice(sorted(self.down)))
        else:
            self.kill(self.random.choice(up))

    def wrong(self, poller):
        """What POLLER saw that nothing excuses."""
        def excused(at, what):
            missing = not what[0].isdigit()  # no answer at all
            return missing and any(a - 0.5 <= at <= b + 0.5 for a, b in self.away)
        return [w for w in poller.wrong if not excused(*w)]


def test_killed_in_random_order():
    """kill -9 and restart of Consul, Vault, Solder and Envoy in random order under load: no wrong answer, and edits are
    in force whenever those who have to know of them run."""
    seed = int(os.environ.get("SLD_CHAOS_SEED") or random.randrange(1 << 30))
    print(f"SLD_CHAOS_SEED={seed}")
    world = World(persistent=True)
    killer = Killer(world, seed)
    said = ["first"]  # what may be answered: what was seen in force last and the one before it, and all written since

    def text_right(a):
        return None if a.status == 200 and a.text in said else f"{a.status} {a.text[:100]} after {killer.log[-3:]}"

    def echo_right(a):
        return None if a.status == 200 else f"{a.status} {a.text[:100]} after {killer.log[-3:]}"

    def edit(text):
        said.append(text)
        world.plain(text)

    def in_force():
        world.wait_plain(said[-1])
        del said[:-2]
    try:
        world.start()
        with Poller(world.port, text_right, path="/text", site=world.site) as text, \
                Poller(world.port, echo_right, path="/echo", site=world.site) as echo:
            for n in range(ROUNDS):
                killer.step(ROUNDS - n)
                if "consul" not in killer.down:
                    edit(f"edit {n}")
                    if "solder" not in killer.down:
                        in_force()
                if not killer.down & {"vault", "solder"}:
                    world.certificate(f"round-{n}")
                    world.wait_certificate(f"round-{n}")
                text.more(50)
                echo.more(50)
            for name in sorted(killer.down):
                killer.start(name)
            edit("last")
            in_force()
            world.certificate("last")
            world.wait_certificate("last")
            for part in ("keys", "services", "vault"):
                world.wait_healed(part)
        for p in (text, echo):
            assert p.count and not killer.wrong(p), f"{p.count} answers, wrong: {killer.wrong(p)[:5]}"
    except BaseException as e:
        raise AssertionError(f"SLD_CHAOS_SEED={seed} repeats it: {killer.log}") from e
    finally:
        world.close()


# ---- Starts without the stores ----

def test_solder_is_new_and_both_are_away():
    """Consul is down, Vault sealed, and Solder starts anew on its state directory. An Envoy that lived on keeps all of
    it, the certificate too; a new Envoy gets what is in the state directory, which no secret is. When the stores are
    back everything is as they say."""
    world = World(persistent=True)
    tls = pki.client(world.site.dir, world.authority.pem)
    try:
        world.start()
        with Poller(world.port, path="/text", site=world.site) as text, \
                Poller(world.port, path="/echo", site=world.site) as echo, \
                Poller(world.tls_port, tls=tls, sni=DOMAIN, host=DOMAIN) as secure:
            began = time.time()
            world.consul.kill()
            world.vault.seal()
            world.site.kill()
            world.start(wait=False)
            for part in ("keys", "services", "vault"):
                assert world.wait_stale(part, began)
            for p in (text, echo, secure):
                p.more(40)
            # Envoy has all endpoints, so it is told of none: a moment without any is a moment of 503.
            assert world.site.metric("solder_xds_converged_proxies") == 1
            assert world.site.metric("solder_xds_pushes_total", type="eds") == 0
        for p in (text, echo, secure):
            p.assert_clean()
        assert world.served_certificate() == "first"

        world.site.stop()  # Envoy ends with it
        world.start(wait=False)
        world.site.wait_answer(lambda a: a.text == "first", "/text")
        world.site.wait_answer(200, "/echo")
        for part in ("keys", "services", "vault"):
            assert world.wait_stale(part, began)
        with Poller(world.port, path="/text", site=world.site) as text, \
                Poller(world.port, path="/echo", site=world.site) as echo:
            world.consul.start()
            world.vault.unseal()
            world.plain("back")
            world.wait_plain("back")
            world.certificate("back")
            world.wait_certificate("back")
            for part in ("keys", "services", "vault"):
                world.wait_healed(part)
            echo.more(40)
        text.assert_clean()
        echo.assert_clean()
    finally:
        world.close()


def test_solder_knows_less_than_envoy():
    """Solder is killed before it wrote down what services it learnt of, or which instances they have now, and starts
    without Consul. An Envoy that lived on has newer endpoints, and keeps them until Consul says more."""
    world = World(vault=False, persistent=True, solder={"linger": "1s"})
    file = world.site.state / "services.consul"
    dead = world.site.upstreams[0].port
    new = world.site.upstream("other", publish=False)

    def without_consul(do):
        with Poller(world.port, path="/echo", site=world.site) as echo:
            world.consul.kill()
            world.site.kill()
            do()
            world.start(wait=False)
            world.site.wait_ready(60)
            eventually(lambda: world.stale("services"))
            echo.more(100)  # longer than a cluster lingers
            world.consul.start()
            world.wait_healed("services")
            echo.more(40)
        echo.assert_clean()
    try:
        world.start()
        old = eventually(lambda: file.read_text() if f'"port":{dead}' in file.read_text() else None)
        world.consul.register("echo", new.port, id="echo-1")
        world.site.wait_answer(lambda a: a.json["name"] == "other", "/echo")
        eventually(lambda: f'"port":{new.port}' in file.read_text())
        world.site.upstreams[0].close()
        without_consul(lambda: file.write_text(old))
        without_consul(file.unlink)
        assert world.site.ask("/echo").json["name"] == "other"
    finally:
        world.site.upstreams = [new]
        world.close()


# ---- Very many changes ----

def resident(pid):
    """KiB of anonymous memory."""
    return int(pathlib.Path(f"/proc/{pid}/status").read_text().split("RssAnon:")[1].split()[0])


class Writer:
    """Puts one virtual service again and again, many requests at a time: Consul answers them one after the other."""

    AT_ONCE = 50

    def __init__(self, world, name):
        self.world, self.name, self.count = world, name, 0
        self.sock = socket.create_connection(("127.0.0.1", world.consul.port), 60)

    def _request(self):
        self.count += 1
        # Long enough to be noticed if it was kept: Solder reads a few hundred of them in a short run.
        body = (f"# {'-' * 2000}\nmetadata: {{name: {self.name}, namespace: {NS}}}\nvirtualHost: {{domains: [{self.name}.test], routes: "
                f"[{{matchers: [{{prefix: /{self.count}}}], directResponseAction: {{status: 200}}}}]}}\n")
        return (f"PUT /v1/kv/gloo/gateway.solo.io/v1/VirtualService/{NS}/{self.name} HTTP/1.1\r\nHost: x\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}").encode()

    def put(self, n):
        """N times, and a check of a service fails or recovers now and then."""
        for i in range(0, n, self.AT_ONCE):
            self.sock.sendall(b"".join(self._request() for _ in range(self.AT_ONCE)))
            answered = b""
            while answered.count(b"true") < self.AT_ONCE:
                more = self.sock.recv(65536)
                assert more, f"Consul hangs up after {answered[-300:]}"
                answered += more
            if i % 1000 == 0:
                self.world.consul.check("echo-1", "warning" if i % 2000 else "passing")


def test_memory_is_flat():
    """Very many changes of Consul's index, of keys and of services: memory does not grow with them."""
    world = World(envoy=False, vault=False)
    writers = [Writer(world, f"busy-{i}") for i in range(4)]

    def index():
        return int(world.consul.ask("GET", "/v1/kv/gloo/", keys="").headers["X-Consul-Index"])

    def change(n, word):
        """N changes by all writers at once; returns when Solder has the last one."""
        began = index()
        threads = [threading.Thread(target=w.put, args=(n // len(writers),)) for w in writers]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert index() - began >= n, "a writer has failed"
        world.plain(word)
        for name, text in [("plain", word)] + [(w.name, f'"/{w.count}"') for w in writers]:
            eventually(lambda: text in json.dumps(world.site.object("virtualservices", name)), 60)
    try:
        world.start()
        change(min(CHANGES // 4, 50000), "warm")
        before = resident(world.site.proc.pid)
        change(CHANGES, "measured")
        grown = resident(world.site.proc.pid) - before
        print(f"{before} KiB, and {grown} KiB more after {CHANGES} changes")
        assert grown < 768, f"{grown} KiB more after {CHANGES} changes, {before} KiB before"
    finally:
        world.close()
