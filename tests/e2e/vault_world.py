"""A Solder whose secrets are in Vault, for the tests of that."""

import pytest

import harness
import pki
from harness import Raw, doc, eventually, free_port, gateway, ref, request, route, says, to, vs

READ = 'path "secret/*" { capabilities = ["read", "list"] }\npath "kv/*" { capabilities = ["read", "list"] }\n'
ISSUE = 'path "pki/issue/*" { capabilities = ["update"] }\npath "pki/revoke" { capabilities = ["update"] }\n'


class World:
    """A Solder whose secrets are in VAULT, with a gateway for TLS."""

    def __init__(self, make_site, vault, source, start=True, refresh="0.2s", args=(), **more):
        self.vault, self.site, self.refresh = vault, make_site(), refresh
        self.tls = free_port()
        self.site.write("tls-gateway.yaml", gateway("gateway-proxy-ssl", self.tls, ssl_=True))
        self.settings(source)
        self.args, self.more = args, more
        if start:
            self.start()

    def start(self, **more):
        self.site.start(*self.args, **{**self.more, **more})
        return self

    def settings(self, source, **more):
        scheme = "https" if self.vault.tls else "http"
        self.site.write("settings.yaml", doc("Settings", "default", {
            "refreshRate": self.refresh,
            "vaultSecretSource": {"address": f"{scheme}://{self.vault.address}", **source}, **more}))

    # A virtual service for HTTPS whose certificate comes from Vault

    def service(self, n="a", secret=None, **ssl_config):
        config = ssl_config or {"secretRef": secret or ref(n)}
        self.site.write(f"{n}.yaml", vs(n, f"{n}.test", [route("/", says(200, n))],
                                        sslConfig={"sniDomains": [f"{n}.test"], **config}))

    def shown(self, n="a"):
        """The certificate that HTTPS shows, DER."""
        with Raw(self.tls, pki.client(self.site.dir, None), f"{n}.test") as r:
            return r.sock.getpeercert(True)

    def name(self, n="a"):
        return pki.common_name(self.shown(n))

    def shows(self, cn, n="a", timeout=20):
        return eventually(lambda: self.name(n) == cn, timeout)

    def ask(self, n="a", ca=None, path="/", **more):
        tls = pki.client(self.site.dir, ca) if ca else pki.client(self.site.dir, None)
        return request(self.tls, path, tls=tls, sni=f"{n}.test", host=f"{n}.test", **more)

    def lds(self):
        """Versions of the listeners."""
        return {n: i["version"] for n, i in self.site.xds("lds").items()}

    def source_problem(self):
        """What is wrong with Vault as a source; None when it is well."""
        found = [s for s in self.site.api("/v1/sources")["sources"] if s["name"].startswith("vault")]
        return found and (found[0].get("problem") or None)

    def problems(self):
        """Texts "SLD0902 vault:/path: message" of what is wrong with places in Vault."""
        return [f"{f['code']} {f['origin']}: {f['message']}" for f in self.site.api("/v1/findings?limit=1000")["items"]
                if "kind" not in f and f["origin"].startswith("vault")]

    def echo(self, n, headers):
        """A route of plain HTTP that adds HEADERS and shows what arrived."""
        self.site.write(f"echo-{n}.yaml", vs(f"echo-{n}", f"{n}.echo", [route("/", to("echo"), options={
            "headerManipulation": {"requestHeadersToAdd": [{"headerSecretRef": h, "append": False} for h in headers]}})]))

    def header(self, n, name):
        a = self.site.ask(host=f"{n}.echo")
        return a.json["headers"].get(name, [None])[0] if a.status == 200 else a.status


def pair(ca, cn):
    return ca.issue(cn, cn)


@pytest.fixture
def ca():
    return pki.Authority()


@pytest.fixture
def vault(make_vault):
    return make_vault()


def fine(text):
    return lambda a: None if (a.status, a.text) == (200, text) else f"{a.status} {a.text[:100]}"
