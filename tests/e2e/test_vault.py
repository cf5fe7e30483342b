"""Secrets from a real server that speaks Vault's API: logins, rotation, certificates it issues, and its bad days."""

import base64
import http.server
import json
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

import aws
import harness
import pki
from harness import NS, Poller, doc, eventually, ref, request, route, to, upstream, vs
from vault_world import ISSUE, READ, World, ca, fine, pair, vault  # noqa: F401


# ---- Secrets as Gloo keeps them ----

def test_a_certificate_from_vault_and_its_rotation(make_site, vault, ca):
    """A new version reaches new handshakes with no listener change and no failed request."""
    vault.write_tls("a", *pair(ca, "one.test"))
    w = World(make_site, vault, {"accessToken": vault.token})
    w.service()
    w.shows("one.test")
    before = w.lds()
    with Poller(w.tls, fine("a"), tls=pki.client(w.site.dir, None), sni="a.test", host="a.test", threads=2) as p:
        for i in range(3):
            vault.write_tls("a", *pair(ca, f"next{i}.test"))
            w.shows(f"next{i}.test")
        p.more(50)
    p.assert_clean()
    assert w.lds() == before


def test_only_what_is_wanted_is_read_and_the_start_waits_for_it(make_site, vault, ca):
    vault.write_tls("a", *pair(ca, "one.test"))
    vault.write_tls("unused", *pair(ca, "unused.test"))
    w = World(make_site, vault, {"accessToken": vault.token}, start=False)
    w.service()
    w.start()
    assert list(w.site.xds("sds")) == ["gloo-system.a/certificate"]
    w.shows("one.test")
    w.site.remove("a.yaml")  # nobody wants it any more
    w.service("b", ref("unused"))
    w.shows("unused.test", "b")
    eventually(lambda: list(w.site.xds("sds")) == ["gloo-system.unused/certificate"])


def test_headers_and_an_upstreams_client_certificate(make_site, vault, ca):
    """Both follow their secrets."""
    cert, key = pair(ca, "web.test")
    server = pki.server(vault.dir, cert, key, ca.pem)
    vault.write("keys", {"header": {"headers": {"authorization": "Bearer one"}}})
    vault.write_tls("client", *pair(ca, "gateway-1"), ca=ca.pem)
    w = World(make_site, vault, {"accessToken": vault.token}, start=False)
    w.site.upstream("echo")
    up = w.site.upstream("secure", publish=False, tls=server)
    w.site.write("secure.yaml",
                 upstream("secure", up.port, sslConfig={"secretRef": ref("client"), "sni": "web.test"},
                          connectionConfig={"maxRequestsPerConnection": 1}),
                 vs("secure", "secure.test", [route("/", to("secure"))]))
    w.echo("h", [ref("keys")])
    w.start()
    assert w.header("h", "authorization") == "Bearer one"
    eventually(lambda: w.site.ask(host="secure.test").json["peer"]["cn"] == "gateway-1")
    vault.write("keys", {"header": {"headers": {"authorization": "Bearer two"}}})
    vault.write_tls("client", *pair(ca, "gateway-2"), ca=ca.pem)
    eventually(lambda: w.header("h", "authorization") == "Bearer two")
    eventually(lambda: w.site.ask(host="secure.test").json["peer"]["cn"] == "gateway-2")


def test_deleted_and_undeleted(make_site, vault, ca):
    """What was deleted stays in service while something refers to it, with a warning."""
    path = f"gloo/gloo.solo.io/v1/Secret/{NS}/a"
    vault.write_tls("a", *pair(ca, "one.test"))
    w = World(make_site, vault, {"accessToken": vault.token})
    w.service()
    w.shows("one.test")
    vault.do("DELETE", f"secret/data/{path}")
    w.site.wait_state("VirtualService", "a", "Warning", "SLD0206")
    assert w.name() == "one.test"
    vault.do("POST", f"secret/undelete/{path}", {"versions": [1]})
    w.site.wait_state("VirtualService", "a", "Accepted")
    vault.delete("a")
    w.site.wait_state("VirtualService", "a", "Warning", "SLD0206")
    vault.write_tls("a", *pair(ca, "two.test"))  # version 1 again
    w.shows("two.test")


