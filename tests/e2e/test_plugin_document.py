"""Plugins that documents declare: kind Plugin of solder.dev/v1."""

import json

import pytest
import yaml

from harness import NS, cli, eventually, route, to, upstream, vs

TENANT = """
local s = require "solder.schema"
return {
  api = 1, name = "tenant", version = "1",
  schema = s.record{header = s.header_name{default = "x-tenant"}, name = s.string{required = true}, loop = s.boolean{}},
  shape_route = function(conf, route)
    while conf.loop do end
    table.insert(route.request_headers_to_add, {header = {key = conf.header, value = conf.name}})
  end,
  shape_destination = function(conf, weight)
    table.insert(weight.request_headers_to_add, {header = {key = conf.header, value = conf.name}})
  end,
  shape_upstream = function(conf, cluster)
    cluster.connect_timeout = "7s"
    cluster.alt_stat_name = conf.name
  end,
}
"""


def plugin(spec, name="tenant", ns=NS):
    return {"apiVersion": "solder.dev/v1", "kind": "Plugin", "metadata": {"name": name, "namespace": ns}, "spec": spec}


def use(conf, prefix="/", name="shop", domain="*"):
    return vs(name, domain, [route(prefix, to("echo"), {"extensions": {"configs": {"tenant": conf}}})])


UP = {"apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": {"name": "echo", "namespace": NS, "labels": {"tier": "a"}},
      "spec": {"static": {"hosts": [{"addr": "127.0.0.1", "port": 1}]}}}


@pytest.fixture
def folder(tmp_path):
    """Writes documents; checks and translates them."""
    class Folder:
        path = tmp_path / "config"
        flags = ()

        def write(self, *docs):
            (self.path / "all.yaml").write_text(yaml.safe_dump_all(docs, sort_keys=False))

        def check(self):
            done = cli("check", *self.flags, self.path)
            return done.returncode, done.stdout

        def out(self, kind):
            done = cli("translate", "-o", "json", "--type", kind, *self.flags, self.path)
            return json.dumps([r["resource"] for r in json.loads(done.stdout)]) if done.returncode == 0 else ""
    f = Folder()
    f.path.mkdir()
    return f


def test_a_document_is_all_it_takes(folder):
    folder.write(UP, plugin({"inline": TENANT}), use({"name": "acme"}))
    assert folder.check() == (0, "")
    assert '{"key": "x-tenant", "value": "acme"}' in folder.out("rds")
    # Fields for all, which each configuration may say otherwise.
    folder.write(UP, plugin({"inline": TENANT, "config": {"name": "all", "header": "x-all"}}), use({"header": "x-own"}))
    assert folder.check() == (0, "")
    assert '{"key": "x-own", "value": "all"}' in folder.out("rds")
    # Nothing of it without the document.
    folder.write(UP, use({"name": "acme"}))
    code, said = folder.check()
    assert code == 0 and "there is no plugin tenant" in said


@pytest.mark.parametrize("spec, path, words", [
    ({"inline": "return {"}, "inline", "plugin.lua:1: unexpected symbol near <eof>"),
    ({"inline": TENANT.replace('"tenant"', '"other"')}, "inline", "'name' must be \"tenant\""),
    ({"inline": "while true do end", "limits": {"loadSteps": 9000}}, "inline", "more than 9000 steps"),
    ({"inline": TENANT, "limits": {"memoryMib": 2000}}, "limits.memoryMib", "1024"),
    ({"inline": TENANT.replace("api = 1,", "api = 1, needs = {'objects'},")}, "needs", "the plugin needs objects"),
    ({"inline": TENANT, "needs": ["everything"]}, "needs[0]", "everything"),
    ({"inline": TENANT, "onError": "ignore"}, "onError", "keep-last"),
    ({"inline": TENANT, "config": {"nam": "x"}}, "config.nam", 'did you mean "name"'),
    ({"inline": TENANT, "upstreams": [{"name": "echo"}]}, "config.name", "name must be set"),
    ({"artifact": {"name": "code"}}, "artifact", "there is no Artifact code in namespace gloo-system"),
    ({}, "", "there is no plugin tenant in the folder --plugins"),
    ({"inline": TENANT, "limit": {}}, "limit", 'did you mean "limits"'),
])
def test_mistakes_are_findings_where_they_stand(folder, spec, path, words):
    folder.write(plugin(spec))
    code, said = folder.check()
    assert code == 1
    [line] = [l for l in said.splitlines() if "error" in l]
    assert "Plugin gloo-system.tenant: " in line and words in line
    assert f": {path}: " in line or not path


