"""Statuses say the truth about files, and settings change while Solder runs."""

from harness import NS, eventually, gateway, route, says, vs
from harness import Poller


def state(site, name="first"):
    return site.api(f"/v1/objects/virtualservices/{NS}/{name}")


def start(site):
    site.write("gw.yaml", gateway("plain", site.port))
    site.write("vs.yaml", vs("first", "*", [route("/", says(200, "one"))]))
    site.start()
    site.wait_answer(lambda a: a.text == "one")


def test_a_broken_file_is_in_the_status(site):
    """Break any of them; its status names file, line and column; mend it and it recovers by itself."""
    start(site)
    site.write("vs.yaml", "kind: [\n")
    bad = eventually(lambda: state(site) if state(site)["state"] == "Rejected" else None)
    assert bad["lastGood"]
    finding = bad["findings"][0]
    assert finding["code"] == "SLD0001" and finding["origin"].endswith("vs.yaml") and finding["line"] >= 1
    assert site.metric("solder_quarantined_resources") == 1
    assert site.ask("/").text == "one"
    eventually(lambda: [e for e in site.events("status") if e["state"] == "Rejected" and e["name"] == "first"])
    site.write("vs.yaml", vs("first", "*", [route("/", says(200, "two"))]))
    site.wait_answer(lambda a: a.text == "two")
    eventually(lambda: state(site)["state"] == "Accepted")
    eventually(lambda: [e for e in site.events("status") if e["state"] == "Accepted" and e["name"] == "first"])


def test_the_write_namespace_changes_without_an_outage(site):
    """Settings hot-reloaded; nothing but listen addresses needs a restart."""
    start(site)
    settings = {"apiVersion": "gloo.solo.io/v1", "kind": "Settings", "metadata": {"name": "default", "namespace": NS},
                "spec": {"discoveryNamespace": "other", "gateway": {"readGatewaysFromAllNamespaces": True}}}
    with Poller(site.port) as p:
        site.write("settings.yaml", settings)
        eventually(lambda: "other~gateway-proxy" in str(site.api("/v1/views")))
        eventually(lambda: site.api("/v1/envoys")["envoys"] and
                   site.api("/v1/envoys")["envoys"][0]["view"] == "other~gateway-proxy")
        site.write("vs.yaml", vs("first", "*", [route("/", says(200, "two"))]))
        site.wait_answer(lambda a: a.text == "two")
        p.more(50)
    p.assert_clean()


def test_the_settings_file_is_read_again(site):
    """Settings hot-reloaded: also the file of --settings, and what cannot be used leaves the former ones."""
    file = site.dir / "settings.yaml"
    file.write_text("solder: {logLevel: info}\n")
    site.write("gw.yaml", gateway("plain", site.port))
    site.write("vs.yaml", vs("first", "*", [route("/", says(200, "one"))]))
    site.start("--settings", str(file))
    file.write_text("solder: {logLevle: debug}\n")
    eventually(lambda: site.events("settings_kept"))
    eventually(lambda: [f for f in site.api("/v1/findings")["items"] if "settings.yaml" in f.get("origin", "")])
    file.write_text("solder: {logLevel: debug}\n")
    eventually(lambda: not [f for f in site.api("/v1/findings")["items"] if "settings.yaml" in f.get("origin", "")])
    site.write("vs.yaml", vs("first", "*", [route("/", says(200, "two"))]))
    site.wait_answer(lambda a: a.text == "two")
    eventually(lambda: site.events("push"))