def test_key_value_version_1(make_site, vault, ca):
    vault.do("POST", "sys/mounts/old", {"type": "kv", "options": {"version": "1"}})
    cert, key = pair(ca, "one.test")
    path = f"old/gloo/gloo.solo.io/v1/Secret/{NS}/a"
    vault.do("POST", path, {"metadata": ref("a"), "tls": {"certChain": cert, "privateKey": key}})
    w = World(make_site, vault, {"accessToken": vault.token, "pathPrefix": "old"})
    w.service()
    w.shows("one.test")
    cert, key = pair(ca, "two.test")
    vault.do("POST", path, {"metadata": ref("a"), "tls": {"certChain": cert, "privateKey": key}})
    w.shows("two.test")


def test_namespaces(make_site, vault, ca):
    vault.do("POST", "sys/namespaces/team1", {})
    inside = {"X-Vault-Namespace": "team1"}
    vault.do("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}, headers=inside)
    cert, key = pair(ca, "inside.test")
    eventually(lambda: vault.ask("POST", f"secret/data/gloo/gloo.solo.io/v1/Secret/{NS}/a", {"data": {
        "tls": {"certChain": cert, "privateKey": key}}}, headers=inside).status == 200)
    w = World(make_site, vault, {"accessToken": vault.token, "solder": {"namespace": "team1"}})
    w.service()
    w.shows("inside.test")


def test_a_bad_secret_costs_itself_alone(make_site, vault, ca):
    """Two of three are broken: unknown field, key of another certificate."""
    good, other = pair(ca, "good.test"), pair(ca, "other.test")
    vault.write_tls("a", *good)
    vault.write("b", {"tls": {"certChain": good[0], "privateKey": good[1], "colour": "red"}})
    vault.write_tls("c", good[0], other[1])
    w = World(make_site, vault, {"accessToken": vault.token})
    for n in "abc":
        w.service(n)
    w.shows("good.test")
    w.site.wait_state("Secret", "b", "Rejected", "SLD0101")
    w.site.wait_state("Secret", "c", "Rejected", "SLD0602")
    vault.write_tls("b", *pair(ca, "mended.test"))
    w.shows("mended.test", "b")


def test_of_several_stores_the_first_counts(make_site, vault, ca):
    """Documents of the configuration, then directories, then Vault, whatever the order in Settings."""
    vault.write_tls("a", *pair(ca, "vault.test"))
    vault.write_tls("b", *pair(ca, "vault.test"))
    vault.write_tls("c", *pair(ca, "vault.test"))
    w = World(make_site, vault, {}, start=False)
    folder = w.site.dir / "secrets" / NS
    folder.mkdir(parents=True)

    def put(path, n, cn):
        path.write_text(json.dumps(harness.tls_secret(n, *pair(ca, cn))))
    put(folder / "b.yaml", "b", "directory.test")
    put(folder / "c.yaml", "c", "directory.test")
    put(w.site.config / "c-secret.yaml", "c", "config.test")
    w.site.write("settings.yaml", doc("Settings", "default", {"refreshRate": "0.2s", "secretOptions": {"sources": [
        {"vault": {"address": f"http://{vault.address}", "accessToken": vault.token}},
        {"directory": {"directory": str(w.site.dir / "secrets")}}]}}))
    for n in "abc":
        w.service(n)
    w.start()
    for n, cn in (("a", "vault.test"), ("b", "directory.test"), ("c", "config.test")):
        w.shows(cn, n)
    for _ in range(2):
        vault.write_tls("b", *pair(ca, "vault2.test"))
        vault.write_tls("c", *pair(ca, "vault2.test"))
        vault.write_tls("a", *pair(ca, "vault2.test"))
        w.shows("vault2.test", "a")
        assert (w.name("b"), w.name("c")) == ("directory.test", "config.test")
    (folder / "b.yaml").unlink()
    w.shows("vault2.test", "b")


# ---- References to any place ----

def test_direct_references(make_site, vault, ca):
    """Certificates by the names that others use, one key of many, headers; each follows its place."""
    vault.do("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    eventually(lambda: vault.ask("GET", "kv/config").status == 200)
    cert, key = pair(ca, "kube.test")
    vault.kv("team/kube", {"tls.crt": cert, "tls.key": key}, mount="kv")
    cert, key = pair(ca, "bundle.test")
    vault.kv("team/bundle", {"pem": key + cert, "other": "x"}, mount="kv")
    vault.kv("team/headers", {"x-one": "1", "x-two": "2"}, mount="kv")
    w = World(make_site, vault, {"accessToken": vault.token}, start=False)
    w.site.upstream("echo")
    w.service("a", {"name": "vault:kv/team/kube"})
    w.service("b", {"name": "vault:kv/team/bundle#pem"})
    w.echo("all", [{"name": "vault:kv/team/headers"}])
    w.echo("two", [{"name": "vault:kv/team/headers#x-two"}])
    w.start()
    w.shows("kube.test", "a")
    w.shows("bundle.test", "b")
    assert (w.header("all", "x-one"), w.header("all", "x-two")) == ("1", "2")
    assert (w.header("two", "x-one"), w.header("two", "x-two")) == (None, "2")
    vault.kv("team/headers", {"x-one": "1", "x-two": "22"}, mount="kv")
    eventually(lambda: w.header("two", "x-two") == "22" and w.header("all", "x-two") == "22")
    # What cannot be used says why, and the last good stays.
    vault.kv("team/headers", {"x-one": "1"}, mount="kv")
    eventually(lambda: any('it has no key "x-two"; it has x-one' in p for p in w.problems()))
    assert w.header("two", "x-two") == "22"
    vault.kv("team/headers", {"x-two": "3"}, mount="kv")
    eventually(lambda: w.header("two", "x-two") == "3" and w.problems() == [])


# ---- Certificates that Vault issues ----

def certificate(der):
    return x509.load_der_x509_certificate(der)


def test_a_certificate_is_issued_and_renewed(make_site, vault):
    """HTTPS shows a certificate of the PKI engine; it is renewed before it ends, with no failed request and no
    listener change; the last one stays when that fails."""
    root = vault.pki("web", "a.test")
    vault.policy("issue", READ + ISSUE)
    token = vault.make_token("issue")["client_token"]
    w = World(make_site, vault, {"accessToken": token})
    w.service("a", vaultPki={"role": "web", "commonName": "a.test", "altNames": ["www.a.test"], "ttl": "12s"})
    w.shows("a.test")
    first = certificate(w.shown())
    names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.test", "www.a.test"]
    before = w.lds()
    with Poller(w.tls, fine("a"), tls=pki.client(w.site.dir, root), sni="a.test", host="a.test", threads=2) as p:
        seen = {first.serial_number}

        def renewed():
            seen.add(certificate(w.shown()).serial_number)
            return len(seen) == 3
        eventually(renewed, timeout=60)
    p.assert_clean()
    assert w.lds() == before
    vault.do("DELETE", "pki/roles/web")
    eventually(lambda: any("does not issue from pki/issue/web" in p for p in w.problems()), timeout=30)
    last = certificate(w.shown())
    vault.do("POST", "pki/roles/web", {"allowed_domains": "a.test", "allow_subdomains": True, "allow_bare_domains": True})
    eventually(lambda: certificate(w.shown()).serial_number != last.serial_number, timeout=60)
    eventually(lambda: w.problems() == [])


def test_an_issued_client_certificate_for_an_upstream(make_site, vault):
    """Its issuer is the authority that the upstream is checked with."""
    root = vault.pki("any", "internal.test", allow_any_name=True)
    issued = vault.do("POST", "pki/issue/any", {"common_name": "web.internal.test"})["data"]
    server = pki.server(vault.dir, issued["certificate"] + "\n", issued["private_key"], root)
    w = World(make_site, vault, {"accessToken": vault.token}, start=False)
    up = w.site.upstream("secure", publish=False, tls=server)
    w.site.write("secure.yaml",
                 upstream("secure", up.port, sslConfig={
                     "sni": "web.internal.test", "verifySubjectAltName": ["web.internal.test"],
                     "vaultPki": {"role": "any", "commonName": "gateway.internal.test", "trustIssuer": True}}),
                 vs("secure", "secure.test", [route("/", to("secure"))]))
    w.start()
    eventually(lambda: w.site.ask(host="secure.test").json["peer"]["cn"] == "gateway.internal.test")


def test_replaced_certificates_are_revoked_at_the_end(make_site, vault):
    vault.pki("web", "a.test")
    w = World(make_site, vault, {"accessToken": vault.token, "solder": {"revokeCertificates": True}})
    w.service("a", vaultPki={"role": "web", "commonName": "a.test", "ttl": "10s"})
    w.shows("a.test")
    first = certificate(w.shown()).serial_number
    eventually(lambda: certificate(w.shown()).serial_number != first, timeout=30)
    w.site.stop()
    serial = ":".join(f"{first:040x}"[i:i + 2] for i in range(0, 40, 2))
    assert vault.do("GET", f"pki/cert/{serial}")["data"]["revocation_time"] > 0


# ---- Logins ----

def test_a_static_token_and_its_end(make_site, vault, ca):
    """A token that is not renewed is warned of before it ends; then the last good secrets stay, and another one
    heals it."""
    vault.policy("read", READ)
    vault.write_tls("a", *pair(ca, "one.test"))
    token = vault.make_token("read", ttl="8s", renewable=False)["client_token"]
    w = World(make_site, vault, {"accessToken": token})
    w.service()
    w.shows("one.test")
    eventually(lambda: any("SLD0906 vault:/token" in p and "is not renewed; give Solder another" in p for p in w.problems()))
    eventually(lambda: "the token is not taken" in (w.source_problem() or ""), timeout=30)
    assert w.ask().status == 200
    vault.write_tls("a", *pair(ca, "two.test"))
    w.settings({"accessToken": vault.make_token("read")["client_token"]})
    w.shows("two.test")
    assert w.source_problem() is None and w.problems() == []


def test_a_short_lived_token_is_renewed(make_site, vault, ca):
    vault.policy("read", READ)
    vault.write_tls("a", *pair(ca, "one.test"))
    token = vault.make_token("read", period="3s")
    w = World(make_site, vault, {"accessToken": token["client_token"]})
    w.service()
    w.shows("one.test")
    eventually(lambda: w.site.metric("gloo_solo_io_vault_renew_successes") >= 3, timeout=30)
    vault.write_tls("a", *pair(ca, "two.test"))
    w.shows("two.test")
    assert w.source_problem() is None and w.problems() == []


def test_a_role_whose_tokens_live_for_seconds(make_site, vault, ca):
    """Renewed, and logged in anew at the longest life; a revoked token too."""
    vault.policy("read", READ)
    role, secret = vault.approle("solder", "read", token_ttl="2s", token_max_ttl="5s")
    vault.write_tls("a", *pair(ca, "one.test"))
    w = World(make_site, vault, {"appRole": {"roleId": role, "secretId": secret}})
    w.service()
    w.shows("one.test")
    eventually(lambda: w.site.metric("gloo_solo_io_vault_login_successes") >= 3, timeout=30)
    assert w.site.metric("gloo_solo_io_vault_renew_successes") >= 2
    assert w.site.metric("gloo_solo_io_vault_login_failures") == 0
    vault.write_tls("a", *pair(ca, "two.test"))
    w.shows("two.test")
    assert w.source_problem() is None and w.problems() == []
    assert not [e for e in w.site.events("source_down") if e["source"].startswith("vault")]


def test_a_revoked_token_heals_by_a_new_login(make_site, vault, ca):
    vault.policy("read", READ)
    role, secret = vault.approle("solder", "read")
    vault.write_tls("a", *pair(ca, "one.test"))
    w = World(make_site, vault, {"appRole": {"roleId": role, "secretId": secret}})
    w.service()
    w.shows("one.test")
    accessor = w.site.events("login")[-1]["accessor"]
    vault.do("POST", "auth/token/revoke-accessor", {"accessor": accessor})
    vault.write_tls("a", *pair(ca, "two.test"))
    w.shows("two.test")
    assert len(w.site.events("login")) == 2
    assert w.source_problem() is None


def test_denied_secrets_are_no_reason_to_log_in(make_site, vault, ca):
    """Tokens that may not ask about themselves, and two secrets that they may not read: no login for each denial."""
    place = f"gloo/gloo.solo.io/v1/Secret/{NS}/a"
    vault.policy("one", "".join(f'path "secret/{part}/{place}" {{ capabilities = ["read"] }}\n' for part in ("data", "metadata")))
    role, secret = vault.approle("blind", "one", token_no_default_policy=True)
    for n in "abc":
        vault.write_tls(n, *pair(ca, "one.test"))
    w = World(make_site, vault, {"appRole": {"roleId": role, "secretId": secret}})
    for n in "abc":
        w.service(n)
        if n == "a":
            w.shows("one.test")
        else:
            eventually(lambda n=n: any("Vault denies reading" in p and f"/{n}:" in p for p in w.problems()))
    for i in range(5):
        vault.write_tls("a", *pair(ca, f"next{i}.test"))
        w.shows(f"next{i}.test")
    assert len(w.site.events("login")) <= 3
    assert w.source_problem() is None


def test_a_token_file_that_an_agent_keeps(make_site, vault, ca):
    vault.policy("read", READ)
    vault.write_tls("a", *pair(ca, "one.test"))
    w = World(make_site, vault, {}, start=False)
    sink = w.site.dir / "token"
    sink.write_text(vault.make_token("read", ttl="1h")["client_token"] + "\n")
    w.settings({"tokenFile": str(sink)})
    w.service()
    w.start()
    w.shows("one.test")
    old = sink.read_text().strip()
    new = vault.make_token("read")["client_token"]
    (w.site.dir / "new").write_text(new)
    (w.site.dir / "new").rename(sink)
    vault.do("POST", "auth/token/revoke", {"token": old})
    vault.write_tls("a", *pair(ca, "two.test"))
    w.shows("two.test")
    eventually(lambda: w.source_problem() is None)


def test_a_wrapped_secret_id(make_site, vault, ca):
    """Unwrapped once, whatever happens to the token; a spent one is told of, a new one heals it."""
    vault.policy("read", READ)
    role, _ = vault.approle("solder", "read", token_ttl="2s", token_max_ttl="3s")
    vault.write_tls("a", *pair(ca, "one.test"))

    def wrap():
        a = vault.do("POST", "auth/approle/role/solder/secret-id", {}, headers={"X-Vault-Wrap-TTL": "60s"})
        return a["wrap_info"]["token"]
    w = World(make_site, vault, {}, start=False)
    file = w.site.dir / "wrapped"
    file.write_text(wrap())
    w.settings({"appRole": {"roleId": role, "secretIdFile": str(file), "wrapped": True}})
    w.service()
    w.start()
    w.shows("one.test")
    eventually(lambda: w.site.metric("gloo_solo_io_vault_login_successes") >= 3, timeout=30)
    w.site.stop()
    w.start(wait=False)  # the token in the file is spent
    eventually(lambda: "the wrapping token is spent or over" in (w.source_problem() or ""))
    file.write_text(wrap())
    w.site.wait_ready()
    w.shows("one.test")


def test_userpass_and_a_password_that_changes(make_site, vault, ca):
    vault.policy("read", READ)
    vault.write_tls("a", *pair(ca, "one.test"))
    vault.do("POST", "sys/auth/userpass", {"type": "userpass"})
    vault.do("POST", "auth/userpass/users/solder", {"password": "first", "token_policies": "read", "token_ttl": "2s",
                                                    "token_max_ttl": "3s"})
    w = World(make_site, vault, {}, start=False)
    file = w.site.dir / "password"
    file.write_text("first\n")
    w.settings({"userpass": {"username": "solder", "passwordFile": str(file)}})
    w.service()
    w.start()
    w.shows("one.test")
    vault.do("POST", "auth/userpass/users/solder/password", {"password": "second"})
    eventually(lambda: "login by userpass failed" in (w.source_problem() or ""), timeout=30)
    assert w.ask().status == 200
    file.write_text("second\n")
    eventually(lambda: w.source_problem() is None)
    vault.write_tls("a", *pair(ca, "two.test"))
    w.shows("two.test")


def signed_token(key, **claims):
    """A JWT by ES256."""
    def part(x):
        return base64.urlsafe_b64encode(x if isinstance(x, bytes) else json.dumps(x).encode()).rstrip(b"=")
    text = part({"alg": "ES256", "typ": "JWT"}) + b"." + part(claims)
    der = key.sign(text, ec.ECDSA(hashes.SHA256()))
    r, s_ = utils.decode_dss_signature(der)
    return (text + b"." + part(r.to_bytes(32, "big") + s_.to_bytes(32, "big"))).decode()


def test_jwt(make_site, vault, ca):
    vault.policy("read", READ)
    vault.write_tls("a", *pair(ca, "one.test"))
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM,
                                           serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    vault.do("POST", "sys/auth/nomad", {"type": "jwt"})
    vault.do("POST", "auth/nomad/config", {"jwt_validation_pubkeys": public})
    vault.do("POST", "auth/nomad/role/solder", {"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault",
                                                "token_policies": "read"})
    now = int(time.time())
    w = World(make_site, vault, {}, start=False)
    file = w.site.dir / "jwt"
    file.write_text(signed_token(key, sub="solder", aud="vault", iat=now, exp=now - 500))
    w.settings({"jwt": {"role": "solder", "jwtFile": str(file), "mountPath": "nomad"}})
    w.service()
    w.start(wait=False)
    eventually(lambda: "login by jwt failed" in (w.source_problem() or ""))
    file.write_text(signed_token(key, sub="solder", aud="vault", iat=now, exp=now + 500))
    w.site.wait_ready()
    w.shows("one.test")


class TokenReview(http.server.BaseHTTPRequestHandler):
    """What Vault asks of Kubernetes."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        good = asked["spec"]["token"] == self.server.token
        status = {"authenticated": good, "audiences": ["vault"],
                  "user": {"username": "system:serviceaccount:gateway:solder", "uid": "1",
                           "groups": ["system:serviceaccounts"]}}
        body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_kubernetes(make_site, vault, ca):
    """By a service account's token, which Vault shows to a stand-in of Kubernetes."""
    vault.policy("read", READ)
    vault.write_tls("a", *pair(ca, "one.test"))
    now = int(time.time())
    token = signed_token(ec.generate_private_key(ec.SECP256R1()), aud=["vault"], exp=now + 500, iat=now,
                         iss="kubernetes/serviceaccount", sub="system:serviceaccount:gateway:solder",
                         **{"kubernetes.io": {"namespace": "gateway", "serviceaccount": {"name": "solder", "uid": "1"}}})
    review = http.server.ThreadingHTTPServer(("127.0.0.1", 0), TokenReview)
    review.token = token
    threading.Thread(target=review.serve_forever, daemon=True).start()
    try:
        vault.do("POST", "sys/auth/kubernetes", {"type": "kubernetes"})
        vault.do("POST", "auth/kubernetes/config", {
            "kubernetes_host": f"http://127.0.0.1:{review.server_address[1]}", "kubernetes_ca_cert": ca.pem,
            "disable_local_ca_jwt": True})
        vault.do("POST", "auth/kubernetes/role/solder", {
            "bound_service_account_names": "solder", "bound_service_account_namespaces": "gateway",
            "audience": "vault", "token_policies": "read"})
        w = World(make_site, vault, {}, start=False)
        file = w.site.dir / "sa-token"
        file.write_text(token)
        w.settings({"kubernetes": {"role": "solder", "tokenFile": str(file)}})
        w.service()
        w.start()
        w.shows("one.test")
    finally:
        review.shutdown()
        review.server_close()


def test_tls_and_a_login_by_certificate(make_site, make_vault, ca):
    """A Vault that clients must show a certificate to; the same certificate logs in."""
    vault = make_vault(tls="mutual")
    vault.policy("read", READ)
    vault.write_tls("a", *pair(ca, "one.test"))
    vault.do("POST", "sys/auth/cert", {"type": "cert"})
    vault.do("POST", "auth/cert/certs/solder", {"certificate": vault.authority.pem, "token_policies": "read"})
    tls = {"caCert": str(vault.dir / "ca.pem"), "clientCert": str(vault.dir / "client.pem"),
           "clientKey": str(vault.dir / "client.key")}
    w = World(make_site, vault, {"certificate": {"role": "solder"}, "tlsConfig": tls})
    w.service()
    w.shows("one.test")
    # A name that its certificate does not bear.
    w.settings({"certificate": {"role": "solder"}, "tlsConfig": {**tls, "tlsServerName": "other.test"}})
    eventually(lambda: w.source_problem())
    assert w.ask().status == 200
    w.settings({"certificate": {"role": "solder"}, "tlsConfig": tls})
    eventually(lambda: w.source_problem() is None)


class IamLogin(http.server.BaseHTTPRequestHandler):
    """What Vault does at a login by AWS: it sends the signed question to STS, and believes the answer."""

    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):  # everything but the login is the real one's business
        a = self.server.vault.ask("GET", self.path.removeprefix("/v1/"), token=self.headers.get("X-Vault-Token", ""))
        self.answer(a.status, a.json)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/auth/aws/login" and asked["iam_http_request_method"] == "POST"
        url, body, headers = (base64.b64decode(asked[f"iam_request_{k}"]).decode() for k in ("url", "body", "headers"))
        sts = self.server.sts
        assert url == f"http://{sts.address}/"
        headers = {k.lower(): v[0] for k, v in json.loads(headers).items()}
        signed = headers["authorization"]
        assert headers["x-vault-aws-iam-server-id"] == "vault.example" and "x-vault-aws-iam-server-id" in signed
        a = request(sts.port, "/", method="POST", host=headers.pop("host"), headers=headers, body=body)
        self.server.seen.append((asked["role"], a.status))
        if a.status != 200 or "GetCallerIdentityResult" not in a.text:
            return self.answer(400, {"errors": [f"STS answered {a.status}"]})
        token = self.server.vault.make_token("read")
        return self.answer(200, {"auth": {"client_token": token["client_token"], "accessor": token["accessor"],
                                          "lease_duration": 3600, "renewable": True}})

    def log_message(self, *_):
        pass


def test_aws(make_site, vault, ca):
    """The server of the tests has no such login, so an endpoint of ours sends what it gets to a stand-in of AWS that
    checks signatures."""
    vault.policy("read", READ)
    vault.write_tls("a", *pair(ca, "one.test"))
    with aws.Aws() as sts:
        key, secret = sts.user()
        login = http.server.ThreadingHTTPServer(("127.0.0.1", 0), IamLogin)
        login.vault, login.sts, login.seen = vault, sts, []
        threading.Thread(target=login.serve_forever, daemon=True).start()
        try:
            w = World(make_site, vault, {}, start=False)
            source = {"address": f"http://127.0.0.1:{login.server_address[1]}",
                      "aws": {"vaultRole": "dev", "iamServerIdHeader": "vault.example", "accessKeyId": key,
                              "secretAccessKey": "wrong"},
                      "solder": {"awsStsEndpoint": f"http://{sts.address}"}}
            w.settings(source)
            w.service()
            w.start(wait=False)
            eventually(lambda: "login by aws failed: STS answered" in (w.source_problem() or ""))
            del source["aws"]["accessKeyId"], source["aws"]["secretAccessKey"]
            w.site.kill()
            w.settings(source)
            w.start(env={"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret})
            w.shows("one.test")
            assert login.seen[-1] == ("dev", 200) and ("dev", 200) != login.seen[0]
        finally:
            login.shutdown()
            login.server_close()


def test_variables_alone(make_site, vault, ca):
    """Flags and VAULT_* without any setting."""
    vault.policy("read", READ)
    vault.write_tls("a", *pair(ca, "one.test"))
    w = World(make_site, vault, {}, start=False)
    w.site.remove("settings.yaml")
    w.service()
    w.args = ("--secrets", "vault:")
    w.start(env={"VAULT_ADDR": f"http://{vault.address}", "VAULT_TOKEN": vault.make_token("read")["client_token"]})
    w.shows("one.test")


def test_a_login_is_given_back_at_the_end(make_site, vault):
    vault.policy("read", READ)
    role, secret = vault.approle("solder", "read")
    w = World(make_site, vault, {"appRole": {"roleId": role, "secretId": secret}, "solder": {"revokeOnExit": True}})
    accessor = w.site.events("login")[-1]["accessor"]
    assert vault.ask("POST", "auth/token/lookup-accessor", {"accessor": accessor}).status == 200
    assert w.site.stop() == 0
    assert vault.ask("POST", "auth/token/lookup-accessor", {"accessor": accessor}).status in (400, 403)


# ---- Bad days ----

def test_sealed_and_unsealed(make_site, make_vault, ca):
    """Traffic and secrets stay, everybody is told since when, and it heals by itself."""
    vault = make_vault(persistent=True)
    vault.write_tls("a", *pair(ca, "one.test"))
    w = World(make_site, vault, {"accessToken": vault.token})
    w.service()
    w.shows("one.test")
    with Poller(w.tls, fine("a"), tls=pki.client(w.site.dir, None), sni="a.test", host="a.test") as p:
        vault.seal()
        eventually(lambda: "Vault is sealed; the last good secrets stay" in (w.source_problem() or ""))
        assert "stale since" in w.site.get("/healthz?verbose").text
        assert w.site.get("/healthz").status == 200
        w.site.wait_state("VirtualService", "a", "Accepted")
        vault.unseal()
        eventually(lambda: w.source_problem() is None, timeout=40)
        vault.write_tls("a", *pair(ca, "two.test"))
        w.shows("two.test")
    p.assert_clean()


def test_killed_and_restarted(make_site, make_vault, ca):
    vault = make_vault(persistent=True)
    vault.policy("read", READ)
    role, secret = vault.approle("solder", "read", token_ttl="3s", token_max_ttl="6s")
    vault.write_tls("a", *pair(ca, "one.test"))
    w = World(make_site, vault, {"appRole": {"roleId": role, "secretId": secret}})
    w.service()
    w.shows("one.test")
    with Poller(w.tls, fine("a"), tls=pki.client(w.site.dir, None), sni="a.test", host="a.test") as p:
        vault.kill()
        eventually(lambda: "cannot be asked since" in (w.source_problem() or ""))
        # Long enough that its token is over when it comes back.
        eventually(lambda: w.site.events("token_over"), timeout=30)
        vault.start()
        vault.write_tls("a", *pair(ca, "two.test"))
        w.shows("two.test", timeout=40)
        assert w.source_problem() is None
    p.assert_clean()


@pytest.mark.parametrize("method", ("appRole", "accessToken"))
def test_no_value_is_ever_shown(make_site, vault, ca, method):
    """Neither in dumps nor on disk nor in logs; the same for what Solder logs in with, and for a token that was given."""
    vault.policy("read", READ)
    if method == "appRole":
        role, secret = vault.approle("solder", "read")
        source = {"appRole": {"roleId": role, "secretId": secret}}
    else:
        secret = vault.make_token("read")["client_token"]
        source = {"accessToken": secret}
    cert, key = pair(ca, "one.test")
    vault.write_tls("a", cert, key)
    vault.write("keys", {"header": {"headers": {"authorization": "Bearer hunter2-77"}}})
    vault.write("odd", {"header": {"headers": {"x": "hunter2-77"}}, "hunter": "hunter2-77"})
    w = World(make_site, vault, source, start=False, args=("--log-level", "debug"))
    w.site.upstream("echo")
    w.service()
    w.echo("h", [ref("keys")])
    w.echo("o", [ref("odd")])
    w.start()
    w.shows("one.test")
    assert w.header("h", "authorization") == "Bearer hunter2-77"
    body = key.splitlines()[1]  # of the private key
    paths = ["/v1/objects/secrets?limit=100", f"/v1/objects/secrets/{NS}/a", f"/v1/objects/secrets/{NS}/keys",
             f"/v1/objects/secrets/{NS}/odd", f"/v1/objects/settings/{NS}/default", "/v1/findings?limit=1000", "/v1/sources", "/metrics"]
    paths += [f"/v1/xds/{harness.ROLE}/{t}?limit=1000" for t in ("sds", "rds", "lds", "cds")]
    texts = {p: w.site.get(p).text for p in paths}
    assert "***" in texts[f"/v1/xds/{harness.ROLE}/sds?limit=1000"]
    w.site.stop()
    for path in [w.site.log, *(p for p in w.site.state.rglob("*") if p.is_file())]:
        texts[path] = path.read_text(errors="replace")
    for where, text in texts.items():
        assert [v for v in ("hunter2-77", body, secret) if v in text] == [], where
