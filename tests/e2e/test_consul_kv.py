"""Configuration in Consul's key-value store, against a real Consul."""

import json
import shutil
import subprocess

import pytest
import yaml

from consul import flat, key_of
from harness import NS, Poller, Upstream, doc, eventually, gateway, route, says, to, upstream, vs

SENTINEL = "gloo/solder/sentinel"


def host(name, body, **more):
    return vs(name, f"{name}.test", [route("/", says(200, body))], **more)


def address(consul, root="gloo"):
    return f"consul://127.0.0.1:{consul.port}/{root}"


class World:
    """A Site whose configuration is in Consul."""

    def __init__(self, site, consul, **gateway_):
        self.site, self.consul = site, consul
        if consul.token is None or consul.token:
            consul.write(gateway("gateway-proxy", site.port, **gateway_))

    def start(self, *args, **more):
        more.setdefault("configs", [address(self.consul)])
        self.site.start(*args, **more)
        return self

    def says(self, name, body, **more):
        return self.site.wait_answer(lambda a: a.status == 200 and a.text == body, host=f"{name}.test", **more)

    def gone(self, name):
        return self.site.wait_answer(404, host=f"{name}.test")

    def source(self, where=None):
        name = where or address(self.consul)
        return next(s for s in self.site.api("/v1/sources")["sources"] if s["name"] == name)

    def problem(self, *words):
        """Waits until the source says that it is stale, with all of WORDS."""
        def told():
            text = self.source().get("problem") or ""
            assert all(w in text for w in words), text
            return text
        return eventually(told)

    def healed(self):
        eventually(lambda: not self.source().get("problem"))

    def steady(self, name="zz-mark"):
        """Waits until what was put so far is in force, by something put behind it."""
        mark = f"mark {self.consul.get(SENTINEL) and self.site.marks}"
        self.site.marks += 1
        self.consul.write(host(name, mark))
        self.says(name, mark)


def quick(site):
    """Settings under which rights that are lost are noticed within a second: Consul ends no query for them."""
    file = site.dir / "settings.yaml"
    file.write_text(yaml.safe_dump({"consul": {"waitTime": "1s"}}))
    return "--settings", file


def problems(world):
    """What is wrong with keys, as one text."""
    return json.dumps(world.site.api("/v1/findings"))


@pytest.fixture
def world(make_site, make_consul):
    made = World(make_site(gateway_=False), make_consul())
    made.consul.write(host("one", "first"))
    return made


# ---- Documents ----

def test_put_is_live(world):
    """A document that is put is served; so is its change, a new one, and JSON; what is deleted goes."""
    world.start()
    world.says("one", "first")
    world.consul.write(host("one", "second"))
    world.says("one", "second")
    two = host("two", "as JSON")
    world.consul.put(key_of(two), json.dumps(flat(two)))
    world.says("two", "as JSON")
    assert world.site.object("virtualservices", "two")["state"] == "Accepted"
    world.consul.remove(two)
    world.gone("two")
    world.says("one", "second")


def test_renamed(world):
    """The same document under another key is another object, and the old one goes."""
    world.start()
    world.consul.write(host("new", "moved"))
    world.says("new", "moved")
    world.consul.remove(host("one", ""))
    world.gone("one")
    world.says("new", "moved")


def test_upstream_and_table(world):
    """Kinds refer to each other across keys and namespaces."""
    up = Upstream("echo")
    world.site.upstreams.append(up)
    world.consul.write(upstream("echo", up.port, ns="web"),
                       vs("echo", "echo.test", [route("/", to("echo", "web"))]))
    world.start()
    world.site.wait_answer(lambda a: a.status == 200 and a.json["path"] == "/x", path="/x", host="echo.test")


def test_bad_value_affects_that_object_alone(world):
    """Broken YAML, a list, an unknown field: a finding with the place; the last good form stays; others move."""
    world.start()
    world.says("one", "first")
    one = key_of(host("one", ""))
    for broken in ("metadata: {name: one\nvirtualHost: [", "- a\n- b\n", "\x00\x01", ""):
        world.consul.put(one, broken)
        world.steady()
        world.says("one", "first")
        assert one.split("gloo/", 1)[1] in problems(world), broken
    world.consul.put(one, yaml.safe_dump({**flat(host("one", "x")), "virtualHots": {}}))
    world.site.wait_state("virtualservices", "one", "Rejected")
    world.says("one", "first")
    world.consul.write(host("one", "mended"))
    world.says("one", "mended")


