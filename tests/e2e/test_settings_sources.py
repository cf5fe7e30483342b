"""Sources that Settings name: they are read, come and go while Solder runs, and their last good state
outlives them."""

import pytest
import yaml

import pki
from harness import NS, Poller, Raw, cli, doc, dump, eventually, gateway, ref, route, says, to, upstream, vs

SETTINGS = ("Settings", "default")


def flat(document, **metadata):
    """A document in Gloo's flat form, without kind: its place says what it is."""
    return {"metadata": {**document["metadata"], **metadata}, **document["spec"]}


def secret(name, cert, key, ns=NS):
    return {"metadata": {"name": name, "namespace": ns}, "tls": {"certChain": cert, "privateKey": key}}


def put(root, path, document):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(document, sort_keys=False))


def host(name, body):
    return vs(name, f"{name}.test", [route("/", says(200, body))])


@pytest.fixture
def named(site):
    """A second directory with one virtual service."""
    root = site.dir / "named"
    put(root, "virtualservices/gloo-system/named.yaml", flat(host("named", "from the settings")))
    return root


def sources(site):
    return {s["name"]: s for s in site.api("/v1/sources")["sources"] if s["type"] != "state"}


# ---- Naming ----

def test_settings_file_alone(site, named):
    """Without --config, --settings FILE is enough when it names a source."""
    put(named, "gateways/gloo-system/gateway-proxy.yaml", flat(gateway("gateway-proxy", site.port)))
    settings = site.dir / "settings.yaml"
    settings.write_text(yaml.safe_dump({"directoryConfigSource": {"directory": str(named)}}))
    site.start("--settings", settings, configs=[])
    assert site.ask(host="named.test").text == "from the settings"
    assert sources(site)[str(named)]["setting"] == "directoryConfigSource"


def test_no_source_at_all(site):
    """Neither flag nor file: it says what is missing."""
    settings = site.dir / "settings.yaml"
    settings.write_text("refreshRate: 5s\n")
    for args in ([], ["--settings", settings]):
        done = cli("run", "--state-dir", site.state, *args)
        assert done.returncode == 2 and "directoryConfigSource" in done.stderr, done


def test_source_comes_and_goes(site, named):
    """Naming a directory in the Settings resource reads it at once; no longer naming it lets its objects
    go, and nothing else is touched."""
    site.write("vs.yaml", host("own", "mine"))
    site.start()
    with Poller(site.port, host="own.test") as p:
        site.write("settings.yaml", doc(*SETTINGS, {"directoryConfigSource": {"directory": str(named)}}))
        site.wait_answer(lambda a: a.text == "from the settings", host="named.test")
        assert site.object("virtualservices", "named")["state"] == "Accepted"
        put(named, "virtualservices/gloo-system/named.yaml", flat(host("named", "edited")))
        site.wait_answer(lambda a: a.text == "edited", host="named.test")
        site.write("settings.yaml", doc(*SETTINGS, {}))
        site.wait_answer(404, host="named.test")
        assert str(named) not in sources(site)
    p.assert_clean()
    assert [e["source"] for e in site.events("source_dropped")] == [str(named)]


def test_one_more_moves_no_other(site, named):
    """A source that is named besides leaves those that were named before as they are."""
    secrets, artifacts = site.dir / "secrets", site.dir / "artifacts"
    secrets.mkdir()
    artifacts.mkdir()
    settings = {"directorySecretSource": {"directory": str(secrets)}}
    site.write("settings.yaml", doc(*SETTINGS, settings))
    site.write("vs.yaml", host("own", "mine"))
    site.start()
    settings["directoryArtifactSource"] = {"directory": str(artifacts)}
    site.write("settings.yaml", doc(*SETTINGS, settings))
    eventually(lambda: str(artifacts) in sources(site))
    assert not site.events("source_dropped")


def test_own_places_are_named(site):
    """Settings that name the state directory by mistake: it is read like any other, and nothing ends."""
    site.write("vs.yaml", host("own", "mine"))
    site.start()
    site.write("settings.yaml", doc(*SETTINGS, {"directorySecretSource": {"directory": str(site.state)}}))
    eventually(lambda: [s for s in sources(site) if str(site.state) in s])
    assert site.ask(host="own.test").text == "mine"
    done = cli("run", "--config", site.state, "--state-dir", site.state)
    assert done.returncode == 2 and "state directory" in done.stderr, done


def test_one_directory_for_another(site, named):
    """A change of place: what stands in both is served all the time."""
    other = site.dir / "other"
    put(other, "virtualservices/gloo-system/named.yaml", flat(host("named", "from the settings")))
    put(other, "virtualservices/gloo-system/more.yaml", flat(host("more", "more")))
    site.write("settings.yaml", doc(*SETTINGS, {"directoryConfigSource": {"directory": str(named)}}))
    site.start()
    site.wait_answer(200, host="named.test")
    with Poller(site.port, host="named.test") as p:
        for place, status in [(other, 200), (named, 404), (other, 200)]:
            site.write("settings.yaml", doc(*SETTINGS, {"directoryConfigSource": {"directory": str(place)}}))
            site.wait_answer(status, host="more.test")
    p.assert_clean()