def test_names_of_plugins(folder):
    folder.write(plugin({"inline": TENANT}, name="te.nant"))
    code, said = folder.check()
    assert code == 1 and "metadata.name: a plugin's name is made of" in said
    # Of two of one name the first counts.
    folder.write(UP, use({"name": "x"}), plugin({"inline": TENANT}, ns="a"), plugin({"inline": TENANT.replace("conf.header, v", "'x-b', v")}, ns="b"))
    assert '"key": "x-tenant"' in folder.out("rds")


def test_needs_are_granted_and_warnings(folder):
    text = TENANT.replace("api = 1,", "api = 1, needs = {'objects'},")
    folder.write(plugin({"inline": text, "needs": ["objects", "secrets"]}))
    assert folder.check() == (0, "")
    text = TENANT[:TENANT.index("  shape_upstream")] + "}"
    folder.write(plugin({"inline": text, "config": {"name": "x"}, "upstreamSelector": {}}))
    code, said = folder.check()
    assert code == 0 and "upstreamSelector: the plugin has no hook shape_upstream" in said


def test_an_artifact_holds_the_files(folder):
    files = {"plugin.lua": 'local words = require "words"\n' + TENANT.replace("value = conf.name", "value = words(conf.name)"),
             "words.lua": "return function(s) return s:upper() end", "notes.txt": "("}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code", "namespace": NS}, "data": files}
    for order in (0, 1):
        docs = [config_map, plugin({"artifact": {"name": "code"}})]
        folder.write(UP, use({"name": "acme"}), *(docs if order else reversed(docs)))
        assert folder.check() == (0, "")
        assert '{"key": "x-tenant", "value": "ACME"}' in folder.out("rds")
    del files["plugin.lua"]
    folder.write(config_map, plugin({"artifact": {"name": "code", "namespace": NS}}))
    code, said = folder.check()
    assert code == 1 and "artifact: " in said and "plugin.lua" in said