def test_key_wins_over_metadata(world):
    """A document that says another name is that of its key, with a finding; without metadata it is too."""
    other = flat(host("one", "by its key"))
    other["metadata"] = {"name": "another", "namespace": "elsewhere"}
    world.consul.put(key_of(host("one", "")), other)
    bare = flat(host("bare", "no metadata"))
    del bare["metadata"]
    world.consul.put(key_of(host("bare", "")), bare)
    world.start()
    world.says("one", "by its key")
    world.says("bare", "no metadata")
    found = world.site.findings("virtualservices", "one")
    assert any("another" in f and "which counts" in f for f in found), found
    assert any("elsewhere" in f for f in found), found
    assert not world.site.findings("virtualservices", "bare")


def test_version_in_the_value_is_ignored(world):
    """resourceVersion, statuses and other leftovers in the value are no findings."""
    d = flat(host("one", "with leftovers"))
    d["metadata"].update(resourceVersion="7", generation="3", uid="abc")
    d["namespacedStatuses"] = {"statuses": {NS: {"state": 1, "reportedBy": "gloo"}}}
    d["status"] = {"state": "Accepted"}
    world.consul.put(key_of(host("one", "")), d)
    world.start()
    world.says("one", "with leftovers")
    assert not world.site.findings("virtualservices", "one")


def test_what_is_no_document(world):
    """Folder markers, foreign keys, Secrets and keys of other groups are no findings that stop anything."""
    world.consul.put("gloo/gateway.solo.io/v1/VirtualService/", "")
    world.consul.put("gloo/", "")
    world.consul.put("gloo/notes/readme", "hello")
    world.consul.put("gloo/gloo.solo.io/v1/Secret/gloo-system/s", "metadata: {name: s}\n")
    world.consul.put("gloo/gateway.solo.io/v1/VirtualService/gloo-system/Not_A_Name", flat(host("x", "")))
    world.consul.put("gloo2/gateway.solo.io/v1/VirtualService/gloo-system/alien", flat(host("alien", "no")))
    world.start()
    world.says("one", "first")
    assert world.site.ask(host="alien.test").status == 404
    text = problems(world)
    assert "Not_A_Name" in text
    assert "readme" not in text and "/Secret/" not in text


def test_leftovers_of_gloo(world):
    """Proxies that Gloo wrote are not read, its discovered Upstreams only when a setting adopts them."""
    up = Upstream("echo")
    world.site.upstreams.append(up)
    world.consul.put("gloo/gloo.solo.io/v1/Proxy/gloo-system/gateway-proxy",
                     {"metadata": {"name": "gateway-proxy", "namespace": NS, "labels": {"created_by": "gloo-gateway-translator"}},
                      "listeners": [{"name": "x", "bindAddress": "::", "bindPort": 1}]})
    found = upstream("echo", up.port)
    found["metadata"]["labels"] = {"discovered_by": "consulplugin"}
    world.consul.write(found, vs("echo", "echo.test", [route("/", to("echo"))]))
    world.start()
    world.says("one", "first")
    assert world.site.ask(host="echo.test").status != 200
    assert world.site.get(f"/v1/objects/upstreams/{NS}/echo").status == 404
    world.consul.write(doc("Settings", "default", {"solder": {"adoptDiscovered": True}}))
    world.site.wait_answer(200, host="echo.test")
    world.consul.write(doc("Settings", "default", {}))
    eventually(lambda: world.site.get(f"/v1/objects/upstreams/{NS}/echo").status == 404)


def test_artifacts_and_settings(world):
    """Settings in Consul are in force from the start, and reloaded."""
    world.consul.write(doc("Settings", "default", {"watchNamespaces": ["web"]}), host("far", "far", ns="far"))
    world.start()
    world.says("one", "first")
    assert world.site.ask(host="far.test").status == 404
    world.consul.write(doc("Settings", "default", {"watchNamespaces": ["web", "far"]}))
    world.says("far", "far")


