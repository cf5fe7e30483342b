"""The plugins that come with Solder: their specs, and their examples on a real Envoy."""

import base64
import json
import re
import time
import urllib.parse

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from harness import ROOT, Upstream, cli, eventually

PLUGINS = ROOT / "plugins"
NAMES = sorted(p.name for p in PLUGINS.iterdir() if (p / "plugin.lua").exists())
SHOP = "shop.example"


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_model(name, tmp_path):
    """No mistakes, specs that run every line, a README with every field, an example without findings."""
    folder = PLUGINS / name
    done = cli("plugin", "check", folder)
    assert done.returncode == 0 and "0 errors, 0 warnings" in done.stdout + done.stderr, done.stdout + done.stderr
    done = cli("plugin", "test", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    readme = (folder / "README.md").read_text()
    assert readme.startswith(f"# {name}\n")
    fields = json.loads(cli("plugin", "doc", "--schema", folder).stdout)["properties"]
    for field, schema in fields.items():
        assert f"`{field}`" in readme, f"{name}/README.md does not tell of {field}"
        assert schema["description"], field
    done = cli("check", "--plugins", PLUGINS, folder / "example.yaml")
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr


def example(site, name, *upstreams, edit=lambda text: text):
    """Serves the example of a plugin; UPSTREAMS stand where it says 9000, 9001, ..., and EDIT changes its text."""
    text = (PLUGINS / name / "example.yaml").read_text().replace("bindPort: 8080", f"bindPort: {site.port}")
    for i, up in enumerate(upstreams):
        text = text.replace(f"port: {9000 + i}", f"port: {up.port}").replace(f"127.0.0.1:{9000 + i}", f"127.0.0.1:{up.port}")
        site.upstreams.append(up)
    if "kind: Gateway\n" in text:
        site.remove("gateway.yaml")
    site.write("example.yaml", edit(text))
    site.start("--plugins", PLUGINS, "--worker-threads", "1")  # what one request taught the plugin the next one knows


def ask(site, path="/", **more):
    return site.ask(path, host=SHOP, **more)


def seen(answer, header):
    return answer.json["headers"].get(header)


# ---- Those that shape ----

def test_maintenance_mode(site):
    shop = Upstream("shop")
    example(site, "maintenance-mode", shop)
    a = ask(site, "/cart")
    assert (a.status, a.text) == (503, "Back at noon.\n")
    assert a.headers["retry-after"] == "5400" and a.headers["cache-control"] == "no-store"
    assert a.headers.get_all("content-type") == ["text/plain; charset=utf-8"]
    assert ask(site, "/healthz").status == 200
    assert shop.paths() == ["/healthz"]


def test_request_id(site):
    example(site, "request-id", Upstream("shop"))
    uuid = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    ids = set()
    for headers in ({}, {"x-request-id": "mine"}, {"x-request-id": "mine", "x-forwarded-for": "8.8.8.8"}):
        a = ask(site, headers=headers)
        assert uuid.match(a.headers["x-request-id"]), headers
        assert seen(a, "x-request-id") == [a.headers["x-request-id"]]
        ids.add(a.headers["x-request-id"])
    assert len(ids) == 3
    text = (site.config / "example.yaml").read_text()
    site.write("example.yaml", text.replace("request-id: {}", "request-id: {trust: true, respond: false}"))
    site.wait_answer(lambda a: seen(a, "x-request-id") == ["mine"], host=SHOP, headers={"x-request-id": "mine"})
    assert "x-request-id" not in ask(site).headers


def test_canary_by_header(site):
    example(site, "canary-by-header", Upstream("shop"), Upstream("canary"))
    for headers, name in (({}, "shop"), ({"x-tester": "yes"}, "canary"), ({"x-tester": "no"}, "shop"), ({"x-canary": "yes"}, "shop")):
        assert ask(site, headers=headers).json["name"] == name, headers


# ---- In Envoy ----

class Serves(Upstream):
    """Serves TEXT, or what a function of the request gives."""

    def __init__(self, text, kind="application/json"):
        super().__init__()
        self.text, self.kind = text, kind

    def answer(self, n, query, seen):
        text = self.text(seen) if callable(self.text) else self.text
        status = 200
        if isinstance(text, int):
            status, text = text, ""
        return status, text.encode(), [("Content-Type", self.kind)]


def test_body_redact(site):
    shop = Serves('{"name": "ann", "ssn": "078-05-1120", "keys": [{"Password": {"old": 1}}]}')
    example(site, "body-redact", shop)
    a = ask(site, headers={"accept-encoding": "gzip", "range": "bytes=0-9"})
    assert a.text == '{"name": "ann", "ssn": "***", "keys": [{"Password": "***"}]}'
    assert a.headers["content-length"] == str(len(a.text))
    assert not {"accept-encoding", "range"} & set(shop.seen[-1]["headers"])
    shop.text = '{"ssn": "078'
    a = ask(site)
    assert a.status == 502 and "078" not in a.text
    shop.text = '{"ssn": "' + "x" * 1200000 + '"}'
    a = ask(site)
    assert a.status >= 500 and "xxx" not in a.text
    shop.text, shop.kind = "ssn: 078", "text/plain"
    assert ask(site).text == "ssn: 078"


# ---- In the worker ----

def test_api_key(site):
    example(site, "api-key", Upstream("shop"))
    a = ask(site, headers={"x-api-key": "test", "x-api-user": "root"})
    assert a.status == 200 and seen(a, "x-api-user") == ["ann"] and seen(a, "x-api-key") is None
    for headers in ({}, {"x-api-key": "Test"}, {"x-api-user": "ann"}):
        assert ask(site, headers=headers).status == 401
    assert "test" not in json.dumps(site.xds("rds")) and "9f86d081" not in json.dumps(site.xds("rds"))
    # A new key, and an old one that is no more.
    text = (site.config / "example.yaml").read_text()
    site.write("example.yaml", re.sub("sha256: [0-9a-f]+", "sha256: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752", text))
    site.wait_answer(200, host=SHOP, headers={"x-api-key": "test2"})
    eventually(lambda: all(ask(site, headers={"x-api-key": "test"}).status == 401 for _ in range(8)))


def basic(text):
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_basic_auth(site):
    example(site, "basic-auth", Upstream("shop"))
    a = ask(site, headers=basic("ann:open sesame"))
    assert a.status == 200 and seen(a, "x-user") == ["ann"] and seen(a, "authorization") is None
    for headers in ({}, basic("ann:open"), basic("bob:open sesame"), {"x-user": "ann"}):
        a = ask(site, headers=headers)
        assert a.status == 401 and a.headers["www-authenticate"] == 'Basic realm="shop", charset="UTF-8"'
    everything = json.dumps([site.xds(kind) for kind in ("lds", "rds", "cds", "sds")])
    assert "sesame" not in everything
    # A new password.
    text = (site.config / "example.yaml").read_text()
    site.write("example.yaml", text.replace("stringData: {password: open sesame}", "stringData: {password: hey presto}"))
    site.wait_answer(200, host=SHOP, headers=basic("ann:hey presto"))
    eventually(lambda: all(ask(site, headers=basic("ann:open sesame")).status == 401 for _ in range(8)))


def test_graphql_depth_limit(site):
    shop = Upstream("shop")
    example(site, "graphql-depth-limit", shop)

    def query(text):
        return ask(site, "/graphql", method="POST", body=json.dumps({"query": text}), headers={"content-type": "application/json"})
    assert json.loads(query("{a {b {c}}}").json["body"]) == {"query": "{a {b {c}}}"}
    a = query("{a {...F}} fragment F on T {b {c {d}}}")
    assert a.status == 400 and a.json["errors"][0]["message"] == "the query is 4 deep; at most 3 is taken"
    assert ask(site, "/graphql?query=%7Ba%7D").status == 200
    assert ask(site, "/graphql", method="POST", body="x").status == 400
    assert query("{" + "a " * 40000 + "}").status == 413
    assert ask(site, "/other", method="POST", body="x").status == 200
    assert shop.paths() == ["/graphql", "/graphql?query=%7Ba%7D", "/other"]


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    """A key of an issuer (ES256)."""

    def __init__(self, kid):
        self.kid, self.key = kid, ec.generate_private_key(ec.SECP256R1())

    def public(self):
        n = self.key.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "kid": self.kid, "use": "sig", "x": b64(n.x.to_bytes(32, "big")), "y": b64(n.y.to_bytes(32, "big"))}

    def token(self, **claims):
        claims = {"iss": "https://id.example", "aud": "shop", "sub": "ann", "exp": int(time.time()) + 600, **claims}
        text = b64(json.dumps({"alg": "ES256", "kid": self.kid}).encode()) + "." + b64(json.dumps(claims).encode())
        r, s = utils.decode_dss_signature(self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return {"authorization": "Bearer " + text + "." + b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))}


