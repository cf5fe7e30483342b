"""What stays in service while Vault says nothing, and what people see of its secrets."""

import http.client
import http.server
import json
import re
import ssl
import threading
import time

import faults
import harness
import pki
from harness import NS, Poller, eventually, ref, route, says, to, upstream, vs
from vault import Vault
from vault_world import ISSUE, READ, World, ca, fine, pair, vault  # noqa: F401


class Behind(World):
    """The same with a proxy of faults before Vault."""

    def __init__(self, make_site, vault, source, **more):
        self.proxy = faults.Proxy(vault.port)
        self.proxy.accept()
        super().__init__(make_site, vault, {**source, "address": f"http://{self.proxy.address}",
                                            "solder": {"timeout": "2s"}}, **more)


# ---- A reference to what has not been read yet ----

def test_a_new_reference_takes_nothing_away(make_site, vault, ca):
    """Certificate of HTTPS, client certificate of an upstream and a header: another secret is named while Vault
    does not answer, so the former ones stay; when it answers they change. No request fails."""
    cert, key = pair(ca, "web.test")
    server = pki.server(vault.dir, cert, key, ca.pem)
    for n, cn in (("a", "one.test"), ("b", "two.test")):
        vault.write_tls(n, *pair(ca, cn))
        vault.write_tls(f"client-{n}", *pair(ca, f"client-{cn}"), ca=ca.pem)
        vault.write(f"key-{n}", {"header": {"headers": {"authorization": f"Bearer {cn}"}}})
    w = Behind(make_site, vault, {"accessToken": vault.token}, start=False)
    w.site.upstream("echo")
    up = w.site.upstream("secure", publish=False, tls=server)

    def name(n):
        w.service("a", ref(n))
        w.site.write("secure.yaml",
                     upstream("secure", up.port, sslConfig={"secretRef": ref(f"client-{n}"), "sni": "web.test"},
                              connectionConfig={"maxRequestsPerConnection": 1}),
                     vs("secure", "secure.test", [route("/", to("secure"))]))
        w.echo("h", [ref(f"key-{n}")])

    def seen():
        a = w.site.ask(host="secure.test")
        return w.name(), a.json["peer"]["cn"], w.header("h", "authorization")
    name("a")
    w.start()
    eventually(lambda: seen() == ("one.test", "client-one.test", "Bearer one.test"))
    proxy = w.proxy
    tls = pki.client(w.site.dir, None)
    with Poller(w.tls, fine("a"), tls=tls, sni="a.test", host="a.test") as p, \
            Poller(w.site.port, host="secure.test") as q, \
            Poller(w.site.port, lambda a: None if a.json["headers"].get("authorization") else "no header",
                   host="h.echo") as r:
        proxy.set(faults.half_open)
        name("b")
        for kind, n in (("VirtualService", "a"), ("Upstream", "secure"), ("VirtualService", "echo-h")):
            found = w.site.wait_state(kind, n, "Warning", "SLD0608")
            assert "has not been read yet" in found["reason"] and "last accepted form" in str(found["findings"])
        w.site.settled()
        for poller in (p, q, r):
            poller.more(30)
        assert seen() == ("one.test", "client-one.test", "Bearer one.test")
        proxy.heal()
        eventually(lambda: seen() == ("two.test", "client-two.test", "Bearer two.test"), 60)
        for kind, n in (("VirtualService", "a"), ("Upstream", "secure"), ("VirtualService", "echo-h")):
            w.site.wait_state(kind, n, "Accepted")
    for poller in (p, q, r):
        poller.assert_clean()


def test_a_reference_to_nothing_is_told_when_vault_has_answered(make_site, vault, ca):
    vault.write_tls("a", *pair(ca, "one.test"))
    w = World(make_site, vault, {"accessToken": vault.token})
    w.service()
    w.shows("one.test")
    w.service("a", ref("nobody"))
    w.site.wait_state("VirtualService", "a", "Rejected", "SLD0206")
    vault.write_tls("nobody", *pair(ca, "two.test"))
    w.shows("two.test")


