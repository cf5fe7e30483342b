"""Deaths, restarts and losses: what goes on, what comes back, what is refused."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

import pki
from harness import (ENVOY, SOLDER, Poller, Raw, alive, cli, doc, dump, eventually, free_port, gateway,
                     opaque_secret, processes_of, ref, request, route, says, tls_secret, to, vs)


@pytest.fixture
def started(site):
    site.upstream()
    site.write("vs.yaml", vs("first", "*", [route("/one", says(200, "one")), route("/", to("echo"))]))
    site.start()
    return site


def one(site, text):
    site.write("vs.yaml", vs("first", "*", [route("/one", says(200, text)), route("/", to("echo"))]))


# ---- Deaths ----

def test_solder_is_killed_under_load(started):
    """kill -9 of Solder under load: traffic survives; a restarted Solder adopts the Envoy, and edits
    made meanwhile are in force."""
    pid = started.envoy_pid()
    with Poller(started.port, threads=2) as p:
        for n in range(3):
            started.kill()
            p.more(30)
            one(started, f"changed {n}")
            assert alive(pid) and started.ask("/one").text != f"changed {n}"
            started.start()
            started.wait_answer(lambda a: a.text == f"changed {n}", "/one")
            assert started.envoy_pid() == pid
            p.more(30)
    p.assert_clean()
    assert len(envoys_of(started)) == 1


def envoys_of(site):
    return [p for p in processes_of(str(site.dir)) if b"envoy" in pathlib.Path(f"/proc/{p}/exe").resolve().name.encode()]


def test_envoy_is_killed(started):
    """kill -9 of Envoy: it is restarted, and gets everything again; the restart is counted."""
    pid = started.envoy_pid()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: started.envoy_pid() != pid)
    started.wait_answer(200)
    assert started.api("/v1/envoys")["supervised"]["restarts"] == 1
    assert started.metric("solder_envoy_restarts_total") == 1
    one(started, "after")
    started.wait_answer(lambda a: a.text == "after", "/one")


def test_both_are_killed(started):
    """kill -9 of Solder, then of Envoy: the next Solder starts a new Envoy."""
    pid = started.envoy_pid()
    started.kill()
    os.kill(pid, signal.SIGKILL)
    started.start()
    started.wait_answer(200)
    assert started.envoy_pid() != pid


def test_the_keeper_is_killed(started):
    """Whatever dies, traffic is back soon."""
    pid = started.envoy_pid()
    keeper = [p for p in processes_of(str(started.dir)) if b"keeper" in pathlib.Path(f"/proc/{p}/cmdline").read_bytes()]
    os.kill(keeper[0], signal.SIGKILL)
    eventually(lambda: started.envoy_pid() != pid)
    started.wait_answer(200)
    eventually(lambda: len(envoys_of(started)) == 1)


# ---- Stopping ----

def test_sigterm(started):
    """SIGTERM drains: /readyz is 503 first thing, requests under way end, exit code 0, nothing is left
    running."""
    up = started.upstreams[0]
    up.gate = threading.Event()
    got = []
    slow = threading.Thread(target=lambda: got.append(started.ask("/slow")))
    slow.start()
    eventually(lambda: "/slow" in up.paths())
    started.proc.send_signal(signal.SIGTERM)
    first = eventually(lambda: (r := started.get("/readyz")).status == 503 and r)
    assert "[-]shutdown failed: Solder is stopping" in first.text
    assert started.get("/livez").status == 200
    assert started.proc.poll() is None and not got
    up.gate.set()
    slow.join()
    assert got[0].status == 200
    assert started.proc.wait(20) == 0
    eventually(lambda: not processes_of(str(started.dir)))


def test_a_second_signal_stops_at_once(started):
    """A second SIGTERM does not wait for requests."""
    up = started.upstreams[0]
    up.gate = threading.Event()
    slow = threading.Thread(target=lambda: expect_broken(started))
    slow.start()
    eventually(lambda: "/slow" in up.paths())
    started.proc.send_signal(signal.SIGTERM)
    eventually(lambda: started.get("/readyz").status == 503)
    started.proc.send_signal(signal.SIGINT)
    started.proc.wait(9)
    up.gate.set()
    slow.join()


def expect_broken(site):
    try:
        site.ask("/slow")
    except OSError:
        pass


def test_stop_without_envoy(site):
    """Without an Envoy it just ends."""
    site.start("--xds", f"127.0.0.1:{free_port()}", envoy=False)
    assert site.stop() == 0


def test_sighup_reads_everything_again(started):
    """SIGHUP re-reads."""
    started.proc.send_signal(signal.SIGHUP)
    eventually(lambda: started.events("reread"))
    one(started, "after")
    started.wait_answer(lambda a: a.text == "after", "/one")


def test_systemd(site):
    """systemd notify: READY once it serves, STOPPING when it ends."""
    path = site.dir / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(path))
        s.settimeout(20)
        site.start("--xds", f"127.0.0.1:{free_port()}", envoy=False, env={"NOTIFY_SOCKET": str(path)})
        assert "READY=1" in s.recv(4096).decode()
        site.proc.send_signal(signal.SIGTERM)
        said = s.recv(4096).decode()
        while "STOPPING=1" not in said:
            said = s.recv(4096).decode()
    assert site.proc.wait(20) == 0


def test_as_pid_1(site):
    """PID 1 safe: signals are obeyed, Envoys that died leave no zombies."""
    wrap = ["unshare", "-U", "-r", "-p", "-f", "--kill-child"]
    if subprocess.run([*wrap, "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this machine does not allow such namespaces")
    site.write("vs.yaml", vs("v", "*", [route("/", says(200))]))
    site.start(wrap=[*wrap, SOLDER])
    solder = [p for p in processes_of(str(site.state)) if os.readlink(f"/proc/{p}/exe") == str(SOLDER)
              and b"keeper" not in pathlib.Path(f"/proc/{p}/cmdline").read_bytes().split(b"\0")[1]]
    inner = [p for p in solder if re.search(r"^NSpid:.*\t1$", pathlib.Path(f"/proc/{p}/status").read_text(), re.M)][0]
    for n in range(2):
        before = envoys_of(site)
        os.kill(before[0], signal.SIGKILL)
        eventually(lambda: envoys_of(site) and envoys_of(site) != before)
        site.wait_answer(200)
    children = pathlib.Path(f"/proc/{inner}/task/{inner}/children").read_text().split()
    eventually(lambda: all(alive(int(c)) for c in pathlib.Path(f"/proc/{inner}/task/{inner}/children").read_text().split()))
    assert children
    os.kill(inner, signal.SIGTERM)
    site.proc.wait(30)
    eventually(lambda: not envoys_of(site))


def test_log_forms(site):
    """JSON logs on stderr, each line with time, level and component; text when asked for."""
    site.start("--xds", f"127.0.0.1:{free_port()}", envoy=False)
    site.stop()
    events = site.events()
    assert len(events) == len(site.log_text().splitlines()) > 3
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", e["ts"]) and e["component"] and e["level"]
               and e["event"] for e in events)


# ---- Restarts ----

def test_restart_with_a_broken_document(started):
    """The accepted state is served across a restart: a document that is broken meanwhile keeps its last
    accepted form, with its finding, and recovers by itself."""
    eventually(lambda: saved(started))
    started.stop()
    started.write("vs.yaml", dump(vs("first", "*", [route("/one", says(200, "new")), route("/", to("echo"))]))
                  .replace("prefix: /one", "prefx: /one"))
    started.start()
    assert started.ask("/one").text == "one"
    o = started.wait_state("VirtualService", "first", "Rejected", "SLD0101")
    assert o["lastGood"]
    one(started, "mended")
    started.wait_answer(lambda a: a.text == "mended", "/one")


def saved(site):
    """The state on disk has the virtual service in its present form."""
    files = [p for p in site.state.glob("accepted*") if p.is_file()]
    return files and any(b"first" in p.read_bytes() for p in files)


def test_restart_with_a_broken_file(started):
    """The same when the file is no YAML any more."""
    eventually(lambda: saved(started))
    started.stop()
    started.write("vs.yaml", "kind: [")
    started.start()
    assert started.ask("/one").text == "one"
    eventually(lambda: [f for f in started.api("/v1/findings")["items"] if f["code"] == "SLD0001"])
    one(started, "mended")
    started.wait_answer(lambda a: a.text == "mended", "/one")


def test_restart_with_the_source_gone(started):
    """Boot with every source down serves the accepted state, marks itself degraded and says so."""
    eventually(lambda: saved(started))
    started.stop()
    away = started.dir / "away"
    started.config.rename(away)
    started.start()
    assert started.ask("/one").text == "one" and started.ask("/").status == 200
    s = started.api("/v1/sources")["sources"][0]
    assert not s["up"] and s["problem"]
    assert started.metric("solder_source_up") == 0
    assert [e for e in started.events("serving") if e["restored"]] or \
        [e for e in started.events("source_down")]
    away.rename(started.config)
    one(started, "back")
    started.wait_answer(lambda a: a.text == "back", "/one")
    eventually(lambda: started.api("/v1/sources")["sources"][0]["up"])
    assert started.metric("solder_source_up") == 1


def test_restart_without_envoy_running(started):
    """A stopped Solder leaves no Envoy; the next start is a cold one that serves at once."""
    started.stop()
    started.start()
    started.wait_answer(200)


# An Envoy that is up, but never connects.
IDLE_ENVOY = """#!/usr/bin/python3
import json, signal, socketserver, sys
if "--version" in sys.argv:
    print(sys.argv[0], " version: 0123456789012345678901234567890123456789/1.40.0/Clean/RELEASE/BoringSSL")
    sys.exit()