def test_most_of_everything_may_go(site, named):
    """The second look at mass deletions is not for what the user asked for."""
    site.write("vs.yaml", host("own", "mine"))
    for i in range(20):
        put(named, f"virtualservices/gloo-system/v{i}.yaml", flat(host(f"v{i}", "one of many")))
    site.write("settings.yaml", doc(*SETTINGS, {"directoryConfigSource": {"directory": str(named)}}))
    site.start()
    site.wait_answer(200, host="v19.test")
    site.write("settings.yaml", doc(*SETTINGS, {}))
    site.wait_answer(404, host="v19.test", timeout=4)


def test_named_like_the_flag(site):
    """A place that a flag names too counts once."""
    site.write("vs.yaml", host("own", "mine"))
    site.write("settings.yaml", doc(*SETTINGS, {"directoryConfigSource": {"directory": f"{site.config}/../config/"},
                                                "directoryArtifactSource": {"directory": str(site.config)}}))
    site.start()
    assert list(sources(site)) == [str(site.config)]
    assert site.object("virtualservices", "own")["state"] == "Accepted"
    assert not site.api("/v1/findings?severity=warning")["items"]


def test_a_place_that_cannot_be_read(site):
    """A file instead of a directory: told with the place, the rest works; mended, it is read."""
    place = site.dir / "place"
    place.write_text("not a directory")
    site.write("vs.yaml", host("own", "mine"))
    site.start()
    site.write("settings.yaml", doc(*SETTINGS, {"directoryConfigSource": {"directory": str(place)}}))

    def told():
        s = sources(site)[str(place)]
        return not s["up"] and s["staleSince"] and "is not a directory" in s["problem"]
    eventually(told)
    assert f"source {place} stale since" in site.get("/healthz").text
    assert site.get("/healthz").status == 200 and site.ask(host="own.test").text == "mine"
    assert any("is not a directory" in f["message"] for f in site.api("/v1/findings")["items"])
    place.unlink()
    put(place, "virtualservices/gloo-system/late.yaml", flat(host("late", "better late")))
    site.wait_answer(lambda a: a.text == "better late", host="late.test", timeout=20)
    assert sources(site)[str(place)]["up"] and "stale" not in site.get("/healthz").text


# ---- Secrets and artifacts ----

@pytest.mark.parametrize("settings, level", [
    ({"directorySecretSource": {"directory": "DIR"}}, "secrets/"),
    ({"secretOptions": {"sources": [{"directory": {"directory": "DIR"}}]}}, ""),
])
def test_secrets(site, settings, level):
    """directorySecretSource has a level "secrets" above the namespaces, secretOptions has none. A new
    certificate is served without a change of the listener."""
    root, port = site.dir / "hidden", site.port
    ca = pki.Authority()
    put(root, f"{level}{NS}/cert.yaml", secret("cert", *ca.issue("one", "tls.test")))
    site.write("gateway.yaml", gateway("gateway-proxy", port, ssl_=True))
    site.write("vs.yaml", vs("tls", "tls.test", [route("/", says(200, "safe"))],
                             sslConfig={"secretRef": ref("cert"), "sniDomains": ["tls.test"]}))
    text = yaml.safe_dump(doc(*SETTINGS, settings)).replace("DIR", str(root))
    site.write("settings.yaml", text)
    site.start()

    def subject():
        with Raw(port, pki.client(site.dir, None), "tls.test") as r:
            return pki.common_name(r.sock.getpeercert(True))
    assert eventually(lambda: subject() == "one")
    listener = site.xds("lds")
    put(root, f"{level}{NS}/cert.yaml", secret("cert", *ca.issue("two", "tls.test")))
    assert eventually(lambda: subject() == "two")
    assert site.xds("lds") == listener
    name = [s for s in sources(site).values() if s["holds"] == "secrets"]
    assert [s["name"] for s in name] == [str(root)]


def test_secrets_only_from_where_secrets_are(site):
    """Who may write secrets cannot change routes by it; artifacts likewise."""
    secrets, artifacts = site.dir / "secrets", site.dir / "artifacts"
    for root in (secrets, artifacts):
        put(root, f"virtualservices/{NS}/bad.yaml", flat(host("bad", "never")))
    put(artifacts, f"artifacts/{NS}/a.yaml", {"metadata": {"name": "a", "namespace": NS}, "data": {"k": "v"}})
    site.write("settings.yaml", doc(*SETTINGS, {"directorySecretSource": {"directory": str(secrets)},
                                                "directoryArtifactSource": {"directory": str(artifacts)}}))
    site.start()
    assert site.object("artifacts", "a")
    assert site.get(f"/v1/objects/virtualservices/{NS}/bad").status == 404
    holds = {s["name"]: s["holds"] for s in sources(site).values()}
    assert holds == {str(site.config): "configuration", str(secrets): "secrets", str(artifacts): "artifacts"}