def jwks(*keys):
    return json.dumps({"keys": [k.public() for k in keys]})


def test_jwt(site):
    one, two = Key("one"), Key("two")
    issuer = Serves(jwks(one))
    example(site, "jwt", Upstream("shop"), issuer)
    a = ask(site, headers={**one.token(role="admin"), "x-user": "root"})
    assert a.status == 200 and seen(a, "x-user") == ["ann"] and seen(a, "x-role") == ["admin"] and seen(a, "authorization") is None
    for headers in ({}, two.token(), one.token(aud="x"), one.token(iss="x"), one.token(exp=1), {"authorization": "Bearer x"}):
        assert ask(site, headers=headers).status == 401, headers
    # The issuer changes its keys: the new one is fetched when a token names it, at most once in ten seconds.
    issuer.text = jwks(two)
    site.wait_answer(200, host=SHOP, headers=two.token(), timeout=30)
    # It goes away, and what is known goes on.
    issuer.text = 500
    assert ask(site, headers=two.token()).status == 200


def test_jwt_without_keys(site):
    issuer = Serves(500)
    example(site, "jwt", Upstream("shop"), issuer)
    assert ask(site, headers=Key("one").token()).status == 503


def opa(seen):
    """An agent whose policy goes by the tenant."""
    body = json.loads(seen["body"])["input"]
    tenant = body["headers"].get("x-tenant")
    if tenant == "broken":
        return 500
    result = {"acme": {"allow": True, "headers": {"x-user": body["method"] + " " + "/".join(body["segments"])}},
              "plain": True, "no": {"allow": False, "status": 402, "headers": {"x-why": "unpaid"}, "body": "pay first\n"}}
    return json.dumps({"result": result[tenant]} if tenant in result else {})