def test_a_start_while_vault_is_down(make_site, make_vault, ca):
    """Solder is killed and started again beside an Envoy that lives on: HTTPS and TLS to an upstream stay as they
    are without a failed request, edits of all else are served, and it is told what is stale. A new Envoy gets
    everything that needs no secret, also of the listener whose other certificate is missing."""
    vault = make_vault(persistent=True)
    cert, key = pair(ca, "web.test")
    server = pki.server(vault.dir, cert, key, ca.pem)
    vault.write_tls("a", *pair(ca, "one.test"))
    vault.write_tls("client", *pair(ca, "gateway-1"), ca=ca.pem)
    w = World(make_site, vault, {"accessToken": vault.token}, start=False)
    site = w.site
    up = site.upstream("secure", publish=False, tls=server)
    site.write("secure.yaml", upstream("secure", up.port, sslConfig={"secretRef": ref("client"), "sni": "web.test"}),
               vs("secure", "secure.test", [route("/", to("secure"))]))
    site.write("cert-b.yaml", harness.tls_secret("b", *pair(ca, "b.test")))
    w.service("b")
    w.service()
    w.start()
    w.shows("one.test")
    w.shows("b.test", "b")
    eventually(lambda: site.ask(host="secure.test").status == 200)
    pid, tls = site.envoy_pid(), pki.client(site.dir, None)
    with Poller(w.tls, fine("a"), tls=tls, sni="a.test", host="a.test") as p, \
            Poller(site.port, host="secure.test") as q:
        vault.kill()
        eventually(lambda: "stale since" in site.get("/healthz").text, 60)
        site.kill()
        w.start()
        assert site.envoy_pid() == pid
        assert "stale since" in site.get("/healthz").text
        for n in ("a", "secure"):
            site.wait_state("VirtualService" if n == "a" else "Upstream", n, "Warning", "SLD0608")
        site.settled()
        p.more(50)
        q.more(50)
        assert w.name() == "one.test"
        rows = harness.cli("get", "secrets", "--admin", f"unix:{site.admin}").stdout
        row = next(line for line in rows.splitlines() if re.match(rf"{NS} +a ", line))
        assert "not read yet" in row, rows
        vault.start()
        vault.write_tls("a", *pair(ca, "three.test"))
        w.shows("three.test", timeout=60)
        eventually(lambda: "stale since" not in site.get("/healthz").text, 60)
        site.wait_state("VirtualService", "a", "Accepted")
    p.assert_clean()
    q.assert_clean()
    # The same with an Envoy that is new.
    assert site.stop() == 0
    vault.kill()
    w.start()
    assert site.envoy_pid() != pid
    w.shows("b.test", "b")
    site.settled()
    vault.start()
    w.shows("three.test", timeout=60)


# ---- What people see ----