def test_named_by_settings(make_site, make_consul):
    """consulKvSource in --settings is enough, and another root is another tree."""
    site, consul = make_site(gateway_=False), make_consul()
    consul.write(gateway("gateway-proxy", site.port), host("one", "of the other root"), root="edge/two")
    settings = site.dir / "settings.yaml"
    settings.write_text(yaml.safe_dump({"consul": {"httpAddress": f"127.0.0.1:{consul.port}"},
                                        "consulKvSource": {"rootKey": "edge/two"}}))
    site.start("--settings", settings, configs=[])
    site.wait_answer(lambda a: a.text == "of the other root", host="one.test")
    consul.write(host("one", "moved"), root="edge/two")
    site.wait_answer(lambda a: a.text == "moved", host="one.test")
    assert consul.get("edge/two/solder/sentinel")


def test_another_consul_by_settings(make_site, make_consul):
    """consul.httpAddress names another Consul from one moment to the next; one that is empty may be a mistake, so
    nothing goes until somebody says that it is meant."""
    site, first, second, empty = make_site(gateway_=False), make_consul(), make_consul(), make_consul()
    settings = site.dir / "settings.yaml"

    def say(consul):
        settings.write_text(yaml.safe_dump({"consul": {"httpAddress": f"127.0.0.1:{consul.port}"},
                                            "consulKvSource": {}}))

    def source():
        return next(s for s in site.api("/v1/sources")["sources"] if s["type"] == "consul")

    def answers(text):
        site.wait_answer(lambda a: a.status == 200 and a.text == text, host="one.test")
    for consul, text in ((first, "first"), (second, "second")):
        consul.write(gateway("gateway-proxy", site.port), host("one", text))
    say(first)
    site.start("--settings", settings, configs=[])
    answers("first")
    with Poller(site.port, lambda a: None if a.text in ("first", "second", "third") else f"{a.status} {a.text}",
                host="one.test") as p:
        say(second)
        answers("second")
        say(empty)
        eventually(lambda: "Consul has none of the 2 objects that were there" in (source().get("problem") or ""))
        p.more(50)
        empty.write(gateway("gateway-proxy", site.port), host("one", "third"))
        answers("third")
        eventually(lambda: not source().get("problem"))
    p.assert_clean()


def test_from_a_directory_to_consul(make_site, make_consul):
    """Settings name Consul instead of a directory: an empty one takes nothing away, what is filled in counts when it is
    whole, and then replaces what was there."""
    site, consul = make_site(gateway_=False), make_consul()
    settings, folder = site.dir / "settings.yaml", site.dir / "named"

    def stored(document):
        meta = document["metadata"]
        file = folder / f"{document['kind'].lower()}s" / meta["namespace"] / f"{meta['name']}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(flat(document)))

    def source():
        return next((s for s in site.api("/v1/sources")["sources"] if s["type"] == "consul"), {})

    def says_so(*words):
        eventually(lambda: all(w in (source().get("problem") or "") for w in words))
    for document in gateway("gateway-proxy", site.port), host("one", "first"), host("old", "old"):
        stored(document)
    settings.write_text(yaml.safe_dump({"directoryConfigSource": {"directory": str(folder)}}))
    site.start("--settings", settings, configs=[])
    site.wait_answer(lambda a: a.text == "first", host="one.test")
    with Poller(site.port, lambda a: None if a.text in ("first", "second") else f"{a.status} {a.text}",
                host="one.test") as p:
        settings.write_text(yaml.safe_dump({"consul": {"httpAddress": f"127.0.0.1:{consul.port}"},
                                            "consulKvSource": {}}))
        says_so("Consul has none of the 3 objects that were there")
        consul.write(gateway("gateway-proxy", site.port), host("one", "second"))
        says_so("1 of 3 objects that were there are not back yet")
        p.more(50)
        assert site.ask(host="one.test").text == "first" and site.ask(host="old.test").text == "old"
        consul.write(host("new", "new"))
        site.wait_answer(lambda a: a.text == "second", host="one.test")
        site.wait_answer(lambda a: a.text == "new", host="new.test")
        site.wait_answer(404, host="old.test")
        eventually(lambda: not source().get("problem"))
    p.assert_clean()


