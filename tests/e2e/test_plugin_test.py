"""solder plugin test: what specs can say, what their failures tell, and what they cannot do."""

import os
import re
import subprocess
import xml.etree.ElementTree

import pytest

from harness import ROOT, SOLDER, cli, eventually, route, to, vs

PLUGIN = """local s = require "solder.schema"
local words = require "lib.words"
return {
  api = 1, name = "tenant",
  schema = s.record{value = s.string{required = true}, off = s.boolean{}},
  shape_route = function(conf, route)
    if conf.off then
      route.name = "off"
      return
    end
    table.insert(route.request_headers_to_add, {header = {key = "x-tenant", value = words.upper(conf.value)}})
  end,
}
"""

WORDS = """local M = {}
function M.upper(s)
  return s:upper()
end
function M.lower(s)
  return s:lower()
end
return M
"""

HELPER = """local M = {}
function M.shop(conf)
  return [[
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: shop, namespace: gloo-system}
spec:
  virtualHost:
    domains: ["*"]
    routes:
    - matchers: [{prefix: /}]
      directResponseAction: {status: 200}
      options:
        extensions:
          configs:
            tenant: ]] .. conf
end
return M
"""


@pytest.fixture
def tenant(tmp_path):
    folder = tmp_path / "tenant"
    for path, text in ("plugin.lua", PLUGIN), ("lib/words.lua", WORDS), ("spec/helper.lua", HELPER):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def spec(folder, body, name="tenant"):
    """BODY stands from line 3 on."""
    (folder / f"spec/{name}_spec.lua").write_text(
        'local t = require "solder.test"\nlocal shop = require("spec.helper").shop\n' + body)


def run(folder, *flags):
    done = cli("plugin", "test", folder, *flags)
    assert "Traceback" not in done.stderr
    return done


def results(done):
    """[(ok, name, words of the failure)]"""
    out = []
    for line in done.stdout.splitlines():
        m = re.fullmatch(r"(ok  |FAIL) (.*) \(\d+\.\d ms\)", line)
        if m:
            out.append([m.group(1) == "ok  ", m.group(2), ""])
        elif out and line.startswith("     "):
            out[-1][2] += line[5:]
        elif out and line.startswith("  "):
            out[-1][2] += line
    return [tuple(o) for o in out]


def test_it_runs_what_the_plugin_does(tenant):
    spec(tenant, """
local words = require "lib.words"
local log = ""
t.before_each(function() log = log .. "a" end)
t.describe("shaping", function()
  t.before_each(function() log = log .. "b" end)
  t.it("adds a header", function()
    local route = t.expect_xds(shop "{value: acme}", "rds", {virtual_hosts = {{routes = t.has{request_headers_to_add = {
      {header = {key = "x-tenant", value = "ACME"}}}}}}})
    t.equal(route["@type"], nil)
    t.expect_no_findings(shop "{value: acme}")
    t.equal(log, "ab")
  end)
  t.describe("off", function()
    t.it("does nothing", function()
      local all = t.translate(shop "{value: acme, off: true}")
      t.expect_xds(all, "rds", "listener-::-8080-routes", {virtualHosts = {{routes = {{name = "off"}}}}})
      t.equal(log, "abab")
    end)
  end)
end)
t.it("stands alone", function()
  t.equal(log, "ababa")
  t.expect_finding(shop "{}", "SLD0105 error: VirtualService gloo-system.shop: virtualHost.routes[0].options.extensions.configs.tenant.value: value must be set")
  t.equal(words.upper("x"), "X")
end)
""")
    done = run(tenant)
    assert results(done) == [(True, "shaping adds a header", ""), (True, "shaping off does nothing", ""),
                             (True, "stands alone", "")], done.stdout
    assert done.returncode == 0 and done.stdout.splitlines()[-1].startswith("3 passed, 0 failed in ")
    # What the plugin does differently now is noticed, with the place of the spec and of the difference.
    (tenant / "lib/words.lua").write_text(WORDS.replace("s:upper()", "s"))
    done = run(tenant)
    assert done.returncode == 1
    ok, name, words = results(done)[0]
    assert not ok and words.startswith("spec/tenant_spec.lua:10: rds listener-::-8080-routes.virtual_hosts[1].routes: no element of ")
    assert "like { request_headers_to_add =" in words
    assert results(done)[1][0]