def get_secrets(site, *args):
    done = harness.cli("get", "secrets", *args, "--admin", f"unix:{site.admin}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_held_is_visible(make_site, vault, ca):
    """Names, versions, expiry and problems of secrets, certificates and the token: in the command, the API and
    the metric; never a value."""
    vault.pki("web", "b.test")
    vault.policy("read", READ + ISSUE)
    cert, key = ca.issue("one.test", "one.test", days=20)
    for _ in range(3):
        vault.write_tls("a", cert, key)
    vault.write("keys", {"header": {"headers": {"authorization": "Bearer hunter2-77"}}})
    token = vault.make_token("read", ttl="1h")
    w = World(make_site, vault, {"accessToken": token["client_token"]}, start=False)
    w.site.upstream("echo")
    w.service()
    w.service("b", vaultPki={"role": "web", "commonName": "b.test", "ttl": "1h"})
    w.service("c", ref("nobody"))
    w.echo("h", [ref("keys")])
    w.start()
    w.shows("b.test", "b")
    facts = {(f["kind"], f["name"]): f for f in w.site.api("/v1/secrets")["facts"]}
    mine = facts["secret", f"{NS}/a"]
    assert mine["version"] == "3" and mine["source"] == "vault:" and mine.get("problem") is None
    issued = next(f for k, f in facts.items() if k[0] == "certificate")
    assert "pki/issue/web" in issued["name"] and issued["expires"] > issued["renews"]
    assert facts["secret", f"{NS}/keys"].get("expires") is None
    assert facts["secret", f"{NS}/nobody"]["problem"] == "nothing is there"
    mine_token = facts["token", f"accessor {token['accessor']}"]
    assert mine_token["expires"] > mine_token["renews"]
    text = get_secrets(w.site)
    assert re.search(rf"^{NS} +a +Secret +Accepted .* 3 +20\d\d-\d\d-\d\dT", text, re.M), text
    assert token["accessor"] in text and "pki/issue/web" in text and "nothing is there" in text
    family, now = "solder_source_expiry_timestamp_seconds", time.time()
    assert 19 * 86400 < w.site.metric(family, kind="secret", source="vault:") - now <= 20 * 86400
    assert w.site.metric(family, kind="token") > now and w.site.metric(family, kind="certificate") > now
    assert f'name="{NS}/a"' in w.site.get("/metrics").text
    everything = text + json.dumps(w.site.api("/v1/secrets")) + w.site.get("/metrics").text
    for value in ("hunter2-77", key.splitlines()[1], token["client_token"]):
        assert value not in everything


def test_an_end_is_warned_of_ahead(make_site, vault, ca):
    """A certificate in Vault that ends in ten days: on the secret, and gone with the next version."""
    vault.write_tls("a", *ca.issue("one.test", "one.test", days=10, since=60))
    w = World(make_site, vault, {"accessToken": vault.token})
    w.service()
    w.shows("one.test")
    found = w.site.wait_state("Secret", "a", "Warning", "SLD0604")
    assert "renew it" in found["reason"]
    vault.write_tls("a", *ca.issue("two.test", "two.test", days=300))
    w.site.wait_state("Secret", "a", "Accepted")


# ---- Two nodes ----

class NoForwarding(http.server.BaseHTTPRequestHandler):
    """Passes requests to a standby that may not forward them, so that it sends whoever asks to the active node."""

    protocol_version = "HTTP/1.1"

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        c = http.client.HTTPSConnection("127.0.0.1", self.server.standby.port, context=self.server.tls, timeout=10)
        c.request(self.command, self.path, body,
                  {**{k: v for k, v in self.headers.items() if k.lower() not in ("host", "content-length")},
                   "X-Vault-No-Request-Forwarding": "true"})
        a = c.getresponse()
        data = a.read()
        self.server.answers.append((a.status, a.headers.get("Location")))
        self.send_response(a.status)
        for k, v in a.headers.items():
            if k.lower() in ("content-type", "location"):
                self.send_header(k, v)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        c.close()

    do_GET = do_POST = do_PUT = pass_on

    def log_message(self, *_):
        pass


def test_a_standby_sends_on(make_site, make_vault, ca):
    """Two nodes: the standby's redirect is followed with token and body, to the other node by TLS; when the active
    node steps down, the other answers."""
    one = make_vault(tls="server")
    two = make_vault(tls="server", join=one)
    one.policy("read", READ)
    role, secret = one.approle("solder", "read")
    one.write_tls("a", *pair(ca, "one.test"))
    front = http.server.ThreadingHTTPServer(("127.0.0.1", 0), NoForwarding)
    front.standby, front.answers = two, []
    front.tls = ssl.create_default_context(cafile=str(two.dir / "ca.pem"))
    threading.Thread(target=front.serve_forever, daemon=True).start()
    try:
        w = World(make_site, one, {"address": f"http://127.0.0.1:{front.server_address[1]}",
                                   "tlsConfig": {"caCert": str(one.dir / "ca.pem")},
                                   "appRole": {"roleId": role, "secretId": secret}})
        w.service()
        w.shows("one.test")
        assert (307, f"https://{one.address}/v1/auth/approle/login") in front.answers, front.answers
        assert len(w.site.events("login")) == 1 and w.source_problem() is None
        one.do("POST", "sys/storage/raft/autopilot/configuration", {"server_stabilization_time": "1s"})
        eventually(lambda: all(n["voter"] for n in one.do(
            "GET", "sys/storage/raft/configuration")["data"]["config"]["servers"]), 60)
        one.do("PUT", "sys/step-down")
        eventually(lambda: two.ask("GET", "sys/leader").json["is_self"], 60)
        two.write_tls("a", *pair(ca, "two.test"))
        w.shows("two.test", timeout=60)
        eventually(lambda: w.source_problem() is None, 60)
    finally:
        front.shutdown()
        front.server_close()


# ---- Variables ----

def test_variables_of_a_vault_with_tls_and_namespaces(make_site, make_vault, ca):
    """VAULT_ADDR, _TOKEN, _CACERT, _CLIENT_CERT, _CLIENT_KEY, _NAMESPACE and _TLS_SERVER_NAME, without a setting."""
    vault = make_vault(tls="mutual")
    vault.do("POST", "sys/namespaces/team1", {})
    inside = {"X-Vault-Namespace": "team1"}
    vault.do("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}, headers=inside)
    cert, key = pair(ca, "inside.test")
    eventually(lambda: vault.ask("POST", f"secret/data/gloo/gloo.solo.io/v1/Secret/{NS}/a", {"data": {
        "tls": {"certChain": cert, "privateKey": key}}}, headers=inside).status == 200)
    w = World(make_site, vault, {}, start=False, args=("--secrets", "vault:"))
    w.site.remove("settings.yaml")
    w.service()
    env = {"VAULT_ADDR": f"https://{vault.address}", "VAULT_TOKEN": vault.token,
           "VAULT_CACERT": str(vault.dir / "ca.pem"), "VAULT_CLIENT_CERT": str(vault.dir / "client.pem"),
           "VAULT_CLIENT_KEY": str(vault.dir / "client.key"), "VAULT_NAMESPACE": "team1"}
    w.start(env={**env, "VAULT_TLS_SERVER_NAME": "other.test"}, wait=False)
    eventually(lambda: w.source_problem())
    w.site.kill()
    w.start(env=env)
    w.shows("inside.test")


def test_the_token_of_the_vault_command(make_site, vault, ca):
    """~/.vault-token, as vault login leaves it."""
    vault.policy("read", READ)
    vault.write_tls("a", *pair(ca, "one.test"))
    w = World(make_site, vault, {}, start=False)
    (w.site.dir / ".vault-token").write_text(vault.make_token("read")["client_token"] + "\n")
    w.service()
    w.start(env={"HOME": str(w.site.dir)})
    w.shows("one.test")


def test_settings_of_vault_are_no_news_to_anybody(make_site, vault):
    """No finding says that Vault's settings have no effect."""
    w = World(make_site, vault, {"accessToken": vault.token, "pathPrefix": "secret", "rootKey": "gloo",
                                 "solder": {"kvVersion": 2, "maxRequests": 4}})
    assert w.site.findings("settings", "default") == []
    assert isinstance(w.vault, Vault)


# ---- How Vault is asked ----

def test_one_listing_shows_what_changed(make_site, vault, ca):
    """Of twenty secrets in one folder one request each time shows that nothing changed, and one more reads what did."""
    w = Behind(make_site, vault, {"accessToken": vault.token}, start=False)
    w.site.upstream("echo")
    for i in range(20):
        vault.write(f"k{i}", {"header": {"headers": {f"x-{i}": "one"}}})
    w.echo("h", [ref(f"k{i}") for i in range(20)])
    w.start()
    assert w.header("h", "x-19") == "one"
    seen = w.proxy.seen

    def listings(since):
        return [s for s in seen[since:] if "/detailed-metadata/" in s[1]]
    eventually(lambda: listings(0))
    start = len(seen)
    eventually(lambda: len(listings(start)) >= 4)
    assert seen[start:] == listings(start)
    vault.write("k7", {"header": {"headers": {"x-7": "two"}}})
    eventually(lambda: w.header("h", "x-7") == "two")
    others = [s[1] for s in seen[start:] if s not in listings(start)]
    assert others == [f"/v1/secret/data/gloo/gloo.solo.io/v1/Secret/{NS}/k7"]


def memory_has(pid, text):
    """Whether the process can read TEXT anywhere in what it can write to."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in maps:
            where, rights = line.split()[:2]
            begin, end = (int(x, 16) for x in where.split("-"))
            if not rights.startswith("rw"):
                continue
            mem.seek(begin)
            try:
                if text.encode() in mem.read(end - begin):
                    return True
            except OSError:
                pass
    return False


def test_what_was_let_go_is_nowhere_in_memory(make_site, vault, ca):
    """A former token, and a value that was read and not used, are wiped."""
    vault.policy("read", READ)
    vault.do("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    eventually(lambda: vault.ask("GET", "kv/config").status == 200)
    vault.kv("odd", {"wanted": "good-value-5150", "other": "hidden-value-8086"}, mount="kv")
    vault.write_tls("a", *pair(ca, "one.test"))
    old, new = (vault.make_token("read")["client_token"] for _ in range(2))
    w = World(make_site, vault, {}, start=False)
    w.site.upstream("echo")
    sink = w.site.dir / "token"
    sink.write_text(old)
    w.settings({"tokenFile": str(sink)})
    w.service()
    w.echo("h", [{"name": "vault:kv/odd#wanted"}])
    w.start()
    w.shows("one.test")
    pid = w.site.proc.pid
    assert memory_has(pid, old) and memory_has(pid, "good-value-5150")
    eventually(lambda: not memory_has(pid, "hidden-value-8086"))
    (w.site.dir / "new").write_text(new)
    (w.site.dir / "new").rename(sink)
    vault.do("POST", "auth/token/revoke", {"token": old})
    vault.write_tls("a", *pair(ca, "two.test"))
    w.shows("two.test")
    eventually(lambda: not memory_has(pid, old))
    assert memory_has(pid, new)


def test_a_path_that_answers_badly_costs_itself_alone(make_site, vault, ca):
    """A reference to what is no secret of Vault's: the start does not wait for it, and rotation of others goes on."""
    vault.pki("web", "b.test")
    vault.write_tls("a", *pair(ca, "one.test"))
    w = World(make_site, vault, {"accessToken": vault.token}, start=False)
    w.service()
    w.service("b", {"name": "vault:pki/ca/pem"})  # PEM text where Vault's own form is expected
    w.start()
    w.shows("one.test")
    vault.write_tls("a", *pair(ca, "two.test"))
    w.shows("two.test")
    assert w.source_problem() is None
    assert any("no answer for pki/ca/pem that can be used" in p for p in w.problems())
