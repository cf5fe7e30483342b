"""The real servers and the proxy of faults do what the other tests rely on."""

import json
import socket

import pytest

import aws
import consul as consul_module
import faults
import harness
import pki
from harness import eventually, request


def test_consul_keys_and_services(make_consul):
    c = make_consul()
    assert c.put("gloo/a", "1", cas=0) is True and c.put("gloo/a", "2", cas=0) is False
    assert c.get("gloo/a").text == "1" and c.get("gloo/none") is None
    c.put_many({f"many/{i}": f"v{i}" for i in range(150)})
    assert {k: e.text for k, e in c.entries("many/").items()} == {f"many/{i}": f"v{i}" for i in range(150)}
    c.write(harness.vs("default", "*", [harness.route("/", harness.says(200))]))
    doc = c.get("gloo/gateway.solo.io/v1/VirtualService/gloo-system/default").doc
    assert doc["metadata"]["name"] == "default" and doc["virtualHost"]["domains"] == ["*"]
    with consul_module.Watcher(c, "/v1/health/service/web", passing="") as w:
        id = c.register("web", 8001, tags=["v1"], weights=(3, 1))
        c.check(id, "critical")
        eventually(lambda: json.loads(w.seen[-1][2]) == [])
        c.check(id, "passing")
        eventually(lambda: [i["Service"]["ID"] for i in json.loads(w.seen[-1][2])] == [id])
        c.maintain(id)
        eventually(lambda: json.loads(w.seen[-1][2]) == [])
    c.catalog("far", "10.0.0.1", [{"ID": f"s{i}", "Service": "far", "Port": i + 1, "Address": f"10.0.1.{i}"}
                                  for i in range(100)])
    assert len(c.do("GET", "/v1/catalog/service/far")) == 100


def test_consul_keeps_its_data(make_consul):
    c = make_consul(persistent=True)
    c.put("x", "kept")
    c.kill()
    c.start()
    assert c.get("x").text == "kept"


def test_consul_with_rights(make_consul):
    c = make_consul(acl=True, unix=True)
    c.put("gloo/x", "1")
    assert c.ask("GET", "/v1/kv/gloo/x", token="").status == 403
    c.policy("reader", 'key_prefix "gloo/" { policy = "read" }')
    accessor, secret = c.make_token("reader")
    assert c.ask("GET", "/v1/kv/gloo/x", token=secret).status == 200
    c.policy("reader", "")
    eventually(lambda: c.ask("GET", "/v1/kv/gloo/", token=secret, recurse="").status == 404)
    c.delete_token(accessor)
    assert request(c.socket, "/v1/kv/gloo/x", headers={"X-Consul-Token": c.token}).status == 200


@pytest.mark.parametrize("tls", ("server", "mutual"))
def test_consul_over_tls(make_consul, tls):
    c = make_consul(tls=tls)
    assert c.put("x", "1")
    if tls == "mutual":
        c.context = pki.client(c.dir, c.authority.pem)
        with pytest.raises(OSError):
            c.get("x")


def test_vault_secrets_and_rights(make_vault):
    v = make_vault()
    assert v.write("a", {"header": {"headers": {"X": "1"}}}) == 1
    assert v.write("a", {"header": {"headers": {"X": "2"}}}) == 2
    read = v.do("GET", "secret/data/gloo/gloo.solo.io/v1/Secret/gloo-system/a")["data"]
    assert read["data"] == {"metadata": {"name": "a", "namespace": "gloo-system"}, "header": {"headers": {"X": "2"}}}
    v.policy("reader", 'path "secret/data/gloo/*" { capabilities = ["read"] }')
    token = v.make_token("reader", ttl="30s")["client_token"]
    assert v.ask("GET", "secret/data/gloo/x", token=token).status == 404
    assert v.ask("GET", "secret/data/other", token=token).status == 403
    role, secret = v.approle("solder", "reader")
    assert v.do("POST", "auth/approle/login", {"role_id": role, "secret_id": secret}, token="")["auth"]["client_token"]
    v.pki("web", "example.com")
    assert v.do("POST", "pki/issue/web", {"common_name": "a.example.com", "ttl": "60s"})["data"]["private_key"]
    v.delete("a")
    assert v.ask("GET", "secret/data/gloo/gloo.solo.io/v1/Secret/gloo-system/a").status == 404


def test_vault_keeps_its_data_and_is_sealed(make_vault):
    v = make_vault(persistent=True)
    v.kv("x", {"a": "kept"})
    v.seal()
    assert v.ask("GET", "secret/data/x").status == 503
    v.unseal()
    v.kill()
    v.start(unseal=False)
    assert v.ask("GET", "secret/data/x").status == 503
    v.unseal()
    assert v.do("GET", "secret/data/x")["data"]["data"] == {"a": "kept"}


def test_vault_over_tls(make_vault):
    v = make_vault(tls="mutual")
    assert v.kv("x", {"a": "1"}) == 1


def test_aws_checks_signatures():
    with aws.Aws() as a:
        key, secret = a.user()
        assert key.startswith("AKIA") and secret
        body = "Action=GetCallerIdentity&Version=2011-06-15"
        forged = (f"AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/sts/aws4_request, "
                  "SignedHeaders=host;x-amz-date, Signature=0")
        answer = a.http("POST", "/", body, {"Authorization": forged, "X-Amz-Date": "20260101T000000Z",
                                            "Content-Type": "application/x-www-form-urlencoded"})
        assert answer.status == 403 and "SignatureDoesNotMatch" in answer.text


@pytest.fixture(scope="module")
def spoiled():
    up = harness.Upstream("up")
    with faults.Proxy(up.port) as p:
        yield p
    up.close()


@pytest.mark.parametrize("fault, seen", (
    (faults.latency(0.01), 200), (faults.status(429, "slow down"), 429), (faults.reset, ConnectionResetError),
    (faults.cut_head, Exception), (faults.cut_body, harness.http.client.IncompleteRead), (faults.garbage, 200),
    (faults.not_http, harness.http.client.BadStatusLine), (faults.drip(0.0001, 16), 200), (faults.index_back, 200),
    (faults.empty(b"", 404), 404), (faults.no_leader, 500), (faults.half_open, TimeoutError),
    (faults.cut_body_unnoticed, 200)), ids=lambda v: getattr(v, "__qualname__", v).split(".")[0] if callable(v) else str(v))
def test_fault(spoiled, fault, seen):
    whole = request(spoiled.port, "/x")
    spoiled.set(fault, match="/x")
    if isinstance(seen, int):
        a = request(spoiled.port, "/x")
        assert a.status == seen and (a.body == whole.body) == (fault.__qualname__.split(".")[0] in (
            "latency", "drip", "index_back"))
    else:
        with pytest.raises(seen):
            answer = request(spoiled.port, "/x", timeout=0.3)
            assert answer.headers.get("X-Upstream"), "its headers are cut"
    assert request(spoiled.port, "/y").status == 200
    spoiled.heal()
    assert request(spoiled.port, "/x").body == whole.body


def test_fault_under_way_and_refusal(spoiled):
    """A fault holds for what is under way, a number of times; connections can be refused."""
    c = harness.Connection(spoiled.port)
    assert c.ask("/x").status == 200
    spoiled.set(faults.status(503), times=1)
    assert c.ask("/x").status == 503 and c.ask("/x").status == 200
    spoiled.refuse()
    with pytest.raises(OSError):
        c.ask("/x")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", spoiled.port)).close()
    spoiled.accept()
    assert request(spoiled.port, "/x").status == 200
