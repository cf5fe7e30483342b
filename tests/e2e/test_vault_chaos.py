"""Networks and a server at their worst between Solder and a real Vault: the last good certificate is served, and what
was rotated meanwhile afterwards."""

import calendar
import json
import re
import ssl
import time

import pytest

import faults
import harness
import pki
from harness import NS, Poller, eventually
from vault import Vault

DOMAIN, OTHER = "tls.test", "other.test"
POLICY = """
path "secret/data/gloo/*" { capabilities = ["read"] }
path "secret/metadata/gloo/*" { capabilities = ["read", "list"] }
"""


class World:
    """A site with a gateway whose certificate is in Vault, behind a proxy of faults. Vault is asked twice a second,
    and given up after two."""

    def __init__(self):
        self.vault, self.site, self.authority = Vault(persistent=True).start(), harness.Site(), pki.Authority()
        self.proxy = faults.Proxy(self.vault.port)
        self.proxy.accept()
        self.tls_port = harness.free_port()
        self.vault.policy("solder", POLICY)
        token = self.vault.make_token("solder", period="1h")["client_token"]
        self.settings = self.site.dir / "settings.yaml"
        self.settings.write_text(json.dumps(
            {"apiVersion": "gloo.solo.io/v1", "kind": "Settings", "metadata": {"name": "default", "namespace": NS},
             "spec": {"refreshRate": "0.5s", "vaultSecretSource": {"address": f"http://{self.proxy.address}",
                                                                  "accessToken": token}}}))
        self.site.write("tls.yaml", harness.gateway("tls", self.tls_port, ssl_=True),
                        harness.vs("tls", DOMAIN, [harness.route("/", harness.says(200, "tls"))],
                                   sslConfig={"secretRef": harness.ref("cert"), "sniDomains": [DOMAIN]}))
        self.site.write("other.yaml", harness.vs("other", OTHER, [harness.route("/", harness.says(200, "other"))],
                                                 sslConfig={"secretRef": harness.ref("other"), "sniDomains": [OTHER]}))
        self.site.write("plain.yaml", harness.vs("plain", "*", [harness.route("/", harness.says(200, "plain"))]))
        self.certificate("first")
        self.other("first")

    def close(self):
        self.site.close()
        self.proxy.close()
        self.vault.close()

    def start(self, wait=True):
        self.site.start("--settings", self.settings, wait=wait, env={"VAULT_CLIENT_TIMEOUT": "2s"})
        return self

    def certificate(self, cn):
        """A new certificate for CN in Vault."""
        self.vault.write_tls("cert", *self.authority.issue(cn, DOMAIN))

    def other(self, cn):
        """The same for the other domain."""
        self.vault.write_tls("other", *self.authority.issue(cn, OTHER))

    def served(self, domain=DOMAIN):
        """The common name of the certificate that is served."""
        c = harness.Connection(self.tls_port, pki.client(self.site.dir, self.authority.pem), domain)
        try:
            c.connect()
            return pki.common_name(c.sock.getpeercert(binary_form=True))
        finally:
            c.close()

    def wait_served(self, cn, domain=DOMAIN):
        eventually(lambda: self.served(domain) == cn, 60)

    def poller(self):
        """Asks on new connections too, each with a handshake."""
        return Poller(self.tls_port, tls=ssl.create_default_context(cadata=self.authority.pem), sni=DOMAIN, host=DOMAIN)

    def source(self):
        return next(s for s in self.site.api("/v1/sources")["sources"] if s["type"] == "vault")

    def stale_everywhere(self, since):
        """Whoever asks hears the same time, which is not before SINCE: status, health, metric and log."""
        s = eventually(lambda: (lambda s: s.get("staleSince") and s)(self.source()))
        name, when = s["name"], s["staleSince"]
        at = calendar.timegm(time.strptime(when[:19], "%Y-%m-%dT%H:%M:%S"))
        assert since - 2 <= at <= time.time() + 2, f"{when} is not after {since}"
        told, = re.findall(r"since (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC: .*; the last good secrets stay", s["problem"])
        assert abs(calendar.timegm(time.strptime(told, "%Y-%m-%d %H:%M:%S")) - at) < 3, (told, when)
        assert f"source {name} stale since {when[:19]}" in self.health()
        assert abs(self.site.metric("solder_source_stale_since_timestamp_seconds", source=name) - at) < 2
        assert [e for e in self.site.events("source_down") if e["source"] == name and e["since"][:19] == when[:19]]

    def health(self):
        return self.site.get("/healthz").text