def test_another_root_by_settings(make_site, make_consul):
    """consulKvSource.rootKey names other keys: an empty root may be a mistake, so nothing goes until it is filled, also
    over a restart."""
    site, consul = make_site(gateway_=False), make_consul()
    settings = site.dir / "settings.yaml"

    def say(root):
        settings.write_text(yaml.safe_dump({"consul": {"httpAddress": f"127.0.0.1:{consul.port}"},
                                            "consulKvSource": {"rootKey": root}}))

    def source():
        return next(s for s in site.api("/v1/sources")["sources"] if s["type"] == "consul")

    def answers(text):
        site.wait_answer(lambda a: a.status == 200 and a.text == text, host="one.test")

    def doubted(root):
        eventually(lambda: source()["name"] == f"consul:///{root}" and
                   "Consul has none of the 2 objects that were there" in (source().get("problem") or ""))
    for root, text in (("gloo", "first"), ("second", "second")):
        consul.write(gateway("gateway-proxy", site.port), host("one", text), root=root)
    say("gloo")
    site.start("--settings", settings, configs=[])
    answers("first")
    with Poller(site.port, lambda a: None if a.text in ("first", "second", "third") else f"{a.status} {a.text}",
                host="one.test") as p:
        say("second")
        answers("second")
        say("empty")
        doubted("empty")
        say("nothing")
        doubted("nothing")
        p.more(50)
        site.kill()
        site.start("--settings", settings, configs=[], wait=False)
        doubted("nothing")
        p.more(50)
        consul.write(gateway("gateway-proxy", site.port), host("one", "third"), root="nothing")
        answers("third")
        eventually(lambda: not source().get("problem"))
        say("elsewhere")
        site.kill()
        site.start("--settings", settings, configs=[], wait=False)
        doubted("elsewhere")
        p.more(50)
    p.assert_clean()
    consul.put("elsewhere/solder/sentinel", "trust")
    eventually(lambda: site.get(f"/v1/objects/virtualservices/{NS}/one").status == 404)


def test_only_what_changed_is_decoded(world):
    """Each answer of Consul has all values of its keys; the source counts those it decodes."""
    world.consul.write(*[host(f"h{i}", "same") for i in range(40)])
    world.start()
    world.says("h39", "same")
    at = eventually(lambda: (lambda s: s["objects"] == 42 and world.consul.get(SENTINEL) and s["decoded"] >= 43 and
                             s["decoded"])(world.source()))
    for i in range(3):
        world.consul.write(host("h7", f"edit {i}"))
        world.says("h7", f"edit {i}")
    assert world.source()["decoded"] == at + 3
    assert world.site.metric("solder_source_decoded_total", source=address(world.consul)) == at + 3


# ---- What is no deletion ----

def test_restart_with_state_kept(world, make_site, make_consul):
    """Consul is killed and comes back with its data: nothing is lost meanwhile, and edits are seen after."""
    consul = make_consul(persistent=True)
    w = World(make_site(gateway_=False), consul)
    consul.write(host("one", "first"))
    w.start()
    with Poller(w.site.port, host="one.test") as p:
        consul.kill()
        w.problem("gloo/")
        p.more(50)
        consul.start()
        w.healed()
        consul.write(host("two", "after"))
        w.says("two", "after")
    p.assert_clean()


def test_agent_that_lost_its_state(world):
    """A development agent that is started again has nothing: everything stays, and the source says why; when the
    keys are back it goes on."""
    world.consul.write(host("two", "other"))
    world.start()
    world.says("one", "first")
    keys = world.consul.entries("gloo/")
    with Poller(world.site.port, host="one.test") as p:
        world.consul.kill()
        world.consul.start()
        world.problem("solder/sentinel", "trust")
        p.more(100)
        assert "stale since" in world.site.get("/healthz").text
        world.consul.put_many({k: e.value for k, e in keys.items() if not k.startswith("gloo/solder/")})
        world.healed()
    p.assert_clean()
    eventually(lambda: world.consul.get(SENTINEL))
    world.consul.remove(host("one", ""))
    world.gone("one")


def test_loss_that_is_meant(world):
    """The word trust in the place of the sentinel makes a loss count."""
    world.consul.write(host("two", "other"))
    world.start()
    world.says("two", "other")
    world.consul.delete_all("gloo/")
    world.problem("solder/sentinel")
    assert world.site.ask(host="one.test").text == "first"
    world.consul.write(gateway("gateway-proxy", world.site.port), host("one", "anew"))
    world.says("one", "anew")
    assert world.site.ask(host="two.test").text == "other"
    world.consul.put(SENTINEL, "trust")
    world.healed()
    world.gone("two")
    eventually(lambda: "id" in world.consul.get(SENTINEL).text)