@pytest.mark.parametrize("body, words", [
    ("t.equal({a = {1, 2}, b = 1}, {a = {1, 3}, b = 1})", "a[2]: 2 instead of 3"),
    ("t.equal({a = 1}, {a = 1, b = 2})", "b: nil instead of 2"),
    ("t.equal({a = 1, b = 2}, {a = 1})", "b: 2 instead of nil"),
    ("t.equal(1, '1')", '1 instead of "1"'),
    ("t.matches('abc', '^b')", '"abc" does not match "^b"'),
    ("t.matches(nil, '^b')", "a nil instead of a text"),
    ("t.raises(function() end)", "no error was raised"),
    ("t.raises(function() error('this') end, 'that')", "this\", without \"that\""),
    ("t.expect_xds(shop '{value: x}', 'rds', {virtual_hosts = {}}) t.expect_xds(shop '{value: x}', 'rds', {virtual_hosts = {1, 2}})",
     "rds listener-::-8080-routes.virtual_hosts: 1 elements instead of 2"),
    ("t.expect_xds(shop '{value: x}', 'rds', {virtual_hosts = {{domains = {'a'}}}})", 'virtual_hosts[1].domains[1]: "*" instead of "a"'),
    ("t.expect_xds(shop '{value: x}', 'rds', 'other', {})", "there is no rds other; there are "),
    ("t.expect_xds('', 'cds', {})", "there is no cds; there are "),
    ("t.expect_finding(shop '{value: x}', 'broken')", 'no finding has "broken"; there is none at all'),
    ("t.expect_finding(shop '{}', 'broken')", "value must be set"),
    ("t.expect_no_findings(shop '{}')", "value must be set"),
    ("t.translate('a: [')", None),  # no error of the test: a finding of the documents
    ("t.translate(nil)", "documents are a text, not a nil"),
    ("t.it('inner', function() end)", "it cannot be called while a test runs"),
    ("local x = {} x.a.b = 1", "attempt to index a nil value (field 'a')"),
    ("error({})", "(the error is a table)"),
    ("io.open('/etc/passwd')", "there is no global 'io' in plugins"),
    ("os.execute('true')", "there is no global 'os' in plugins"),
    ("require('other')", "module 'other' must be required while the plugin loads"),
    ("x = 1", "cannot be set"),
    ("while true do end", "more than 50000000 steps"),
    ("local s = 'x' while true do s = s .. s end", "not enough memory"),
    ("pcall(function() while true do end end)", "more than 50000000 steps"),
])
def test_failures_tell_where_and_what(tenant, body, words):
    spec(tenant, f"\nt.it('first', function()\n  {body}\nend)\nt.it('second', function() end)\n")
    done = run(tenant)
    first, second = results(done)
    assert second == (True, "second", "")
    assert first[0] == (words is None), done.stdout
    if words:
        assert words in first[2] and done.returncode == 1
        assert first[2].startswith("spec/tenant_spec.lua:5: ") or words in ("not enough memory", "(the error is a table)")


def test_files_do_not_see_each_other(tenant):
    spec(tenant, "t.it('one', function() shop = nil t.equal(tostring, tostring) end)", "a")
    spec(tenant, "t.it('two', function() t.matches(shop '{}', 'tenant') end)", "b")
    spec(tenant, "t.it(", "c")
    spec(tenant, "t.describe('x')", "d")
    done = run(tenant)
    assert [r[:2] for r in results(done)] == [(True, "one"), (True, "two"), (False, "(the file does not load)"),
                                              (False, "(the file does not load)")]
    assert results(done)[2][2].startswith("spec/c_spec.lua:3: unexpected symbol")
    assert results(done)[3][2] == "spec/d_spec.lua:3: describe takes a name and a function"
    assert done.returncode == 1


def test_snapshots(tenant):
    spec(tenant, """
t.it("Makes a thing!", function() t.snapshot({b = {1, 2}, a = "x"}) end)
t.it("named", function() t.snapshot("one\\ntwo", "two lines") end)
""")
    shots = tenant / "spec/snapshots"
    done = run(tenant)
    assert done.returncode == 1 and not shots.exists()
    assert results(done)[0][2] == ("spec/tenant_spec.lua:4: there is no spec/snapshots/makes-a-thing.txt yet; "
                                   "solder plugin test --update takes it")
    assert run(tenant, "--update").returncode == 0
    assert (shots / "makes-a-thing.txt").read_text() == '{\n  a = "x",\n  b = {\n    1,\n    2\n  }\n}\n'
    assert (shots / "two-lines.txt").read_text() == "one\ntwo\n"
    assert run(tenant).returncode == 0
    (shots / "two-lines.txt").write_text("one\n2\n")
    done = run(tenant)
    assert results(done)[0][0] and results(done)[1][2] == (
        "spec/tenant_spec.lua:5: it differs from spec/snapshots/two-lines.txt at line 2: \"two\" instead of \"2\"; "
        "solder plugin test --update takes it anew")
    assert run(tenant, "--update").returncode == 0 and run(tenant).returncode == 0
    assert sorted(p.name for p in shots.iterdir()) == ["makes-a-thing.txt", "two-lines.txt"]


