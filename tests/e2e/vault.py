"""A real server that speaks Vault's API (OpenBao), and what tests do to it."""

import json
import os

import harness
from server import Server

BAO = os.environ.get("SLD_BAO") or str(harness.CACHE / "openbao/2.7.2/bao")
ROOT_TOKEN = "root"


class Vault(Server):
    """KV version 2 is at secret/. Requests use the root's token unless told otherwise.

    Without options its data end with the process. persistent: it keeps them, and is sealed after each start
    until unseal(), which start() does too unless told not to. tls: "server" or "mutual"; persistent then, too.
    join: another of these, with TLS and running: this is its second node, a standby at first.
    """

    name = "vault"

    def __init__(self, persistent=False, tls=None, join=None):
        super().__init__()
        tls = tls or (join and join.tls)
        self.persistent, self.tls, self.first = persistent or bool(tls), tls, join
        self.token, self.key = ROOT_TOKEN, None
        if not self.persistent:
            (self.dir / "plugins").mkdir()
            return
        (self.dir / "data").mkdir()
        scheme, options = "http", "tls_disable = true"
        if tls:
            self.certificates(tls == "mutual", join and join.authority)
            scheme = "https"
            options = f'tls_cert_file = "{self.dir}/server.pem"\n tls_key_file = "{self.dir}/server.key"'
            if tls == "mutual":
                options += (f'\n tls_client_ca_file = "{self.dir}/ca.pem"\n'
                            " tls_require_and_verify_client_cert = true")
        cluster = f"127.0.0.1:{harness.free_port()}"
        (self.dir / "config.hcl").write_text(f"""
storage "raft" {{
 path = "{self.dir}/data"
 node_id = "{self.dir.name}"
 performance_multiplier = "1"
}}
listener "tcp" {{
 address = "{self.address}"
 cluster_address = "{cluster}"
 {options}
}}
api_addr = "{scheme}://{self.address}"
cluster_addr = "{scheme}://{cluster}"
""")

    def argv(self):
        if self.persistent:
            return [BAO, "server", f"-config={self.dir / 'config.hcl'}"]
        # The folder is named for end_all(); the program looks for plugins there and finds none.
        return [BAO, "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT_TOKEN}",
                f"-dev-listen-address={self.address}", f"-dev-plugin-dir={self.dir / 'plugins'}"]

    def ready(self):
        status = self.ask("GET", "sys/health", token="").status
        return status in (200, 501, 503) if self.persistent else status == 200

    def start(self, wait=True, unseal=True):
        super().start(wait)
        if self.persistent and wait:
            if self.key is None and self.first:
                self._join()
            elif self.key is None:
                self._init()
            elif unseal:
                self.unseal()
        return self

    def _init(self):
        made = self.do("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="")
        self.key, self.token = made["keys"][0], made["root_token"]
        self.unseal()
        self.do("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        # The engine upgrades itself first and refuses everything until it has.
        harness.eventually(lambda: self.ask("GET", "secret/config").status == 200)

    def _join(self):
        self.key, self.token = self.first.key, self.first.token
        self.do("POST", "sys/storage/raft/join", {"leader_api_addr": f"https://{self.first.address}",
                                                  "leader_ca_cert": self.authority.pem}, token="")
        self.do("PUT", "sys/unseal", {"key": self.key}, token="")
        harness.eventually(lambda: self.ask("GET", "sys/health", token="").status == 429)

    # Requests

    def ask(self, method, path, body=None, token=None, headers=None, timeout=30):
        """One request for /v1/PATH with the root's token or TOKEN ("" for none); returns its Answer."""
        token = self.token if token is None else token
        more = {"X-Vault-Token": token} if token else {}
        return self.http(method, "/v1/" + path, json.dumps(body) if body is not None else None,
                         {**more, **(headers or {})}, timeout)

    def do(self, method, path, body=None, **more):
        """The same, and it must succeed; returns what it says."""
        a = self.ask(method, path, body, **more)
        assert a.status in (200, 204), f"{method} {path}: {a}"
        return a.json if a.body else None

    # States

    def seal(self):
        self.do("PUT", "sys/seal")

    def unseal(self):
        self.do("PUT", "sys/unseal", {"key": self.key}, token="")
        harness.eventually(lambda: self.ask("GET", "sys/health", token="").status == 200)

    # Secrets

    def write(self, name, value, ns=harness.NS, mount="secret", root="gloo"):
        """A secret where Gloo has it, VALUE being the fields beside metadata; returns its version."""
        doc = {"metadata": {"name": name, "namespace": ns}, **value}
        return self.kv(f"{root}/gloo.solo.io/v1/Secret/{ns}/{name}", doc, mount)

    def write_tls(self, name, cert, key, ca=None, **more):
        return self.write(name, {"tls": {"certChain": cert, "privateKey": key, **({"rootCa": ca} if ca else {})}},
                          **more)

    def kv(self, path, data, mount="secret", cas=None):
        """Any secret of a KV version 2 engine; returns its version."""
        options = {} if cas is None else {"options": {"cas": cas}}
        return self.do("POST", f"{mount}/data/{path}", {"data": data, **options})["data"]["version"]

    def delete(self, name, ns=harness.NS, mount="secret", root="gloo"):
        """All versions, and that there ever was one."""
        self.do("DELETE", f"{mount}/metadata/{root}/gloo.solo.io/v1/Secret/{ns}/{name}")

    # Rights

    def policy(self, name, rules):
        """RULES as the server's language has them."""
        self.do("PUT", f"sys/policies/acl/{name}", {"policy": rules})

    def make_token(self, *policies, ttl="1h", **more):
        """Returns the auth part of the answer: client_token, accessor, lease_duration and so on."""
        return self.do("POST", "auth/token/create", {"policies": list(policies), "ttl": ttl, **more})["auth"]

    def approle(self, role, *policies, **more):
        """Makes the role; returns (role id, a secret id)."""
        if "approle/" not in self.do("GET", "sys/auth")["data"]:
            self.do("POST", "sys/auth/approle", {"type": "approle"})
        path = f"auth/approle/role/{role}"
        self.do("POST", path, {"token_policies": list(policies), **more})
        return (self.do("GET", f"{path}/role-id")["data"]["role_id"],
                self.do("POST", f"{path}/secret-id", {})["data"]["secret_id"])

    def pki(self, role, domain, mount="pki", **more):
        """An authority with a role that issues for DOMAIN and below; returns the authority's certificate."""
        self.do("POST", f"sys/mounts/{mount}", {"type": "pki", "config": {"max_lease_ttl": "8760h"}})
        ca = self.do("POST", f"{mount}/root/generate/internal", {"common_name": f"{self.name} root", "ttl": "8760h"})
        self.do("POST", f"{mount}/roles/{role}", {"allowed_domains": domain, "allow_subdomains": True,
                                                  "allow_bare_domains": True, "max_ttl": "72h", **more})
        return ca["data"]["certificate"]