def test_many_deletions(world):
    """Deleting most of what there is, sentinel apart, counts after the second look."""
    world.consul.write(*(host(f"v{i}", f"{i}") for i in range(100)))
    world.start()
    world.says("v99", "99")
    world.consul.delete_all("gloo/gateway.solo.io/v1/VirtualService/gloo-system/v")
    world.site.wait_answer(404, host="v99.test", timeout=30)
    world.says("one", "first")


def test_empty_store(make_site, make_consul):
    """An empty store is read: the first document that comes is served."""
    site, consul = make_site(gateway_=False), make_consul()
    site.start(configs=[address(consul)], wait=False)
    eventually(lambda: consul.get(SENTINEL))
    consul.write(gateway("gateway-proxy", site.port), host("one", "first"))
    site.wait_answer(lambda a: a.text == "first", host="one.test")


def test_start_without_consul(world):
    """With a state directory the last good configuration is served while Consul is down, and followed after."""
    world.start()
    world.says("one", "first")
    world.site.stop()
    keys = world.consul.entries("gloo/")
    world.consul.kill()
    world.start()
    world.says("one", "first")
    world.consul.start(wait=False)
    world.consul.wait_ready()
    world.problem("Consul has")
    assert world.site.ask(host="one.test").text == "first"
    world.consul.put_many({k: e.value for k, e in keys.items()})
    world.healed()
    world.consul.write(host("one", "second"))
    world.says("one", "second")


# ---- Rights ----

RULES = 'key_prefix "gloo/" { policy = "%s" }'


@pytest.fixture
def guarded(make_site, make_consul):
    """With ACLs, and a token that may write below the root."""
    made = World(make_site(gateway_=False), make_consul(acl=True))
    made.consul.policy("solder", RULES % "write")
    made.accessor, made.secret = made.consul.make_token("solder")
    made.consul.write(host("one", "first"), host("two", "other"))
    return made


def test_token_that_loses_rights(guarded):
    """Rights that are taken away hide keys, which is no deletion; when they are given back, it heals."""
    w = guarded.start(*quick(guarded.site), env={"CONSUL_HTTP_TOKEN": guarded.secret})
    w.says("one", "first")
    with Poller(w.site.port, host="one.test") as p:
        w.consul.policy("solder", 'key_prefix "other/" { policy = "read" }')
        w.problem("token")
        p.more(100)
        w.consul.policy("solder", RULES % "write")
        w.healed()
        w.consul.write(host("two", "after"))
        w.says("two", "after")
    p.assert_clean()


def test_token_that_loses_some_rights(guarded):
    """The sentinel may still be read, one document may not: that one stays, the others are followed."""
    w = guarded.start(*quick(guarded.site), env={"CONSUL_HTTP_TOKEN": guarded.secret})
    w.says("one", "first")
    hidden = key_of(host("one", ""))
    w.consul.policy("solder", RULES % "write" + f'\nkey "{hidden}" {{ policy = "deny" }}')
    w.problem(hidden)
    w.consul.write(host("two", "after"))
    w.says("two", "after")
    assert w.site.ask(host="one.test").text == "first"
    w.consul.policy("solder", RULES % "write")
    w.healed()
    w.consul.remove(host("one", ""))
    w.gone("one")


def test_token_deleted(guarded):
    """403 after 200: everything stays, and it says which token to mend."""
    w = guarded.start(env={"CONSUL_HTTP_TOKEN": guarded.secret})
    w.says("one", "first")
    w.consul.delete_token(guarded.accessor)
    w.consul.write(host("two", "unseen"))
    w.problem("ACL not found")
    assert w.site.ask(host="one.test").text == "first"


def test_read_only_token(guarded):
    """Without the right to write there is no sentinel; deletions count all the same, hidden keys do not."""
    guarded.consul.policy("solder", RULES % "read")
    w = guarded.start(*quick(guarded.site), env={"CONSUL_HTTP_TOKEN": guarded.secret})
    w.says("one", "first")
    w.consul.remove(host("two", ""))
    w.gone("two")
    assert not w.consul.get(SENTINEL)
    w.consul.policy("solder", 'key_prefix "other/" { policy = "read" }')
    w.problem("token")
    assert w.site.ask(host="one.test").text == "first"
    w.consul.policy("solder", RULES % "read")
    w.healed()