def test_coverage_counts_all_states(tenant):
    spec(tenant, "t.it('shapes', function() t.expect_no_findings(shop '{value: x}') end)")
    done = run(tenant, "--coverage")
    lines = dict(l.split("% ")[1].split("  not run: ") if "not run" in l else (l.split("% ")[1], "")
                 for l in done.stdout.splitlines() if "% " in l and ".lua" in l)
    assert lines == {"lib/words.lua": "6", "plugin.lua": "8-9"}, done.stdout
    assert " 84.2% of 19 lines ran\n" in done.stdout
    spec(tenant, "local w = require 'lib.words'\n"
                 "t.it('shapes', function() t.translate(shop '{value: x, off: true}') w.lower('x') end)")
    done = run(tenant, "--coverage")
    assert "lib/words.lua  not run: 3\n" in done.stdout and "plugin.lua  not run: 11\n" in done.stdout


def test_filter_and_junit(tenant, tmp_path):
    spec(tenant, "t.describe('a <b>', function() t.it('x', function() end) t.it('y', function() error('no & \"no\"') end) end)")
    done = run(tenant, "--filter", "b> x", "--junit", tmp_path / "out.xml")
    assert done.returncode == 0 and results(done) == [(True, "a <b> x", "")]
    suite = xml.etree.ElementTree.parse(tmp_path / "out.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")
    done = run(tenant, "--junit", tmp_path / "out.xml")
    suite = xml.etree.ElementTree.parse(tmp_path / "out.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1") and done.returncode == 1
    case = suite.findall("testcase")[1]
    assert (case.get("classname"), case.get("name")) == ("spec/tenant_spec.lua", "a <b> y")
    assert case.find("failure").get("message") == 'spec/tenant_spec.lua:3: no & "no"'
    done = run(tenant, "--filter", "nothing")
    assert done.returncode == 1 and "there is no test whose name has nothing" in done.stderr
    assert run(tenant, "--junit", tmp_path / "none/out.xml").returncode == 2


def test_what_cannot_be_run(tenant, tmp_path):
    done = run(tenant)
    assert done.returncode == 2 and "has no spec/*_spec.lua" in done.stderr
    spec(tenant, "t.it('x', function() end)")
    (tenant / "plugin.lua").write_text("return {")
    done = run(tenant)
    assert done.returncode == 1 and "plugin.lua:1: unexpected symbol" in done.stderr and "solder plugin check" in done.stderr
    assert run(tmp_path / "nothing").returncode == 2


def test_what_new_makes_passes(tmp_path):
    assert cli("plugin", "new", "a-name", cwd=tmp_path).returncode == 0
    done = cli("plugin", "test", "--coverage", cwd=tmp_path / "a-name")
    assert done.returncode == 0 and "100.0% plugin.lua\n" in done.stdout, done.stdout + done.stderr


def test_the_guide_is_true(site):
    """lua/README.md, line by line."""
    block = (ROOT / "lua/README.md").read_text().split("in five minutes**")[1].split("\n\n", 1)[1].split("\n\n")[0]
    lines = [line.split("#")[0].strip() for line in block.splitlines()]
    assert lines[0] == "solder plugin new tenant" and lines[-1] == "solder run --plugins .. --config DIR --envoy"
    site.upstream()
    site.write("vs.yaml", vs("shop", "*", [route("/", to("echo"), {"extensions": {"configs": {"tenant": {"value": "hello"}}}})]))
    folder = site.dir / "plugins"
    folder.mkdir()
    script = "set -e\n" + "\n".join(lines[:-1]).replace("DIR", str(site.config))
    done = subprocess.run(["bash", "-c", script], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, "PATH": f"{SOLDER.parent}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stdout
    assert "2 passed, 0 failed" in done.stdout and '"key":"x-tenant","value":"hello"' in done.stdout
    site.start("--plugins", folder)
    assert site.ask("/").json["headers"]["x-tenant"] == ["hello"]


def test_the_first_plugin_in_five_minutes(tmp_path, default_ports):
    """examples/plugin/README.md, word for word: what stands behind a block is what it prints, in the end."""
    page = (ROOT / "examples/plugin/README.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", page, re.S | re.M)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/envoy").symlink_to(os.environ["SLD_ENVOY"])
    env = {**os.environ, "PATH": f"{SOLDER.parent}:{tmp_path}/bin:{os.environ['PATH']}", "SOLDER_STATE_DIR": str(tmp_path / "state"),
           "SOLDER_LOG_LEVEL": "error"}
    server = None

    def printed(script):
        return subprocess.run(["bash", "-c", script], cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              text=True, timeout=60).stdout

    try:
        for script, expected in blocks:
            if script.startswith("solder run "):
                server = subprocess.Popen(["bash", "-c", f"exec {script}"], cwd=tmp_path, env=env, stdin=subprocess.DEVNULL)
                continue
            said = printed(script)
            # What a server has to notice first is asked for again; an edit of a file is made once.
            asking = "".join(line for line in script.splitlines(True) if line.startswith(("curl ", "solder describe ")))
            if asking and said != expected:
                eventually(lambda: printed(asking) == expected, 30)
            elif "plugin new" not in script:
                assert said == expected, script
        assert server and server.poll() is None
    finally:
        if server:
            server.terminate()
            server.wait(30)
