"""Resources that Envoy refuses though nothing we check objects: isolated; neighbours and later edits
unaffected; Envoy's words on the owner.

What only Envoy can know is refused here: files and ports of its machine, and operators in texts that
are programs of their own.
"""

import pytest

from harness import (NS, Poller, doc, eventually, free_port, gateway, opaque_secret, ref, request, route, says, table, to,
                     upstream, vs)

# CEL expressions in headers are understood by Envoy alone.
REFUSED = {"headerManipulation": {"requestHeadersToAdd": [{"header": {"key": "x", "value": "%CEL(1 +)%"}}]}}


def bad_vs(name="bad", domain="bad.test"):
    return vs(name, domain, [route("/", to("echo"), REFUSED)])


@pytest.fixture
def started(site):
    site.upstream()
    site.write("settings.yaml", doc("Settings", "default", {"solder": {"linger": "0.2s"}}))
    for n in range(8):
        site.write(f"n{n}.yaml", vs(f"n{n}", f"n{n}.test", [route("/", to("echo"))]))
    site.start()
    site.wait_answer(200, host="n7.test")
    return site


def words(site, kind, name):
    """What Envoy said, as the owner's status has it."""
    o = site.wait_state(kind, name, "Rejected", "SLD0802")
    return [f["message"] for f in o["findings"] if f["code"] == "SLD0802"][0]


def test_one_bad_virtual_host(started):
    """One bad virtual host never freezes the others or the next edit; the owner gets Envoy's words;
    identical bytes are never sent again."""
    with Poller(started.port, host="n3.test", threads=2) as p:
        started.write("bad.yaml", bad_vs())
        said = words(started, "VirtualService", "bad")
        assert "Syntax error" in said
        started.write("n0.yaml", vs("n0", "n0.test", [route("/", says(201))]))
        started.wait_answer(201, host="n0.test")
        started.write("new.yaml", vs("new", "new.test", [route("/", says(202))]))
        started.wait_answer(202, host="new.test")
        assert started.ask(host="bad.test").status == 404
        p.more(20)
    p.assert_clean()
    assert started.object("Gateway", "gateway-proxy")["state"] == "Accepted"
    n = started.metric("solder_xds_nacks_total")
    for i in range(5):
        started.write("n1.yaml", vs("n1", "n1.test", [route("/", says(210 + i))]))
        started.wait_answer(210 + i, host="n1.test")
    assert started.metric("solder_xds_nacks_total") == n, "the refused bytes were sent again"
    started.write("bad.yaml", vs("bad", "bad.test", [route("/", says(203))]))
    started.wait_answer(203, host="bad.test")
    started.wait_state("VirtualService", "bad", "Accepted")


def test_an_edit_that_is_refused_leaves_the_last_form(started):
    """The virtual service that was served stays at its last acknowledged form."""
    started.write("good.yaml", vs("good", "good.test", [route("/", says(200, "good"))]))
    started.wait_answer(lambda a: a.text == "good", host="good.test")
    with Poller(started.port, lambda a: None if a.text == "good" else a.text, host="good.test") as p:
        started.write("good.yaml", vs("good", "good.test", [route("/", to("echo"), REFUSED)]))
        words(started, "VirtualService", "good")
        started.settled()
        p.more(20)
    p.assert_clean()
    started.write("good.yaml", vs("good", "good.test", [route("/", says(200, "better"))]))
    started.wait_answer(lambda a: a.text == "better", host="good.test")
    started.wait_state("VirtualService", "good", "Accepted")


def test_several_bad_ones_among_good_ones(started):
    """Isolation by row with several culprits written at once between good ones."""
    with Poller(started.port, host="n3.test") as p:
        started.write("batch.yaml", *[
            bad_vs(f"b{i}", f"b{i}.test") if i % 4 == 1 else vs(f"b{i}", f"b{i}.test", [route("/", says(200 + i))])
            for i in range(12)])
        for i in range(12):
            if i % 4 == 1:
                words(started, "VirtualService", f"b{i}")
            else:
                started.wait_answer(200 + i, host=f"b{i}.test")
                started.wait_state("VirtualService", f"b{i}", "Accepted")
        p.more(20)
    p.assert_clean()