@pytest.fixture(scope="module")
def world():
    w = World()
    try:
        w.start()
        w.wait_served("first")
        yield w
    finally:
        w.close()


@pytest.fixture(autouse=True)
def healed(request):
    """A test that fails leaves no fault to the others."""
    yield
    if "world" in request.fixturenames:
        request.getfixturevalue("world").proxy.heal()


FAULTS = {
    "latency": faults.latency(0.3), "drip": faults.drip(0.0005, 64), "reset": faults.reset,
    "half_open": faults.half_open, "cut_head": faults.cut_head, "cut_body": faults.cut_body,
    "cut_body_unnoticed": faults.cut_body_unnoticed, "garbage": faults.garbage, "not_http": faults.not_http,
    "429": faults.status(429, '{"errors":["rate limit quota exceeded"]}'),
    "500": faults.status(500, '{"errors":["internal error"]}'),
    "503": faults.status(503, '{"errors":["Vault is sealed"]}'),
    "403": faults.status(403, '{"errors":["permission denied"]}'), "empty_list": faults.empty(b'{"data":{"keys":[]}}'),
    "empty_body": faults.empty(b""),
}
SLOW_ONLY = ("latency", "drip")  # answers arrive all the same


@pytest.mark.parametrize("name", FAULTS)
def test_spoiled(world, name):
    """The last good certificate stays while answers are spoiled, a rotated one is served afterwards."""
    old, new = f"before-{name}", f"after-{name}"
    world.certificate(old)
    world.wait_served(old)
    with world.poller() as p:
        world.proxy.set(FAULTS[name])
        world.proxy.wait_spoiled(1, 60)
        world.certificate(new)
        if name in SLOW_ONLY:
            world.wait_served(new)
        else:
            world.proxy.wait_spoiled(2, 60)
            assert world.served() == old
            state = world.site.object("virtualservices", "tls")
            assert state["state"] == "Accepted", "the certificate is taken for deleted: " + state["reason"]
        p.more(20)
        world.proxy.heal()
        world.wait_served(new)
    p.assert_clean()


ONE_PATH = ("reset", "half_open", "cut_body", "garbage", "500", "403", "empty_list", "empty_body")


@pytest.mark.parametrize("name", ONE_PATH)
def test_one_path_spoiled(world, name):
    """Whatever is asked about one secret is spoiled, for good: its certificate stays, and the other follows as ever."""
    world.other(f"kept-{name}")
    world.wait_served(f"kept-{name}", OTHER)
    with world.poller() as p:
        world.proxy.set(FAULTS[name], "/other")
        world.proxy.wait_spoiled(1, 60)
        for i in range(3):
            world.certificate(f"{name}-{i}")
            world.wait_served(f"{name}-{i}")
        world.proxy.wait_spoiled(1, 60)
        assert world.served(OTHER) == f"kept-{name}"
        world.proxy.heal()
        world.other(f"healed-{name}")
        world.wait_served(f"healed-{name}", OTHER)
    p.assert_clean()


def test_refused_and_sealed(world):
    """Nobody listens, then Vault is sealed: what is stale is told with since when, and mends itself."""
    for name, begin, end in (("refused", world.proxy.refuse, world.proxy.accept),
                             ("sealed", world.vault.seal, world.vault.unseal)):
        with world.poller() as p:
            began = time.time()
            begin()
            eventually(lambda: "stale since" in world.health(), 60)
            world.stale_everywhere(began)
            p.more(20)
            end()
            world.certificate(name)
            world.wait_served(name)
            eventually(lambda: "stale since" not in world.health(), 60)
            assert world.site.metric("solder_source_stale_since_timestamp_seconds", source=world.source()["name"]) == 0
        p.assert_clean()


def test_killed(world):
    """kill -9 of Vault, then of Solder beside it: nothing is lost, and everything is as Vault says afterwards."""
    with world.poller() as p:
        world.vault.kill()
        eventually(lambda: "stale since" in world.health(), 60)
        world.site.kill()
        world.start(wait=False)
        eventually(lambda: "stale since" in world.health(), 60)
        p.more(20)
        world.vault.start()
        world.certificate("reborn")
        world.wait_served("reborn")
    p.assert_clean()


def test_down_at_start():
    """Solder and a new Envoy start without Vault: what needs no secret of it is served, the rest when it is back."""
    world = World()
    try:
        world.start()
        world.wait_served("first")
        world.site.stop()
        world.vault.kill()
        world.start(wait=False)
        world.site.wait_answer(lambda a: a.text == "plain")
        world.vault.start()
        world.wait_served("first")
    finally:
        world.close()