def test_token_without_rights_at_start(guarded):
    """A store of which nothing may be seen is not an empty one; the right, once given, is noticed."""
    guarded.consul.policy("solder", 'key_prefix "other/" { policy = "read" }')
    w = guarded
    w.start(env={"CONSUL_HTTP_TOKEN": w.secret}, wait=False, envoy=False)
    w.problem("token")
    w.consul.policy("solder", RULES % "write")
    w.healed()
    eventually(lambda: w.site.object("virtualservices", "one")["state"] == "Accepted")


# ---- Client settings ----

def test_token_file(guarded, tmp_path):
    """CONSUL_HTTP_TOKEN_FILE is read again when it changes."""
    file = tmp_path / "token"
    file.write_text("00000000-0000-0000-0000-00000000dead")
    w = guarded
    w.start(env={"CONSUL_HTTP_TOKEN_FILE": str(file)}, wait=False, envoy=False)
    w.problem("ACL not found")
    file.write_text(w.secret + "\n")
    eventually(lambda: w.site.object("virtualservices", "one")["state"] == "Accepted")


def test_token_of_settings(guarded):
    """consul.token of the Settings; another one takes its place while it runs."""
    w = guarded
    settings = w.site.dir / "settings.yaml"

    def say(token):
        settings.write_text(yaml.safe_dump({"consul": {"httpAddress": f"127.0.0.1:{w.consul.port}", "token": token},
                                            "consulKvSource": {}}))
    say(w.secret)
    w.site.start("--settings", settings, configs=[])
    w.says("one", "first")
    name = next(s["name"] for s in w.site.api("/v1/sources")["sources"] if s.get("setting") == "consulKvSource")
    w.consul.delete_token(w.accessor)
    w.consul.write(host("one", "second"))
    eventually(lambda: "ACL not found" in (w.source(name).get("problem") or ""))
    say(w.consul.make_token("solder")[1])
    w.says("one", "second")


@pytest.mark.parametrize("tls", ["server", "mutual"])
def test_tls(make_site, make_consul, tls):
    """consuls://, with the agent's certificate checked and, where it asks for one, ours shown."""
    w = World(make_site(gateway_=False), make_consul(tls=tls))
    w.consul.write(host("one", "by TLS"))
    d = w.consul.dir
    env = {"CONSUL_CACERT": str(d / "ca.pem")}
    if tls == "mutual":
        env.update(CONSUL_CLIENT_CERT=str(d / "client.pem"), CONSUL_CLIENT_KEY=str(d / "client.key"))
    w.start(configs=[f"consuls://localhost:{w.consul.port}/gloo"], env=env)
    w.says("one", "by TLS")
    w.consul.write(host("one", "edited"))
    w.says("one", "edited")