def test_a_bad_route_table(started):
    """The culprit is a route table: it has Envoy's words, the virtual service that uses it goes on."""
    started.write("rt.yaml", vs("deleg", "deleg.test", [route("/", {"delegateAction": {"ref": ref("rt")}})]),
                  table("rt", [route("/", to("echo"), REFUSED)]))
    words(started, "RouteTable", "rt")
    started.settled()
    started.write("rt.yaml", vs("deleg", "deleg.test", [route("/", {"delegateAction": {"ref": ref("rt")}})]),
                  table("rt", [route("/", to("echo"))]))
    started.wait_answer(200, host="deleg.test")
    started.wait_state("VirtualService", "deleg", "Accepted")
    started.wait_state("RouteTable", "rt", "Accepted")


def test_refused_when_envoy_starts(site):
    """A refused form among those that a fresh Envoy gets first: the rest is served, and ready."""
    site.upstream()
    site.write("bad.yaml", bad_vs())
    site.write("good.yaml", vs("good", "good.test", [route("/", to("echo"))]))
    site.start()
    site.wait_answer(200, host="good.test")
    assert "Syntax error" in words(site, "VirtualService", "bad")
    site.settled()


def test_a_refused_cluster(started):
    """A refused upstream: its words, a 503 on its route; others are added and changed."""
    health = [{"timeout": "1s", "interval": "1s", "unhealthyThreshold": 1, "healthyThreshold": 1,
               "tcpHealthCheck": {}, "eventLogPath": "/no/such/folder/log"}]
    with Poller(started.port, host="n3.test") as p:
        started.write("us.yaml", upstream("us", started.upstreams[0].port, healthChecks=health),
                      vs("us", "us.test", [route("/", to("us"))]))
        assert "/no/such/folder" in words(started, "Upstream", "us")
        more = started.upstream("more")
        started.write("more.yaml", vs("more", "more.test", [route("/", to("more"))]))
        started.wait_answer(200, host="more.test")
        assert started.ask(host="us.test").status == 503
        started.write("us.yaml", upstream("us", more.port), vs("us", "us.test", [route("/", to("us"))]))
        started.wait_answer(200, host="us.test")
        started.wait_state("Upstream", "us", "Accepted")
        p.more(20)
    p.assert_clean()


def test_a_refused_listener(started):
    """A refused gateway: its words; the others go on, and it recovers when mended."""
    port = free_port()

    def write(path):
        started.write("gw.yaml", gateway("gw", port, http_={"virtualServices": [ref("n1")]}, options={
            "accessLoggingService": {"accessLog": [{"fileSink": {"path": path, "stringFormat": "x"}}]}}))
    with Poller(started.port, host="n3.test") as p:
        write("/no/such/folder/log")
        assert "/no/such/folder" in words(started, "Gateway", "gw")
        started.settled()
        write("/dev/null")
        eventually(lambda: request(port, host="n1.test").status == 200)
        started.wait_state("Gateway", "gw", "Accepted")
        p.more(20)
        write("/no/such/folder/log")
        words(started, "Gateway", "gw")
        assert request(port, host="n1.test").status == 200, "the last form it took"
    p.assert_clean()


def test_a_refused_secret(started):
    """Files that Envoy does not have: words on the object that names them."""
    started.write("us.yaml", upstream("us", started.upstreams[0].port, sslConfig={
        "sslFiles": {"rootCa": "/no/such/folder/ca.pem"}}), vs("us", "us.test", [route("/", to("us"))]))
    assert "/no/such/folder" in words(started, "Upstream", "us")
    started.settled()


