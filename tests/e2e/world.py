"""A Solder whose configuration is in Consul and whose secrets are in Vault, with a proxy of faults before each."""

import calendar
import json
import time

import faults
import harness
import pki
from consul import Consul
from harness import NS, eventually
from vault import Vault

# What Solder needs in Vault.
POLICY = """
path "secret/data/gloo/*" { capabilities = ["read"] }
path "secret/metadata/gloo/*" { capabilities = ["read", "list"] }
"""
DOMAIN = "tls.test"
NAMES = {"keys": "consul:", "services": "services:", "vault": "vault:"}  # how the names of sources begin


class World:
    """Consul, Vault, proxies before both, and a site with a gateway, one with TLS, and an upstream from Consul.

    persistent: the servers keep their data when they are killed. Consul is asked with a wait of a second and Vault
    every second, so that what is lost is noticed soon. `plain(text)` and `certificate(cn)` change what is served.
    """

    def __init__(self, persistent=False, envoy=True, vault=True, consul=None, **settings):
        self.consul, self.envoy = consul or Consul(persistent=persistent).start(), envoy
        self.vault = Vault(persistent=persistent).start() if vault else None
        self.consul_proxy = faults.Proxy(self.consul.port)
        self.consul_proxy.accept()
        self.site = harness.Site(gateway_=False)
        self.site.upstream("echo", publish=False)
        self.port, self.tls_port = self.site.port, harness.free_port()
        self.authority = pki.Authority()
        self.spec = {"refreshRate": "1s", "consulKvSource": {},
                     "consul": {"httpAddress": self.consul_proxy.address, "waitTime": "1s",
                                "dnsAddress": f"127.0.0.1:{self.consul.dns}", "serviceDiscovery": {},
                                **settings.pop("consul_settings", {})}, **settings}
        if self.vault:
            self.vault_proxy = faults.Proxy(self.vault.port)
            self.vault_proxy.accept()
            self.vault.policy("solder", POLICY)
            token = self.vault.make_token("solder", period="1h")["client_token"]
            self.spec["vaultSecretSource"] = {"address": f"http://{self.vault_proxy.address}", "accessToken": token}
            self.certificate("first")
        self.settings = self.site.dir / "settings.yaml"
        self.settings.write_text(json.dumps({"apiVersion": "gloo.solo.io/v1", "kind": "Settings",
                                             "metadata": {"name": "default", "namespace": NS}, "spec": self.spec}))
        self.fill("first")

    def close(self):
        self.site.close()
        self.consul_proxy.close()
        self.consul.close()
        if self.vault:
            self.vault_proxy.close()
            self.vault.close()

    # Solder

    def start(self, wait=True, **more):
        self.site.start("--settings", self.settings, envoy=self.envoy, wait=wait, configs=[], **more)
        if wait and self.envoy:
            self.wait_served()
        return self

    def wait_served(self, timeout=30):
        self.site.wait_answer(200, "/text", timeout=timeout)
        self.site.wait_answer(200, "/echo", timeout=timeout)
        if self.vault:
            eventually(self.served_certificate, timeout)

    # What is served

    def fill(self, text):
        """Everything that is in Consul."""
        self.register()
        self.consul.write(harness.gateway("plain", self.port))
        self.plain(text)
        if self.vault:
            self.consul.write(harness.gateway("tls", self.tls_port, ssl_=True),
                              harness.vs("tls", DOMAIN, [harness.route("/", harness.says(200, "tls"))],
                                         sslConfig={"secretRef": harness.ref("cert"), "sniDomains": [DOMAIN]}))

    def plain(self, text):
        """/text says TEXT; /echo goes to the service echo of Consul."""
        self.consul.write(harness.vs("plain", "*", [
            harness.route("/text", harness.says(200, text)),
            harness.route("/echo", {"routeAction": {"single": {"consul": {"serviceName": "echo"}}}})]))

    def wait_plain(self, text, timeout=60):
        self.site.wait_answer(lambda a: a.text == text, "/text", timeout=timeout)

    def register(self, status="passing"):
        self.consul.register("echo", self.site.upstreams[0].port, id="echo-1")
        self.consul.check("echo-1", status)  # unlike the first status, an agent keeps this one over its death

    def certificate(self, cn):
        """What is served on the TLS port is now a certificate for CN."""
        self.vault.write_tls("cert", *self.authority.issue(cn, DOMAIN))

    def served_certificate(self):
        """The common name of what is served."""
        c = harness.Connection(self.tls_port, pki.client(self.site.dir, self.authority.pem), DOMAIN)
        try:
            c.connect()
            return pki.common_name(c.sock.getpeercert(binary_form=True))
        finally:
            c.close()

    def wait_certificate(self, cn, timeout=60):
        eventually(lambda: self.served_certificate() == cn, timeout)

    # What Solder says of its sources: PART is one of NAMES

    def source(self, part):
        """The source as the API has it."""
        found = [s for s in self.site.api("/v1/sources")["sources"] if s["name"].startswith(NAMES[part])]
        assert len(found) == 1, found
        return found[0]

    def stale(self, part):
        return bool(self.source(part).get("staleSince"))

    def wait_stale(self, part, since, timeout=90):
        """Waits until PART is stale, and looks whether everybody who is asked says so, with the same time, which is not
        before SINCE. Returns what is said to be the reason."""
        s = eventually(lambda: self.stale(part) and self.source(part), timeout)
        name, when = s["name"], s["staleSince"]
        at = calendar.timegm(time.strptime(when[:19], "%Y-%m-%dT%H:%M:%S"))
        assert since - 2 <= at <= time.time() + 2, f"{when} is not after {since}"
        health = self.site.get("/healthz")
        assert f"source {name} stale since {when[:19]}" in health.text, health
        said = self.site.metric("solder_source_stale_since_timestamp_seconds", source=name)
        assert abs(said - at) < 2, (said, at)
        assert [e for e in self.site.events("source_down") if e["source"] == name and e["since"][:19] == when[:19]]
        if part == "keys":
            o = self.site.wait_state("virtualservices", "plain", "Accepted", timeout=30)
            assert o["staleSince"] and o["staleReason"], o
        return s["problem"]

    def doubts(self, service):
        """What is said of a service of Consul that is not to be seen any more, and may be there all the same."""
        return [f["message"] for f in self.site.api("/v1/findings?limit=1000")["items"]
                if f["origin"] == f"{NAMES['services']}consul/{service}"]

    def wait_healed(self, part, timeout=60):
        """Waits until nobody says any more that PART is stale."""
        eventually(lambda: not self.stale(part), timeout)
        assert f"source {self.source(part)['name']} stale" not in self.site.get("/healthz").text
        assert self.site.metric("solder_source_stale_since_timestamp_seconds", source=self.source(part)["name"]) == 0
        if part == "keys":
            eventually(lambda: "staleSince" not in self.site.object("virtualservices", "plain"))