def test_tls_that_is_not_trusted(make_site, make_consul):
    """Without the authority nothing is read, and it says so; unless Settings say, from one moment to the next, that it
    need not be known, or a folder of authorities has it."""
    w = World(make_site(gateway_=False), make_consul(tls="server"))
    where, settings = f"consuls://localhost:{w.consul.port}/gloo", w.site.dir / "settings.yaml"

    def say(**consul):
        settings.write_text(yaml.safe_dump({"consul": consul}))

    w.consul.write(host("one", "first"))
    settings.write_text("{}\n")
    w.site.start("--settings", settings, configs=[where], wait=False)
    eventually(lambda: "certificate" in (w.source(where).get("problem") or "").lower())
    say(insecureSkipVerify=True)
    w.says("one", "first")
    say()
    eventually(lambda: "certificate" in (w.source(where).get("problem") or "").lower(), 60)
    folder = w.site.dir / "authorities"
    folder.mkdir()
    name = subprocess.run(["openssl", "x509", "-noout", "-hash", "-in", w.consul.dir / "ca.pem"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout.strip()
    (folder / f"{name}.0").write_bytes((w.consul.dir / "ca.pem").read_bytes())
    say(caPath=str(folder))
    w.consul.write(host("one", "second"))
    w.says("one", "second")


def test_unix_socket(make_site, make_consul):
    """consul+unix:// and CONSUL_HTTP_ADDR=unix://."""
    w = World(make_site(gateway_=False), make_consul(unix=True))
    w.consul.write(host("one", "by the socket"))
    w.start(configs=[f"consul+unix://{w.consul.socket}?root=gloo"])
    w.says("one", "by the socket")
    w.site.stop()
    w.start(configs=["consul:///gloo"], env={"CONSUL_HTTP_ADDR": f"unix://{w.consul.socket}"})
    w.consul.write(host("one", "by the variable"))
    w.says("one", "by the variable")


@pytest.mark.parametrize("mode", ["StaleMode", "ConsistentMode"])
def test_consistency(world, mode):
    """solder.consulKv.consistencyMode says how recent readings have to be, also while it runs."""
    world.start()
    world.says("one", "first")
    world.consul.write(doc("Settings", "default", {"solder": {"consulKv": {"consistencyMode": mode}}}))
    world.steady()
    world.consul.write(host("one", "second"))
    world.says("one", "second")
    world.consul.remove(host("one", ""))
    world.gone("one")


# ---- Many keys ----

def test_many_keys(make_site, make_consul):
    """Thousands of keys are shared out among watches: edits, new names between them, deletions, and a key that is
    the beginning of others."""
    w = World(make_site(gateway_=False), make_consul())
    w.consul.put_many({key_of(host(f"v{i}", "")): yaml.safe_dump(flat(host(f"v{i}", str(i)))) for i in range(1500)})
    w.start("--log-level", "debug")
    w.says("v1499", "1499")
    eventually(lambda: w.site.events("consul_keys_split"))
    for i in (1, 10, 100, 1000, 1499):
        w.consul.write(host(f"v{i}", "edited"))
        w.says(f"v{i}", "edited")
    for name in ("aaa", "v", "v-new", "zzz", "v15000", "w1"):
        w.consul.write(host(name, f"new {name}"))
        w.says(name, f"new {name}")
    w.consul.write(upstream("first-of-its-kind", 80, ns="far"))
    eventually(lambda: w.site.object("upstreams", "first-of-its-kind", "far"))
    for name in ("v1", "v10", "zzz", "v-new", "v1499"):
        w.consul.remove(host(name, ""))
        w.gone(name)
    w.consul.write(host("v1", "again"), host("zzz", "again"))
    w.says("v1", "again")
    w.says("zzz", "again")


def test_sentinel_is_mended(world):
    """Somebody who cleans up what he does not know takes the sentinel alone: it is written again, nothing else
    happens."""
    world.start()
    world.says("one", "first")
    before = world.consul.get(SENTINEL).doc["id"]
    world.consul.delete(SENTINEL)
    after = eventually(lambda: world.consul.get(SENTINEL))
    assert after.doc["id"] != before
    world.healed()
    world.consul.remove(host("one", ""))
    world.consul.write(host("two", "after"))
    world.says("two", "after")
    world.gone("one")


def test_certificates_are_reloaded(make_site, make_consul, tmp_path):
    """A client certificate that is replaced counts with the next connection."""
    w = World(make_site(gateway_=False), make_consul(tls="mutual"))
    w.consul.write(host("one", "first"))
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"
    shutil.copy(w.consul.dir / "ca.pem", cert)  # none that the agent knows
    shutil.copy(w.consul.dir / "client.key", key)
    where = f"consuls://localhost:{w.consul.port}/gloo"
    w.start(configs=[where], wait=False, envoy=False,
            env={"CONSUL_CACERT": str(w.consul.dir / "ca.pem"), "CONSUL_CLIENT_CERT": str(cert),
                 "CONSUL_CLIENT_KEY": str(key)})
    eventually(lambda: w.source(where).get("problem"))
    shutil.copy(w.consul.dir / "client.pem", cert)
    eventually(lambda: w.site.object("virtualservices", "one")["state"] == "Accepted", 30)


def test_data_center(make_site, make_consul):
    """consul.datacenter goes with every question: one that does not exist is told, the agent's own is read."""
    w = World(make_site(gateway_=False), make_consul(dc="east"))
    w.consul.write(host("one", "first"))
    settings = w.site.dir / "settings.yaml"
    settings.write_text(yaml.safe_dump({"consul": {"datacenter": "nowhere"}}))
    w.start("--settings", settings, wait=False, envoy=False)
    w.problem("datacenter")
    settings.write_text(yaml.safe_dump({"consul": {"datacenter": "east"}}))
    eventually(lambda: w.site.object("virtualservices", "one")["state"] == "Accepted")