def test_words_that_may_quote_a_secret(started):
    """What Envoy says of a table with a secret header is told on the object alone, without texts of secrets."""
    secret = {"headerManipulation": {"requestHeadersToAdd": [{"headerSecretRef": ref("keys")}]}}
    started.write("secret.yaml", {**opaque_secret("keys", {"x-key": "hunter2-of-clubs"}), "type": "gloo.solo.io/header"})
    started.write("keyed.yaml", vs("keyed", "keyed.test", [route("/", to("echo"), secret)]))
    started.wait_answer(200, host="keyed.test")
    started.write("bad.yaml", bad_vs())
    assert "Syntax error" in words(started, "VirtualService", "bad")
    rds = started.api("/v1/envoys")["envoys"][0]["types"]["rds"]
    assert rds["nacks"] and "may quote a secret" in rds["lastError"]
    told = [e["words"] for e in started.events("envoy_refused")]
    assert told and all("may quote a secret" in t for t in told)
    assert not [e for e in started.events("envoy_log") if "Syntax error" in e["msg"]]
    assert [e for e in started.events("envoy_log") if e["msg"].endswith(" rejected")]


def test_refusals_are_told_everywhere(started):
    """NACKs are seen in metrics, in /v1/envoys and in the log."""
    started.write("bad.yaml", bad_vs())
    words(started, "VirtualService", "bad")
    assert started.metric("solder_xds_nacks_total", type="rds") >= 1
    rds = started.api("/v1/envoys")["envoys"][0]["types"]["rds"]
    assert rds["nacks"] >= 1 and "Syntax error" in rds["lastError"]
    assert [e for e in started.events() if e["event"] in ("envoy_refused", "virtual_host_refused")]


def test_restart_keeps_neighbours(started):
    """A restart of Solder with a refused form in the files disturbs nobody."""
    started.write("bad.yaml", bad_vs())
    words(started, "VirtualService", "bad")
    with Poller(started.port, host="n3.test") as p:
        started.kill()
        started.start()
        words(started, "VirtualService", "bad")
        started.settled()
        p.more(20)
    p.assert_clean()


def two_refused(started):
    """Upstream us and VirtualService own, whose present documents Envoy refuses."""
    health = [{"timeout": "1s", "interval": "1s", "unhealthyThreshold": 1, "healthyThreshold": 1,
               "tcpHealthCheck": {},
               "eventLogPath": "/no/such/folder/log"}]
    started.write("us.yaml", upstream("us", started.upstreams[0].port))
    started.write("vs-us.yaml", vs("us", "us.test", [route("/", to("us"))]))
    started.write("own.yaml", vs("own", "own.test", [route("/", to("echo"))]))
    started.wait_answer(200, host="us.test")
    started.wait_answer(200, host="own.test")
    started.settled()
    started.write("us.yaml", upstream("us", started.upstreams[0].port, healthChecks=health))
    words(started, "Upstream", "us")
    started.write("own.yaml", vs("own", "own.test", [route("/", to("echo"), REFUSED)]))
    words(started, "VirtualService", "own")


def still_out(started):
    assert started.ask(host="us.test").status == 200 and started.ask(host="own.test").status == 200
    for kind, name in (("upstreams", "us"), ("virtualservices", "own")):
        o = started.api(f"/v1/objects/{kind}/{NS}/{name}")
        assert o["state"] == "Rejected" and o["lastGood"], o


def test_refused_documents_stay_out_over_a_restart(started):
    """That object keeps its last accepted form, also across a restart of Solder and Envoy: no request goes astray."""
    two_refused(started)
    started.settled()
    eventually(lambda: "/no/such/folder" in (started.state / "accepted").read_text(errors="replace"))
    started.stop()
    started.start()
    still_out(started)


def test_a_refusal_is_remembered_when_it_is_told(started):
    """kill -9 as soon as the status says that a document was refused: the next Solder does not try it."""
    started.settled()
    (started.state / "accepted.new").mkdir()  # in the way of the file that is written later
    two_refused(started)
    started.kill()
    (started.state / "accepted.new").rmdir()
    assert "/no/such/folder" not in (started.state / "accepted").read_text(errors="replace")
    started.start()
    still_out(started)
    started.settled()
    assert started.metric("solder_xds_nacks_total", type="rds") == 0
    assert started.metric("solder_xds_nacks_total", type="cds") == 0