def test_opa_bridge(site):
    agent = Serves(opa)
    example(site, "opa-bridge", Upstream("shop"), agent)
    a = ask(site, "/a/b?c=d", headers={"x-tenant": "acme", "x-user": "root", "cookie": "private"})
    assert a.status == 200 and seen(a, "x-user") == ["GET a/b"]
    assert agent.paths() == ["/v1/data/gateway/allow"] and "private" not in agent.seen[0]["body"]
    assert ask(site, headers={"x-tenant": "plain"}).status == 200
    a = ask(site, headers={"x-tenant": "no"})
    assert (a.status, a.text, a.headers["x-why"]) == (402, "pay first\n", "unpaid")
    assert ask(site).status == 403
    assert ask(site, headers={"x-tenant": "broken"}).status == 503
    agent.close()
    assert ask(site, headers={"x-tenant": "plain"}).status == 503


# ---- A real provider ----

CALLBACK = "http://shop.example/oidc/callback"


class Provider:
    """OpenBao as an OpenID Connect provider, with a client and a user."""

    def __init__(self, vault):
        self.vault = vault
        vault.do("POST", "identity/oidc/client/shop", {"redirect_uris": [CALLBACK], "assignments": ["allow_all"]})
        client = vault.do("GET", "identity/oidc/client/shop")["data"]
        self.id, self.secret = client["client_id"], client["client_secret"]
        vault.do("POST", "identity/oidc/provider/default", {"issuer": f"http://{vault.address}", "allowed_client_ids": ["*"]})
        self.issuer = f"http://{vault.address}/v1/identity/oidc/provider/default"
        vault.do("POST", "sys/auth/userpass", {"type": "userpass"})
        vault.policy("login", 'path "identity/oidc/provider/default/authorize" { capabilities = ["read", "update"] }')
        vault.do("POST", "auth/userpass/users/ann", {"password": "pw", "token_policies": ["login"]})
        self.login = vault.do("POST", "auth/userpass/login/ann", {"password": "pw"}, token="")["auth"]

    def edit(self, text):
        return (text.replace("http://127.0.0.1:9001", self.issuer).replace("client_id: shop", f"client_id: {self.id}")
                .replace("not-a-secret", self.secret))

    def authorize(self, location):
        """What the provider's page does when ann, who is logged in there, is sent to LOCATION: where it sends her."""
        query = urllib.parse.urlsplit(location).query
        said = self.vault.do("GET", "identity/oidc/provider/default/authorize?" + query, token=self.login["client_token"])
        return "/oidc/callback?" + urllib.parse.urlencode({"code": said["code"], "state": said["state"]})


def cookies(answer):
    """What a browser sends back of it."""
    return {"cookie": "; ".join(c.split(";")[0] for c in answer.headers.get_all("set-cookie"))}


def test_oidc_login(site, make_vault):
    provider = Provider(make_vault())
    example(site, "oidc-login", Upstream("shop"), edit=provider.edit)
    a = ask(site, "/cart", headers={"x-user": "root"})
    assert a.status == 302 and a.headers["location"].startswith(f"http://{provider.vault.address}/")
    login, back = cookies(a), provider.authorize(a.headers["location"])
    # Somebody else's browser cannot use it, a code that is made up is none.
    assert ask(site, back).status == 400
    assert ask(site, re.sub("code=[^&]*", "code=made-up", back), headers=login).status == 503
    # Behind that code there is no other login: begin anew.
    a = ask(site, "/cart")
    a = ask(site, provider.authorize(a.headers["location"]), headers=cookies(a))
    assert (a.status, a.headers["location"]) == (302, "/cart")
    session = {"cookie": cookies(a)["cookie"] + "; theirs=1"}
    a = ask(site, "/cart", headers={**session, "x-user": "root"})
    assert a.status == 200 and seen(a, "x-user") == [provider.login["entity_id"]] and seen(a, "cookie") == ["theirs=1"]
    # The provider is not needed any more; a cookie that was changed is none.
    provider.vault.close()
    assert ask(site, "/cart", headers=session).status == 200
    assert ask(site, "/cart", headers={"cookie": session["cookie"].replace("session=", "session=A")}).status in (302, 503)
    assert provider.secret not in json.dumps([site.xds(kind) for kind in ("lds", "rds", "cds", "sds")])