with open(sys.argv[sys.argv.index("-c") + 1]) as f:
    admin = json.load(f)["admin"]["address"]["pipe"]["path"]
class Ready(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: 5\\r\\nconnection: close\\r\\n\\r\\nLIVE\\n")
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
socketserver.UnixStreamServer(admin, Ready).serve_forever()
"""


def idle_envoy(site):
    """A program that is up as Envoy is, and never connects."""
    idle = site.dir / "idle-envoy"
    idle.write_text(IDLE_ENVOY)
    idle.chmod(0o755)
    return idle


def test_readyz_waits_until_envoy_took_everything(site):
    """/readyz is 200 once the first full configuration is acknowledged, not when Envoy is up."""
    xds = f"127.0.0.1:{free_port()}"
    site.write("vs.yaml", vs("first", "*", [route("/", says(200))]))
    site.start("--xds", xds, "--envoy", idle_envoy(site), envoy=False, wait=False)
    eventually(lambda: site.events("envoy_live"))
    answer = eventually(lambda: "[+]serving ok" in (r := site.get("/readyz?verbose")).text and r)
    assert answer.status == 503 and "[-]envoy failed: Envoy is not connected yet" in answer.text
    site.envoy(xds=xds, name="taker")
    site.wait_ready()
    assert not site.events("envoy_slow")


def test_readyz_does_not_wait_for_ever(site):
    """An Envoy that takes nothing is reported when its time is over, and counts as ready."""
    site.write("vs.yaml", vs("first", "*", [route("/", says(200))]))
    site.start("--envoy", idle_envoy(site), "--envoy-timeout", 1, envoy=False)
    assert site.events("envoy_slow") and "[+]envoy ok" in site.get("/readyz?verbose").text


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "zeros"])
def test_torn_state_file(started, damage):
    """The state file is torn: Solder starts, says so, and serves what the sources say."""
    eventually(lambda: saved(started))
    started.stop()
    for f in started.state.glob("accepted*"):
        if f.is_file():
            data = f.read_bytes()
            f.write_bytes({"cut": data[:len(data) // 2], "garbage": os.urandom(len(data)), "empty": b"",
                           "zeros": bytes(len(data))}[damage])
    started.start()
    assert started.ask("/one").text == "one"
    assert started.events("state_note"), "said in the log"
    one(started, "after")
    started.wait_answer(lambda a: a.text == "after", "/one")


def test_secrets_are_not_stored(started):
    """Secret values are not stored in the state directory."""
    started.write("secret.yaml", opaque_secret("hush", {"token": "never-on-disk-4711"}))
    started.write("vs2.yaml", vs("second", "second.test", [route("/", to("echo"), {"headerManipulation": {
        "requestHeadersToAdd": [{"headerSecretRef": ref("hush")}]}})]))
    started.wait_answer(lambda a: a.json["headers"].get("token") == ["never-on-disk-4711"], host="second.test")
    eventually(lambda: any(b"second" in p.read_bytes() for p in started.state.glob("accepted*")))
    started.stop()
    for p in started.state.rglob("*"):
        assert not p.is_file() or b"never-on-disk" not in p.read_bytes(), p


def test_a_certificate_that_ends_in_service_stays_over_a_restart(started):
    """What serves goes on, also when Solder and Envoy are started anew after its end; nothing but a hash
    of the certificate, which is public, is kept for that."""
    port, ca, ends = free_port(), pki.Authority(), time.time() + 6

    def shown():
        with Raw(port, pki.client(started.dir, None), "short.test") as r:
            return pki.common_name(r.sock.getpeercert(True))

    cert, key = ca.issue("short", "short.test", days=6 / 86400)
    started.write("short-secret.yaml", tls_secret("short", cert, key))
    started.write("short.yaml", vs("short", "short.test", [route("/", says(200, "s"))],
                                   sslConfig={"secretRef": ref("short"), "sniDomains": ["short.test"]}))
    started.write("gw.yaml", gateway("short", port, ssl_=True, http_={"virtualServices": [ref("short")]}))
    eventually(lambda: shown() == "short")
    started.write("late-secret.yaml", tls_secret("late", *ca.issue("late", "late.test", days=-1, since=9)))
    eventually(lambda: time.time() > ends + 1)
    for end in started.kill, started.stop:
        end()
        started.start()
        o = started.wait_state("Secret", "short", "Rejected", "SLD0603")
        assert "stays in service" in o["findings"][0]["message"], o
        eventually(lambda: shown() == "short")
        o = started.wait_state("Secret", "late", "Rejected", "SLD0603")
        assert "not sent to Envoy" in o["findings"][0]["message"], o
    for p in started.state.glob("*"):
        assert not p.is_file() or b"PRIVATE KEY" not in p.read_bytes(), p


# ---- A second one ----

def test_a_second_solder_on_the_state_directory(started):
    """A second Solder on the same state directory: refused at start with a clear message, the first one
    untouched."""
    done = cli("run", "--config", started.config, "--state-dir", started.state, "--admin",
               f"unix:{started.dir}/other.sock", "--envoy", ENVOY)
    assert done.returncode in (1, 2) and str(started.state) in done.stderr, done.stderr
    assert "other.sock" not in os.listdir(started.dir)
    assert started.ask("/one").text == "one"
    one(started, "after")
    started.wait_answer(lambda a: a.text == "after", "/one")


def test_a_second_solder_on_ports_and_sockets(started, make_site):
    """A second Solder on the same port or socket is refused, the first one untouched."""
    port = free_port()
    xds = f"127.0.0.1:{port}"
    other = make_site()
    third = make_site()
    other.start("--xds", xds, envoy=False)
    done = cli("run", "--config", third.config, "--state-dir", third.state, "--admin", f"unix:{third.admin}",
               "--xds", xds)
    assert done.returncode in (1, 2) and str(port) in done.stderr and "in use" in done.stderr, done.stderr
    done = cli("run", "--config", third.config, "--state-dir", third.state, "--admin", f"unix:{other.admin}",
               "--xds", f"127.0.0.1:{free_port()}")
    assert done.returncode in (1, 2) and str(other.admin) in done.stderr, done.stderr
    assert other.get("/readyz").status == 200


def test_envoy_missing_or_too_old(site):
    """Version checked at start, with a clear message when it is too old or missing."""
    done = cli("run", "--config", site.config, "--state-dir", site.state, "--admin", f"unix:{site.admin}",
               "--envoy", "/nowhere/envoy")
    assert done.returncode != 0 and "/nowhere/envoy" in done.stderr, done.stderr
    old = site.dir / "envoy"
    old.write_text("#!/bin/sh\necho '%s  version: 0123456789012345678901234567890123456789/1.20.0/Clean/RELEASE/BoringSSL'\n"
                   % old)
    old.chmod(0o755)
    done = cli("run", "--config", site.config, "--state-dir", site.state, "--admin", f"unix:{site.admin}",
               "--envoy", old)
    assert done.returncode != 0 and "1.20" in done.stderr and "1.37" in done.stderr, done.stderr


@pytest.mark.parametrize("args, words", [
    (["--xds", "0.0.0.0:12345"], "xds-insecure"),
    (["--admin", "0.0.0.0:12345"], "token"),
    (["--admin", "nonsense"], "nonsense"),
    (["--settings", "/nowhere.yaml"], "/nowhere.yaml"),
    (["--log-level", "loud"], "loud"),
    (["--config", "consul:"], "consul:"),
])
def test_refused_starts(site, args, words):
    """A non-loopback address is refused unless it is guarded; every refusal names its cause."""
    base = {"--config": str(site.config), "--state-dir": str(site.state), "--admin": f"unix:{site.admin}",
            "--xds": f"127.0.0.1:{free_port()}"}
    done = cli("run", *[x for pair in {**base, args[0]: args[1]}.items() for x in pair], timeout=10)
    assert done.returncode in (1, 2) and words in done.stderr, done.stderr


def test_a_directory_that_is_not_there_yet(site):
    """A source that cannot be read is no reason to end: not ready, said why, and served once it is
    there."""
    site.start("--xds", f"127.0.0.1:{free_port()}", configs=[site.dir / "later"], envoy=False, wait=False)
    eventually(lambda: site.events("source_down"))
    assert site.get("/readyz").status == 503
    site.config.rename(site.dir / "later")
    site.wait_ready()


# ---- The disk ----

def test_disk_full(site):
    """The disk is full: last good stays, degraded is said in log and metric; edits go on."""
    small = site.dir / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small],
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this machine does not allow to mount")
    try:
        site.state = small / "state"
        site.write("vs.yaml", vs("first", "*", [route("/", says(200, "one"))]))
        site.start()
        with open(small / "filler", "wb", buffering=0) as f, pytest.raises(OSError):
            while True:
                f.write(b"x" * 4096)
        site.write("vs.yaml", vs("first", "*", [route("/", says(200, "two"))]))
        site.wait_answer(lambda a: a.text == "two")
        eventually(lambda: site.events("state_write_failed"))
        eventually(lambda: [f for f in site.api("/v1/findings")["items"] if f["code"] == "SLD0904"])
        (small / "filler").unlink()
        site.write("vs.yaml", vs("first", "*", [route("/", says(200, "three"))]))
        site.wait_answer(lambda a: a.text == "three")
        eventually(lambda: not [f for f in site.api("/v1/findings")["items"] if f["code"] == "SLD0904"])
        site.stop()
    finally:
        if site.proc and site.proc.poll() is None:
            site.kill()
        subprocess.run(["umount", "-l", small], check=True)


def test_file_size_limit(site):
    """A file size limit is an error like a full disk (RLIMIT_FSIZE), not the end."""
    import resource
    site.write("vs.yaml", vs("first", "*", [route("/", says(200, "x" * 2000))]))
    site.start("--xds", f"127.0.0.1:{free_port()}", envoy=False,
               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)))
    eventually(lambda: site.proc.poll() is None and site.get("/readyz").status == 200)
    site.write("vs.yaml", vs("first", "*", [route("/", says(200, "y" * 2000))]))
    eventually(lambda: "yyyy" in site.get("/v1/xds/gloo-system~gateway-proxy/rds").text)
    assert site.proc.poll() is None


# ---- Disappearances ----

def test_directory_vanishes(started):
    """The directory vanishes: last good stays, degraded is said in status, log and metric; it comes back
    and counts again."""
    away = started.dir / "away"
    with Poller(started.port) as p:
        started.config.rename(away)
        eventually(lambda: not started.api("/v1/sources")["sources"][0]["up"])
        assert started.metric("solder_source_up") == 0
        eventually(lambda: [f for f in started.api("/v1/findings")["items"] if f["code"] == "SLD0902"])
        assert started.events("source_down")
        p.more(50)
        away.rename(started.config)
        eventually(lambda: started.api("/v1/sources")["sources"][0]["up"])
        one(started, "back")
        started.wait_answer(lambda a: a.text == "back", "/one")
    p.assert_clean()
    eventually(lambda: not [f for f in started.api("/v1/findings")["items"] if f["code"] == "SLD0902"])


def test_most_objects_vanish_at_once(started):
    """Most objects vanish at once: last good stays until the second look; when they come back before it,
    nothing ever happened."""
    for n in range(12):
        started.write(f"many-{n}.yaml", vs(f"many-{n}", f"many-{n}.test", [route("/", says(200, str(n)))]))
    started.wait_answer(200, host="many-11.test")
    started.settled()
    away = started.dir / "away"
    away.mkdir()
    with Poller(started.port, host="many-3.test") as p:
        for n in range(12):
            shutil.move(started.config / f"many-{n}.yaml", away)
        eventually(lambda: [f for f in started.api("/v1/findings")["items"] if f["code"] == "SLD0903"])
        started.settled()
        p.more(20)
        for n in range(12):
            shutil.move(away / f"many-{n}.yaml", started.config)
        eventually(lambda: not [f for f in started.api("/v1/findings")["items"] if f["code"] == "SLD0903"], 20)
        p.more(20)
    p.assert_clean()
    for n in range(12):
        started.remove(f"many-{n}.yaml")
    eventually(lambda: [f for f in started.api("/v1/findings")["items"] if f["code"] == "SLD0903"])
    assert started.ask(host="many-3.test").text == "3"
    started.wait_answer(lambda a: a.status == 200 and "many-3" in a.text, host="many-3.test", timeout=30)
    assert not [f for f in started.api("/v1/findings")["items"] if f["code"] == "SLD0903"]


# ---- Settings ----

def test_settings_are_hot(started):
    """Settings hot-reloaded; nothing but listen addresses needs a restart."""
    started.write("settings.yaml", doc("Settings", "default", {"solder": {"logLevel": "debug"}}))
    one(started, "two")
    eventually(lambda: [e for e in started.events() if e["level"] == "debug"])
    started.write("settings.yaml", doc("Settings", "default", {"gateway": {"translateEmptyGateways": True}}))
    port = free_port()
    started.write("empty.yaml", gateway("empty", port, http_={"virtualServiceSelector": {"no": "one"}}))
    eventually(lambda: request(port).status == 404)
    started.remove("settings.yaml")

    def closed():
        try:
            request(port)
            return False
        except OSError:
            return True
    eventually(closed)
    started.settled()


def test_settings_file_wins(site):
    """Precedence: --settings FILE over the Settings resource, key by key."""
    (site.dir / "settings.yaml").write_text(dump(doc("Settings", "default", {
        "gloo": {"invalidConfigPolicy": {"replaceInvalidRoutes": True, "invalidRouteResponseCode": 410,
                                         "invalidRouteResponseBody": "file"}}})))
    site.write("settings.yaml", doc("Settings", "default", {
        "gloo": {"invalidConfigPolicy": {"replaceInvalidRoutes": True, "invalidRouteResponseCode": 418,
                                         "invalidRouteResponseBody": "resource"}}}))
    site.write("vs.yaml", vs("v", "*", [route("/", to("nobody"))]))
    site.start("--settings", site.dir / "settings.yaml")
    assert site.wait_answer(410).text == "file"


def test_environment(site):
    """Precedence: flag, then SOLDER_* variable."""
    site.start(env={"SOLDER_LOG_LEVEL": "debug"})
    eventually(lambda: [e for e in site.events() if e["level"] == "debug"])


def test_two_directories(make_site):
    """--config is repeatable: of two claims on one object the first source's stands."""
    site = make_site()
    second = site.dir / "second"
    second.mkdir()
    (second / "a.yaml").write_text(dump(vs("both", "both.test", [route("/", says(200, "second"))]),
                                        vs("more", "more.test", [route("/", says(200, "more"))])))
    site.write("b.yaml", vs("both", "both.test", [route("/", says(200, "first"))]))
    site.start(configs=[site.config, second])
    assert site.ask(host="both.test").text == "first" and site.ask(host="more.test").text == "more"
    site.remove("b.yaml")
    site.wait_answer(lambda a: a.text == "second", host="both.test")


# ---- Two lives of files with one name ----

def test_private_files(started):
    """ADS and admin over unix sockets in a 0700 directory, admin never on an open port."""
    run = started.state / "envoy"
    assert run.stat().st_mode & 0o777 == 0o700
    assert (run / "admin.sock").is_socket()
    for pid in envoys_of(started):
        ports = {int(line.split()[1].split(":")[1], 16) for f in ("tcp", "tcp6")
                 for line in pathlib.Path(f"/proc/{pid}/net/{f}").read_text().splitlines()[1:]
                 if line.split()[3] == "0A" and owns(pid, line.split()[9])}
        assert ports == {started.port}


def owns(pid, inode):
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(fd) == f"socket:[{inode}]":
                return True
        except OSError:
            pass
    return False


def test_envoys_log_lines_are_forwarded(started):
    """Envoy's log lines forwarded with level and component."""
    started.envoy_admin("/logging?level=info", "POST")
    started.write("more.yaml", gateway("more", free_port()))
    line = eventually(lambda: [e for e in started.events("envoy_log") if "add/update listener" in e["msg"]])[0]
    assert line["component"] == "edge" and line["level"] == "info" and line["logger"] == "upstream"