def test_a_document_for_one_of_the_folder(folder, tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/tenant.lua").write_text(TENANT)
    folder.flags = ("--plugins", tmp_path / "plugins")
    folder.write(UP, use({}), plugin({"config": {"name": "doc"}}))
    assert folder.check() == (0, "")
    assert '{"key": "x-tenant", "value": "doc"}' in folder.out("rds")
    # Its limits hold.
    folder.write(UP, use({"loop": True}), plugin({"config": {"name": "doc"}, "limits": {"callSteps": 7000}}))
    code, said = folder.check()
    assert code == 1 and "more than 7000 steps" in said


def test_weighted_destinations(folder):
    dest = {"destination": {"upstream": {"name": "echo", "namespace": NS}}, "weight": 1}
    one = {**dest, "options": {"extensions": {"configs": {"tenant": {"name": "one"}}}}}
    doc = vs("shop", "*", [{"matchers": [{"prefix": "/"}], "routeAction": {"multi": {"destinations": [one, dest]}}}])
    folder.write(UP, plugin({"inline": TENANT}), doc)
    assert folder.check() == (0, "")
    [table] = json.loads(folder.out("rds"))
    first, second = table["virtualHosts"][0]["routes"][0]["route"]["weightedClusters"]["clusters"]
    assert first["requestHeadersToAdd"][0]["header"] == {"key": "x-tenant", "value": "one"}
    assert "requestHeadersToAdd" not in second
    one["options"]["extensions"]["configs"]["tenant"] = {"nam": "x"}
    folder.write(UP, plugin({"inline": TENANT}), doc)
    code, said = folder.check()
    assert code == 1 and "destinations[0].options.extensions.configs.tenant.nam" in said


@pytest.mark.parametrize("chosen, yes", [
    ({"upstreams": [{"name": "echo"}]}, True),
    ({"upstreams": [{"name": "echo", "namespace": "other"}]}, False),
    ({"upstreamSelector": {}}, True),
    ({"upstreamSelector": {"labels": {"tier": "a"}}}, True),
    ({"upstreamSelector": {"labels": {"tier": "b"}}}, False),
    ({"upstreamSelector": {"namespaces": ["other"]}}, False),
    ({"upstreamSelector": {"namespaces": ["*"]}}, True),
    ({}, False),
])
def test_upstreams_are_chosen(folder, chosen, yes):
    folder.write(UP, plugin({"inline": TENANT, "config": {"name": "up"}, **chosen}))
    assert folder.check() == (0, "")
    cluster = next(c for c in json.loads(folder.out("cds")) if c["name"] == "echo_gloo-system")
    assert (cluster["connectTimeout"] == "7s" and cluster.get("altStatName") == "up") == yes


@pytest.mark.parametrize("on_error, code, severity, shaped", [
    (None, 1, "error", None), ("closed", 1, "error", None), ("open", 0, "warning", False), ("keep-last", 1, "error", None)])
def test_what_a_failure_costs(folder, on_error, code, severity, shaped):
    spec = {"inline": TENANT.replace("table.insert(route", "if conf.name == 'bad' then error('no') end table.insert(route")}
    if on_error:
        spec["onError"] = on_error
    folder.write(UP, plugin(spec), use({"name": "bad"}))
    got, said = folder.check()
    assert got == code and f"{severity} SLD0712" in said and "plugin tenant: plugin.lua:8: no" in said
    out = folder.out("rds")
    assert "x-tenant" not in out and ('"cluster": "echo_gloo-system"' in out) == (shaped is False)


# ---- While it runs ----

def test_edits_last_good_and_suspension(site):
    seen = lambda a, header="x-tenant": a.status == 200 and a.json["headers"].get(header)
    spec = {"inline": TENANT, "limits": {"callSteps": 9000}, "suspendAfter": 3, "retryAfter": "1s", "onError": "keep-last"}
    site.upstream()
    site.write("plugin.yaml", plugin(spec))
    site.write("vs.yaml", use({"name": "acme"}))
    site.start()
    assert seen(site.ask("/")) == ["acme"]
    # A new text is in force at once; one that does not load is not, and its document says why.
    site.write("plugin.yaml", plugin({**spec, "inline": TENANT.replace("value = conf.name", "value = 'v2'", 1)}))
    site.wait_answer(lambda a: seen(a) == ["v2"])
    site.write("plugin.yaml", plugin({**spec, "inline": "return {"}))
    site.wait_state("Plugin", "tenant", "Rejected", "SLD0711")
    assert "plugin.lua:1: unexpected symbol" in "\n".join(site.findings("Plugin", "tenant"))
    assert seen(site.ask("/")) == ["v2"]
    # Also after a restart.
    site.stop()
    site.start()
    assert seen(site.ask("/")) == ["v2"]
    site.write("plugin.yaml", plugin({**spec, "inline": TENANT}))
    site.wait_answer(lambda a: seen(a) == ["acme"])
    # Breaches of its ceilings: what it gave last stays, it is suspended after three, and tried again.
    broken = TENANT.replace("while conf.loop do end", "while true do end")
    site.write("more.yaml", use({"name": "a"}, name="a", domain="a.example"), use({"name": "b"}, name="b", domain="b.example"))
    site.wait_answer(lambda a: seen(a) == ["b"], host="b.example")
    site.write("plugin.yaml", plugin({**spec, "inline": broken}))
    [event] = eventually(lambda: [e for e in site.events("plugin_suspended")][:1])
    assert "it is suspended for 1 s after 3 breaches" in event["msg"] and "more than 9000 steps" in event["msg"]
    site.wait_state("VirtualService", "shop", "Warning", "SLD0712")
    assert "what the plugin gave last stays" in "\n".join(site.findings("VirtualService", "shop"))
    assert seen(site.ask("/")) == ["acme"] and seen(site.ask("/", host="b.example")) == ["b"]
    eventually(lambda: len(site.events("plugin_suspended")) >= 2)  # it was tried again
    site.write("plugin.yaml", plugin({**spec, "inline": TENANT.replace("value = conf.name", "value = 'v3'", 1)}))
    site.wait_answer(lambda a: seen(a) == ["v3"])
    site.wait_state("VirtualService", "shop", "Accepted")
    site.remove("plugin.yaml")
    site.wait_answer(lambda a: a.status == 200 and not seen(a))


def test_get_describe_and_metrics(site):
    folder = site.dir / "plugins"
    folder.mkdir()
    (folder / "loose.lua").write_text("return {api = 1, name = 'loose', shape_route = function() end}")
    (folder / "bad.lua").write_text("return {")
    site.upstream()
    text = TENANT.replace("while conf.loop", "local function deep() error('no ' .. conf.name) end\n  if conf.name == 'bad' then deep() end\n  while conf.loop")
    site.write("plugin.yaml", plugin({"inline": text, "suspendAfter": 2, "limits": {"callSteps": 9000, "memoryMib": 4}}))
    site.write("vs.yaml", use({"name": "acme"}), use({"name": "bad"}, name="b", domain="b.example"))
    site.start("--plugins", folder)
    ask = lambda *words: cli(*words, "--admin", f"unix:{site.admin}")
    rows = {l.split()[0]: l for l in ask("get", "plugins").stdout.splitlines()}
    assert rows["NAME"].split() == ["NAME", "FROM", "STATE", "VERSION", "CALLS", "ERRORS", "MEAN", "MAX", "MEMORY", "REASON"]
    version = {p["name"]: p.get("hash") for p in site.api("/v1/plugins")["items"]}
    assert len(version["loose"]) >= 8 and version["loose"] in rows["loose"].split() and version["tenant"] in rows["tenant"].split()
    assert list(rows) == ["NAME", "bad", "loose", "tenant"]
    assert rows["bad"].split()[2] == "Broken" or "Broken" in rows["bad"]
    assert "plugin.lua:1: unexpected symbol" in rows["bad"]
    assert "Active" in rows["loose"] and str(folder / "loose.lua") in rows["loose"]
    assert f"plugins/{NS}/tenant" in rows["tenant"] and "Active" in rows["tenant"]
    assert ask("get", "plugins", "loose", "--no-headers").stdout.split()[0] == "loose"
    done = ask("get", "plugin", "nobody")
    assert done.returncode == 1 and "nothing found" in done.stderr
    # The documents as any other kind's.
    assert ask("get", "plugins", "-o", "name").stdout == f"plugins/{NS}/tenant\n"
    said = ask("describe", "plugin", "tenant").stdout
    assert "State:     Active\n" in said and "limit 4096\n" in said
    assert "shape_route: 2 calls, 1 errors, 0 of them breaches" in said
    assert "shape_route: plugin.lua:7: no bad\n    stack traceback:\n" in said and "in local 'deep'" in said
    assert ask("describe", "plugin", "nobody").returncode == 1
    assert site.metric("solder_plugin_calls_total", plugin="tenant", hook="shape_route") == 2
    assert site.metric("solder_plugin_errors_total", plugin="tenant", hook="shape_route") == 1
    assert site.metric("solder_plugin_state", plugin="bad", state="Broken") == 1
    assert 0 < site.metric("solder_plugin_memory_bytes", plugin="tenant") < 4 << 20
    # One that breaches its ceilings is seen to rest.
    site.write("vs.yaml", *[use({"name": "x", "loop": True}, name=f"l{i}", domain=f"l{i}.example") for i in range(3)])
    eventually(lambda: "Suspended" in ask("get", "plugins", "tenant").stdout)
    said = ask("describe", "plugin", "tenant").stdout
    assert "State:     Suspended\n" in said and "Retry:     within " in said
    assert "Reason:    it is suspended for 30 s after 2 breaches of its ceilings" in said
    assert site.metric("solder_plugin_state", plugin="tenant", state="Suspended") == 1
    # A new version that does not load leaves the old one, and is seen.
    (folder / ".new").write_text("return 1")
    (folder / ".new").rename(folder / "loose.lua")
    eventually(lambda: "Active (last good)" in ask("get", "plugins", "loose").stdout)
    assert "it must return a table" in ask("get", "plugins", "loose").stdout


def test_a_document_for_one_that_leaves_the_folder(site):
    folder = site.dir / "plugins"
    folder.mkdir()

    def put(text):
        (folder / ".new").write_text(text)
        (folder / ".new").rename(folder / "tenant.lua")
    seen = lambda a: a.status == 200 and a.json["headers"].get("x-tenant")
    put(TENANT)
    site.upstream()
    site.write("plugin.yaml", plugin({"config": {"name": "doc"}}))
    site.write("vs.yaml", use({}))
    site.start("--plugins", folder)
    assert seen(site.ask("/")) == ["doc"]
    # A new version of the file, with what the document says.
    put(TENANT.replace("value = conf.name", "value = conf.name .. 2", 1))
    site.wait_answer(lambda a: seen(a) == ["doc2"])
    # Without the file the last version goes on, and the document says why; so does one that does not load.
    (folder / "tenant.lua").unlink()
    site.wait_state("Plugin", "tenant", "Rejected", "SLD0711")
    assert "there is no plugin tenant in the folder" in "\n".join(site.findings("Plugin", "tenant"))
    assert seen(site.ask("/")) == ["doc2"]
    put(TENANT)
    site.wait_state("Plugin", "tenant", "Accepted")
    site.wait_answer(lambda a: seen(a) == ["doc"])
    # Without the document the file alone counts: the configuration lacks what the document said.
    site.remove("plugin.yaml")
    site.wait_state("VirtualService", "shop", "Rejected", "SLD0105")
