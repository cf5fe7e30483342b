"""The admin API, metrics and health."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest

import pki
from harness import (CACHE, NS, ROLE, Connection, cli, eventually, free_port, opaque_secret, request, route,
                     says, to, upstream, vs)


@pytest.fixture(scope="module")
def running(shared):
    shared.upstream()
    shared.write("vs.yaml", vs("good", "good.test", [route("/", to("echo"))]),
                 vs("warned", "warned.test", [route("/", to("nobody"))]), opaque_secret("hush", {"x": "very-hidden"}))
    shared.wait_state("VirtualService", "warned", "Warning")
    return shared


def test_index_names_every_endpoint(running):
    """/v1 lists the endpoints with their parameters; each of them answers."""
    index = running.api("/v1")
    paths = [e["path"] for e in index["endpoints"]]
    assert {"/v1/objects", "/v1/findings", "/v1/envoys", "/metrics", "/readyz", "/livez"} <= set(paths)
    for e in index["endpoints"]:
        assert e["help"] and set(e["parameters"]) <= set(index["parameters"])
        path = (e["path"].replace("<kind>", "vs").replace("<namespace>", NS).replace("<name>", "good")
                .replace("<check>", "serving").replace("<view>", ROLE).replace("<type>", "cds"))
        a = running.get(path)
        assert a.status == (404 if path.startswith("/v1/plugins/good") else 200), (path, a)  # no plugin is loaded here


def test_objects(running):
    """Lists and one resource with status; pages; filters."""
    items = running.api("/v1/objects?kind=vs")["items"]
    by_name = {i["name"]: i for i in items}
    assert by_name["good"]["state"] == "Accepted" and by_name["warned"]["state"] == "Warning"
    assert by_name["warned"]["reason"] and by_name["good"]["origin"].startswith(str(running.config))
    assert {i["name"] for i in running.api("/v1/objects?state=warning")["items"]} == {"warned"}
    page = running.api("/v1/objects?limit=1")
    seen = [page["items"][0]["name"]]
    while "continue" in page:
        page = running.api("/v1/objects?limit=1&continue=" + page["continue"].replace("/", "%2F"))
        seen += [i["name"] for i in page["items"]]
    assert len(seen) == len(running.api("/v1/objects")["items"])
    one = running.object("virtualservices", "good")
    assert one["object"]["spec"]["virtualHost"]["domains"] == ["good.test"]
    assert one["object"]["status"]["statuses"][NS]["state"] in ("Accepted", 1)


def test_watch(running):
    """Watch by ?index=&wait= (Consul's way): answers at once when something changed, else when the time
    is over."""
    first = running.get("/v1/objects?kind=vs")
    index = int(first.headers["X-Solder-Index"])
    assert index == first.json["index"]
    got = []
    waiting = threading.Thread(target=lambda: got.append(
        running.get(f"/v1/objects?kind=vs&index={index}&wait=30s", timeout=40)))
    waiting.start()
    running.write("watched.yaml", vs("watched", "watched.test", [route("/", says(200))]))
    waiting.join(20)
    assert got and int(got[0].headers["X-Solder-Index"]) > index
    eventually(lambda: "watched" in {i["name"] for i in running.api("/v1/objects?kind=vs")["items"]})
    eventually(lambda: running.get("/v1/objects").json["index"] == running.get("/v1/objects").json["index"])
    now = running.get("/v1/objects").json["index"]
    t = time.monotonic()
    same = running.get(f"/v1/objects?index={now}&wait=300ms")
    assert same.status == 200 and time.monotonic() - t >= 0.29


def test_many_watchers(running):
    """A hundred watchers wait and are woken by one change."""
    now = running.get("/v1/findings").json["index"]
    conns = [Connection(running.admin, timeout=30) for _ in range(100)]
    for c in conns:
        c.putrequest("GET", f"/v1/findings?index={now}&wait=20s")
        c.endheaders()
    running.write("watched.yaml", vs("watched", "watched.test", [route("/", to("nobody-either"))]))
    for c in conns:
        a = c.getresponse()
        assert a.status == 200 and json.loads(a.read())["index"] > now
        c.close()


@pytest.mark.parametrize("path, method, status, kind", [
    ("/v1/nothing", "GET", 404, "no-such-endpoint"), ("/v1/objects?kind=thing", "GET", 400, "bad-parameter"),
    ("/v1/objects?limt=3", "GET", 400, "unknown-parameter"), ("/v1/objects?limit=0", "GET", 400, "bad-parameter"),
    (f"/v1/objects/vs/{NS}/nobody", "GET", 404, "no-such-object"), ("/v1/objects", "POST", 405, "method-not-allowed"),
    ("/v1/xds/nobody/cds", "GET", 404, "no-such-resource"), (f"/v1/xds/{ROLE}/xyz", "GET", 400, "bad-parameter"),
    ("/v1/objects?wait=long", "GET", 400, "bad-parameter"), ("/readyz/nothing", "GET", 404, "no-such-resource"),
])
def test_problems(running, path, method, status, kind):
    """application/problem+json errors with a remedy."""
    a = running.get(path, method=method)
    assert a.status == status and a.headers["content-type"] == "application/problem+json"
    assert a.json["type"] == f"urn:solder:{kind}" and a.json["status"] == status and a.json["remedy"]


def test_findings(running):
    """/v1/findings: what is wrong, with places and remedies, by severity and kind."""
    items = running.api("/v1/findings?severity=warning")["items"]
    f = [i for i in items if i.get("name") == "warned"][0]
    assert f["code"] == "SLD0201" and f["origin"].endswith("vs.yaml") and f["line"] and f["remedy"]
    assert not running.api("/v1/findings?kind=gateway&severity=error")["items"]


def test_xds_dump(running):
    """xDS dump per Envoy (secrets as ***), with what it acknowledged."""
    for t in ("cds", "eds", "lds", "rds"):
        for name, r in running.xds(t).items():
            assert r["acked"] == r["version"] and name
    assert running.xds("cds")["echo_gloo-system"]["body"]["name"] == "echo_gloo-system"
    short = running.api(f"/v1/xds/{ROLE}/cds?body=false")["resources"]
    assert all("body" not in r for r in short)
    envoy = running.api("/v1/envoys")["envoys"][0]
    assert running.api(f"/v1/xds/{envoy['nodeId']}/cds")["view"] == ROLE


def test_envoys(running):
    """Connected Envoys with versions acknowledged per type, and the supervised one."""
    e = running.api("/v1/envoys")
    assert e["supervised"]["up"] and e["supervised"]["version"].startswith("1.") and e["supervised"]["restarts"] == 0
    one = e["envoys"][0]
    assert one["role"] == ROLE and one["protocol"] == "delta" and one["converged"]
    assert one["types"]["cds"]["acks"] >= 1 and one["types"]["rds"]["nacks"] == 0


def test_explain(running):
    """What an object reaches."""
    a = running.api(f"/v1/explain/gateways/{NS}/gateway-proxy")
    assert {r["type"] for r in a["resources"]} == {"lds", "rds"}
    a = running.api(f"/v1/explain/us/{NS}/echo")
    assert {r["type"]: r.get("virtualHostsOf") for r in a["resources"]} == {
        "cds": None, "eds": None, "rds": [f"virtualservices/{NS}/good"]}


def test_explain_a_virtual_service(running):
    """The route table it is in, the steps that made it, what they read, and which change made them run last."""
    running.write("told.yaml", vs("told", "told.test", [route("/", to("later"))]))
    running.wait_state("VirtualService", "told", "Warning")

    def host():
        return next(s for s in running.api(f"/v1/explain/vs/{NS}/told")["steps"] if s["table"] == "vhosts")
    a = running.api(f"/v1/explain/vs/{NS}/told")
    assert [(r["type"], r["virtualHostsOf"]) for r in a["resources"]] == [("rds", [f"virtualservices/{NS}/told"])]
    assert f"upstreams/{NS}/later" in {r.get("key") for r in host()["read"]}
    running.write("later.yaml", upstream("later", running.upstreams[0].port))
    running.wait_state("VirtualService", "told", "Accepted")
    assert host()["because"]["key"] == f"upstreams/{NS}/later"
    text = cli("describe", "--admin", f"unix:{running.admin}", "vs", "told", "--explain").stdout
    assert "For Envoys:" in text and f" of {ROLE}\n" in text and f"because of {host()['because']['table']} upstreams/{NS}/later\n" in text
    running.remove("told.yaml")
    running.remove("later.yaml")


def test_no_secret_anywhere(running):
    """Secrets are `***` in every dump."""
    for path in ("/v1/objects?spec=true", f"/v1/objects/secret/{NS}/hush",
                 f"/v1/objects/secret/{NS}/hush?format=yaml",
                 f"/v1/objects/secret/{NS}/hush?document=true", "/metrics", "/v1/findings", "/v1/graph"):
        assert "very-hidden" not in running.get(path).text, path


def test_health(running):
    """/livez, /readyz, /healthz and single checks; verbose and exclude."""
    for path in ("/livez", "/readyz", "/healthz", "/readyz/envoy", "/readyz?exclude=envoy"):
        assert (a := running.get(path)).status == 200, (path, a)
    assert "[+]envoy ok" in running.get("/readyz?verbose").text
    assert running.get("/readyz", method="HEAD").body == b""


# ---- Metrics ----

def promtool():
    tool = shutil.which("promtool") or str(CACHE / "bin/promtool")
    return tool if os.path.exists(tool) else None


@pytest.mark.skipif(not promtool(), reason="no promtool: packaging/deps --tests fetches it")
def test_metrics_are_clean(running):
    """Metrics: clean under `promtool check metrics`."""
    done = subprocess.run([promtool(), "check", "metrics"], input=running.get("/metrics").body,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert done.returncode == 0 and done.stdout == b"", done.stdout.decode()


def test_metrics(running):
    """Metrics: the minimum set; they count what happens."""
    text = running.get("/metrics").text
    assert running.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")
    for name in ("build_info", "config_generation", "config_last_success_timestamp_seconds", "resources",
                 "quarantined_resources", "xds_connected_proxies", "xds_acks_total", "xds_nacks_total",
                 "xds_push_seconds",
                 "config_convergence_seconds", "source_up", "source_last_sync_timestamp_seconds", "envoy_up",
                 "secret_expiry_timestamp_seconds", "state_directory_up", "check_ok", "admin_requests_total"):
        assert f"\n# TYPE solder_{name} " in text or text.startswith(f"# HELP solder_{name} "), name
    for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"):
        assert f"\n# TYPE {name} " in text, name
    before = running.metric("solder_config_generation"), running.metric("solder_xds_acks_total", type="rds")
    running.settled()
    eventually(lambda: running.metric("solder_xds_acks_total", type="rds") > before[1])
    assert running.metric("solder_config_generation") > before[0]


# ---- Who may ask ----

@pytest.fixture
def guarded(make_site):
    """A site whose admin API is beyond loopback, with TLS and tokens."""
    site = make_site()
    ca = pki.Authority()
    cert, key = ca.issue("solder", "127.0.0.1", "localhost")
    for name, text in (("crt", cert), ("key", key), ("ca", ca.pem),
                       ("token", "one-token-0123456789\nanother-token-0123456789\n")):
        (site.dir / name).write_text(text)
        os.chmod(site.dir / name, 0o600)
    site.ca, site.tcp = ca, free_port()
    return site


def test_token(guarded):
    """A non-loopback address needs TLS with client certificates or a token file: only who shows the
    token is answered."""
    site = guarded
    site.start("--xds", f"127.0.0.1:{free_port()}", "--admin", f"0.0.0.0:{site.tcp}", "--admin-token-file",
               site.dir / "token",
               "--admin-cert", site.dir / "crt", "--admin-key", site.dir / "key", envoy=False)
    trust = pki.client(site.dir, site.ca.pem)

    def ask(headers=(), path="/v1/objects"):
        return request(site.tcp, path, tls=trust, sni="localhost", host=f"localhost:{site.tcp}", headers=headers)
    assert ask().status == 401 and ask().headers["www-authenticate"].startswith("Bearer")
    assert ask([("Authorization", "Bearer wrong")]).status == 401
    assert ask([("Authorization", "Bearer one-token-0123456789")]).status == 200
    assert ask([("Authorization", "Bearer another-token-0123456789")]).status == 200
    assert ask(path="/readyz").status == 200, "probes need no token"
    assert ask(path="/metrics").status == 401
    done = cli("get", "gw", "--admin", f"https://localhost:{site.tcp}", "--admin-ca", site.dir / "ca",
               env={"SOLDER_TOKEN_FILE": str(site.dir / "token")})
    assert done.returncode == 0 and "gateway-proxy" in done.stdout, done.stderr
    (site.dir / "token").write_text("new-token-0123456789\n")
    site.proc.send_signal(1)
    eventually(lambda: ask([("Authorization", "Bearer new-token-0123456789")]).status == 200)
    assert ask([("Authorization", "Bearer one-token-0123456789")]).status == 401


def test_client_certificates(guarded):
    """TLS with client certificates: who has none is not answered."""
    site = guarded
    site.start("--xds", f"127.0.0.1:{free_port()}", "--admin", f"0.0.0.0:{site.tcp}", "--admin-client-ca",
               site.dir / "ca",
               "--admin-cert", site.dir / "crt", "--admin-key", site.dir / "key", envoy=False)
    cert, key = site.ca.issue("operator")
    good = pki.client(site.dir, site.ca.pem, cert, key)
    assert request(site.tcp, "/v1/objects", tls=good, sni="localhost", host="localhost").status == 200
    with pytest.raises(OSError):
        request(site.tcp, "/v1/objects", tls=pki.client(site.dir, site.ca.pem), sni="localhost", host="localhost")
    (site.dir / "mine.crt").write_text(cert)
    (site.dir / "mine.key").write_text(key)
    done = cli("get", "gw", "--admin", f"https://localhost:{site.tcp}", "--admin-ca", site.dir / "ca", "--admin-cert",
               site.dir / "mine.crt", "--admin-key", site.dir / "mine.key")
    assert done.returncode == 0 and "gateway-proxy" in done.stdout, done.stderr


def test_hosts_of_other_machines_are_refused(guarded):
    """A page that resolves its own name to loopback gets nothing (DNS rebinding)."""
    site = guarded
    site.start("--xds", f"127.0.0.1:{free_port()}", "--admin", f"127.0.0.1:{site.tcp}", envoy=False)
    assert request(site.tcp, "/v1/objects", host=f"127.0.0.1:{site.tcp}").status == 200
    assert request(site.tcp, "/v1/objects", host="evil.example").status == 403


def test_the_socket_is_private(running):
    """A unix socket is guarded by its mode."""
    assert running.admin.stat().st_mode & 0o077 == 0


def test_hostile_requests(running):
    """Garbage, endless headers, slow clients: an error or silence for that client, others unaffected."""
    conns = []
    for data in (b"\x00\xff" * 100, b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
                 b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10000,
                 b"POST /v1 HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"GET /v1 HTTP/1.1\r\n"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(5)
        s.connect(str(running.admin))
        try:
            s.sendall(data)
        except OSError:
            pass
        conns.append(s)
    assert running.get("/v1/objects").status == 200
    for s in conns:
        s.close()
    assert running.get("/livez").status == 200
