"""The real servers and the proxy of faults do what the other tests rely on."""

import concurrent.futures
import contextlib
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


def kind(value):
    return value.__qualname__.split(".")[0] if callable(value) else str(value)


@pytest.mark.parametrize("fault, seen", (
    (faults.status(429, "slow down"), 429), (faults.reset, ConnectionResetError),
    (faults.cut_head, Exception), (faults.cut_body, harness.http.client.IncompleteRead), (faults.garbage, 200),
    (faults.not_http, harness.http.client.BadStatusLine), (faults.empty(b"", 404), 404), (faults.no_leader, 500),
    (faults.half_open, TimeoutError), (faults.cut_body_unnoticed, 200)), ids=kind)
def test_fault(spoiled, fault, seen):
    whole = request(spoiled.port, "/x")
    spoiled.set(fault, match="/x")
    if isinstance(seen, int):
        a = request(spoiled.port, "/x")
        assert a.status == seen and a.body != whole.body
    else:
        with pytest.raises(seen):
            answer = request(spoiled.port, "/x", timeout=0.3)
            assert answer.headers.get("X-Upstream"), "its headers are cut"
    assert request(spoiled.port, "/y").status == 200
    spoiled.heal()
    assert request(spoiled.port, "/x").body == whole.body


def test_late_answers(spoiled):
    """An answer that comes later than somebody waits, and is whole for those who wait."""
    whole = request(spoiled.port, "/late")
    spoiled.set(faults.latency(1))
    with pytest.raises(TimeoutError):
        request(spoiled.port, "/late", timeout=0.2)
    assert request(spoiled.port, "/late").body == whole.body


def test_answers_in_drops(spoiled):
    """An answer that comes in pieces, and is whole in the end."""
    whole = request(spoiled.port, "/drop")
    spoiled.set(faults.drip(0.2, 16))
    with harness.Raw(spoiled.port) as r:
        r.send(b"GET /drop HTTP/1.1\r\nHost: x\r\n\r\n")
        first = r.sock.recv(65536)
        assert len(first) % 16 == 0 and b"\r\n\r\n" not in first, first
    spoiled.set(faults.drip(0.0001, 16))
    assert request(spoiled.port, "/drop").body == whole.body


def test_what_consul_would_not_say(make_consul):
    """Indexes that go back, leaders that are lost: also for a query that was under way."""
    c = make_consul()
    c.put_many({f"k/{i}": str(i) for i in range(9)})
    with faults.Proxy(c.port) as p, contextlib.closing(harness.Connection(p.port)) as direct:
        whole = direct.ask("/v1/kv/k/?recurse")
        index = int(whole.headers["X-Consul-Index"])
        assert index > 1 and len(whole.json) == 9
        p.set(faults.index_back)
        back = direct.ask("/v1/kv/k/?recurse")
        assert back.headers.get_all("X-Consul-Index") == ["1"] and back.json == whole.json
        p.set(faults.empty(b"", 404, index=index + 1))
        gone = direct.ask("/v1/kv/k/?recurse")
        assert (gone.status, gone.body, gone.headers["X-Consul-Index"]) == (404, b"", str(index + 1))
        assert gone.headers["X-Consul-KnownLeader"] == "true"
        p.heal()
        for fault, status, leader in ((faults.no_leader, 500, "false"), (faults.index_back, 200, "true")):
            index = int(direct.ask("/v1/kv/k/?recurse").headers["X-Consul-Index"])
            asked = len(p.seen)
            with concurrent.futures.ThreadPoolExecutor(1) as thread:
                waiting = thread.submit(request, p.port, f"/v1/kv/k/?recurse&index={index}&wait=60s", timeout=30)
                eventually(lambda: p.waiting == 1)
                p.set(fault)
                c.put("k/0", f"for {status}")
                answer = waiting.result()
            assert len(p.seen) == asked + 1 and answer.status == status, answer
            assert answer.headers["X-Consul-KnownLeader"] == leader
            p.heal()


def test_fault_under_way_and_refusal(spoiled):
    """A fault holds for what is under way, a number of times; connections can be refused."""
    c = harness.Connection(spoiled.port)
    spoiled.heal()
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


def test_network_that_swallows_everything(spoiled):
    """No answer on connections that there are, none to attempts to make one; afterwards all is as before."""
    with contextlib.closing(harness.Connection(spoiled.port, timeout=0.3)) as c:
        assert c.ask("/x").status == 200
        spoiled.swallow()
        with pytest.raises(TimeoutError):
            c.ask("/x")
        with pytest.raises(TimeoutError):
            socket.create_connection(("127.0.0.1", spoiled.port), 0.3)
        spoiled.accept()
    assert request(spoiled.port, "/x").status == 200