# ---- Namespaces ----

def test_watch_namespaces(site):
    """watchNamespaces: other namespaces do not count, the own one always does; hot."""
    site.write("a.yaml", vs("a", "a.test", [route("/", says(200, "a"))], ns="apps"))
    site.write("b.yaml", vs("b", "b.test", [route("/", says(200, "b"))], ns="other"))
    site.write("c.yaml", host("c", "c"))
    site.write("gateway.yaml", gateway("gateway-proxy", site.port))
    site.start()
    assert [site.ask(host=f"{n}.test").status for n in "abc"] == [200, 200, 200]
    site.write("settings.yaml", doc(*SETTINGS, {"watchNamespaces": ["apps"]}))
    site.wait_answer(404, host="b.test")
    assert [site.ask(host=f"{n}.test").status for n in "ac"] == [200, 200]
    assert site.get("/v1/objects/virtualservices/other/b").status == 404
    notes = [f for f in site.api("/v1/findings?severity=note")["items"] if f["code"] == "SLD0908"]
    assert len(notes) == 1 and "1 object of namespace other" in notes[0]["message"]
    site.write("settings.yaml", doc(*SETTINGS, {"watchNamespaces": []}))
    site.wait_answer(200, host="b.test")


def test_watch_namespaces_offline(tmp_path):
    """`check` and `translate` see the same."""
    (tmp_path / "c.yaml").write_text(dump(
        vs("a", "a.test", [route("/", to("nowhere"))], ns="apps"), vs("b", "b.test", [route("/", to("nowhere"))]),
        doc(*SETTINGS, {"watchNamespaces": ["none"]})))
    done = cli("check", "--notes", tmp_path)
    assert "VirtualService gloo-system.b" in done.stdout and "VirtualService apps.a" not in done.stdout
    assert "SLD0908" in done.stdout and "2 resources" in done.stderr
    assert "a.test" not in cli("translate", tmp_path).stdout


def test_discovery_namespace_is_hot(site):
    """Documents without a namespace go to the own one when that changes."""
    site.write("vs.yaml", {"apiVersion": "gateway.solo.io/v1", "kind": "VirtualService", "metadata": {"name": "v"},
                           "spec": {"virtualHost": {"domains": ["v.test"], "routes": [route("/", says(200, "v"))]}}})
    site.start(envoy=False)
    assert site.object("virtualservices", "v", NS)
    site.write("settings.yaml", doc(*SETTINGS, {"discoveryNamespace": "edge"}))
    eventually(lambda: site.object("virtualservices", "v", "edge")["state"] == "Accepted")
    eventually(lambda: site.get(f"/v1/objects/virtualservices/{NS}/v").status == 404)
    site.remove("settings.yaml")
    eventually(lambda: site.object("virtualservices", "v", NS)["state"] == "Accepted")


# ---- Restarts without the sources ----

@pytest.mark.parametrize("where", ["file", "resource"])
def test_restart_with_everything_gone(site, named, where):
    """Both places gone and a state directory: the last good configuration is served, and every place
    that people look at says what is stale since when; it heals by itself."""
    settings = doc(*SETTINGS, {"directoryConfigSource": {"directory": str(named)}})
    args, configs = [], [site.config]
    if where == "file":
        put(named, "gateways/gloo-system/gateway-proxy.yaml", flat(gateway("gateway-proxy", site.port)))
        (site.dir / "settings.yaml").write_text(dump(settings))
        args, configs = ["--settings", site.dir / "settings.yaml"], []
    else:
        site.write("settings.yaml", settings)
    site.start(*args, configs=configs)
    site.wait_answer(200, host="named.test")
    eventually(lambda: b"named" in (site.state / "accepted").read_bytes())
    site.stop()
    for root in (named, site.config):
        root.rename(f"{root}.away")
    site.start(*args, configs=configs)
    assert site.wait_answer(200, host="named.test").text == "from the settings"
    assert all(not s["up"] and s["staleSince"] for s in sources(site).values())
    assert f"source {named} stale since" in site.get("/healthz").text
    o = site.object("virtualservices", "named")
    assert o["state"] == "Accepted" and o["staleSince"] and "does not exist" in o["staleReason"]
    assert site.metric("solder_source_up", source=str(named)) == 0
    assert site.metric("solder_source_stale_since_timestamp_seconds", source=str(named)) > 1e9
    assert [e for e in site.events("source_down") if e["source"] == str(named) and e["since"]]
    shown = cli("get", "vs", "named", "--admin", f"unix:{site.admin}").stdout
    assert "Accepted (stale)" in shown
    for root in (named, site.config):
        root.with_name(f"{root.name}.away").rename(root)
    put(named, "virtualservices/gloo-system/named.yaml", flat(host("named", "healed")))
    site.wait_answer(lambda a: a.text == "healed", host="named.test", timeout=45)
    eventually(lambda: "staleSince" not in site.object("virtualservices", "named"))
    assert "stale" not in site.get("/healthz").text
