"""What an author of plugins does at a shell, with no server and no container."""

import html.parser
import json
import re

import pytest

from harness import cli

DOC = """apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: shop, namespace: gloo-system}
spec:
  virtualHost:
    domains: ["*"]
    routes:
    - matchers: [{prefix: /a}]
      directResponseAction: {status: 200}
      options:
        extensions:
          configs:
            tenant: {value: hello}
    - matchers: [{prefix: /}]
      directResponseAction: {status: 200}
"""


@pytest.fixture
def made(tmp_path):
    assert cli("plugin", "new", "tenant", cwd=tmp_path).returncode == 0
    (tmp_path / "config").mkdir()
    (tmp_path / "config/vs.yaml").write_text(DOC)
    return tmp_path


def test_new_makes_a_plugin_that_is_right(tmp_path):
    done = cli("plugin", "new", "sub/tenant", cwd=tmp_path)
    assert done.returncode == 1 and "sub/tenant" in done.stderr
    done = cli("plugin", "new", "tenant", cwd=tmp_path)
    files = ["tenant/plugin.lua", "tenant/README.md", "tenant/spec/plugin_spec.lua", "tenant/.luarc.json"]
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, files, "")
    assert '$' not in "".join((tmp_path / f).read_text() for f in files)
    assert (tmp_path / "tenant/plugin.lua").read_text().endswith("\n} --[[@as solder.Plugin]]\n")  # for editors
    done = cli("plugin", "check", "tenant", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert cli("plugin", "check", cwd=tmp_path / "tenant").returncode == 0
    # What is there stays.
    (tmp_path / "tenant/plugin.lua").write_text("mine")
    done = cli("plugin", "new", "tenant", cwd=tmp_path)
    assert done.returncode == 1 and "is there already" in done.stderr
    assert (tmp_path / "tenant/plugin.lua").read_text() == "mine"
    for name in "Tenant", "9x", "a_b", "-a", "a" * 64, ".":
        done = cli("plugin", "new", "--", name, cwd=tmp_path)
        assert done.returncode == 2 and "a plugin's name is made of" in done.stderr, name


def test_check_names_file_and_line(made):
    plugin = made / "tenant/plugin.lua"
    good = plugin.read_text()
    line = next(n for n, text in enumerate(good.splitlines(), 1) if "table.insert" in text)
    plugin.write_text(good.replace("conf.value", "conf.valeu"))
    done = cli("plugin", "check", "tenant", cwd=made)
    assert done.returncode == 1
    assert done.stdout == (f"tenant/plugin.lua:{line}: error: the schema has no field 'valeu', so it is nil here; "
                           "did you mean value?\n")
    plugin.write_text(good.replace("  end,\n}", "}"))
    done = cli("plugin", "check", "./tenant/", cwd=made)
    assert done.returncode == 1 and "tenant/plugin.lua:" in done.stdout and "unexpected symbol near '}'" in done.stdout
    line = next(n for n, text in enumerate(good.splitlines(), 1) if "value = s.string" in text)
    plugin.write_text(good.replace("max = 200", "max = 'many'"))
    done = cli("plugin", "check", "tenant", cwd=made)
    assert (done.returncode, done.stdout) == (1, f"tenant/plugin.lua:{line}: error: schema: value: max must be a number\n")
    assert cli("plugin", "check", "nothing", cwd=made).returncode == 2
    assert cli("plugin", "check", "config", cwd=made).returncode == 2  # no plugin.lua
    plugin.write_text(good)
    assert cli("plugin", "check", "tenant", "nothing", cwd=made).returncode == 2


def test_doc_is_made_of_the_schema(made):
    done = cli("plugin", "doc", "tenant", cwd=made)
    assert done.returncode == 0
    assert done.stdout.startswith("# tenant\n\nAdds a header to the requests of a route.\n\nVersion 0.1.0.\n")
    assert "- `value` (string, at most 200, required): What it says. Example: `\"hello\"`." in done.stdout
    schema = json.loads(cli("plugin", "doc", "--schema", "tenant", cwd=made).stdout)
    assert schema["required"] == ["value"] and schema["properties"]["header"]["default"] == "x-tenant"
    (made / "tenant/plugin.lua").write_text("return 1")
    done = cli("plugin", "doc", "tenant", cwd=made)
    assert done.returncode == 1 and "it must return a table" in done.stderr


def test_library_has_a_manual_and_definitions(tmp_path):
    manual = cli("plugin", "doc", "--library", cwd=tmp_path)
    assert manual.returncode == 0 and manual.stdout.startswith("# The library of plugins\n")
    names = [line[len("## solder."):] for line in manual.stdout.splitlines() if line.startswith("## solder.")]
    assert "json" in names and "jwt" in names
    # Definitions for editors: one file a module, beside a new plugin too, where no plugin is seen in them.
    done = cli("plugin", "doc", "--luals", "defs", cwd=tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, [f"defs/solder/{n}.lua" for n in [*names, "plugin"]])
    of_plugins = (tmp_path / "defs/solder/plugin.lua").read_text()
    for line in ("---@field authorize? fun(conf: table, req: solder.plugin.Request): boolean?", "---@class envoy.config.route.v3.Route",
                 "---@field request_headers_to_add (envoy.config.core.v3.HeaderValueOption)[]", "function Request:deny(answer) end",
                 "---@field timeout? string|number"):
        assert f"\n{line}\n" in of_plugins, line
    assert cli("plugin", "new", "tenant", cwd=tmp_path).returncode == 0
    for name in names:
        text = (tmp_path / f"defs/solder/{name}.lua").read_text()
        assert text.startswith(f"---@meta solder.{name}\n") and text.endswith("\nreturn M\n")
        assert (tmp_path / f"tenant/.luals/solder/{name}.lua").read_text() == text
    assert json.loads((tmp_path / "tenant/.luarc.json").read_text())["workspace.library"] == [".luals"]
    assert cli("plugin", "check", "tenant", cwd=tmp_path).returncode == 0
    assert cli("plugin", "test", "tenant", cwd=tmp_path).returncode == 0
    (tmp_path / "file").write_text("")
    done = cli("plugin", "doc", "--luals", "file", cwd=tmp_path)
    assert done.returncode == 1 and "file/solder" in done.stderr


def test_the_manual_is_true(tmp_path):
    """Each hook's example is a plugin without mistakes, whose spec in the manual passes."""
    manual = cli("plugin", "doc", "--library", cwd=tmp_path).stdout
    hooks = re.findall(r"^### (\w+)\(conf[^\n]*\n\n.*?```lua\n(.*?)\n```.*?```lua\n(.*?)\n```", manual[manual.index("## Hooks"):], re.M | re.S)
    known = {"authorize", "check", "discover", "extra", "log", "secret", "shape_destination", "shape_listener", "shape_route", "shape_upstream",
             "shape_virtual_host", "transform_request", "transform_response"}
    assert {name for name, *_ in hooks} >= known
    for name, text, spec in hooks:
        folder = tmp_path / name / "example"
        (folder / "spec").mkdir(parents=True)
        (folder / "plugin.lua").write_text(text + "\n")
        (folder / "spec/plugin_spec.lua").write_text(spec + "\n")
        assert f"{name} = function(" in text
        done = cli("plugin", "check", folder)
        assert done.returncode == 0, (name, done.stdout, done.stderr)
        done = cli("plugin", "test", folder)
        assert done.returncode == 0 and "1 passed, 0 failed" in done.stdout, (name, done.stdout, done.stderr)
    # Ceilings are those of documents.
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", manual[manual.index("## Ceilings"):], re.M)
    assert len(rows) > 10
    spec = {"inline": "return {api = 1, name = 'x'}", "limits": {name: int(v) if v.isdigit() else v for name, v in rows}}
    (tmp_path / "doc.json").write_text(json.dumps({"apiVersion": "solder.dev/v1", "kind": "Plugin", "metadata": {"name": "x"}, "spec": spec}))
    done = cli("check", tmp_path / "doc.json")
    assert done.returncode == 0, (done.stdout, done.stderr)


def test_the_manual_in_html(tmp_path):
    """One page that needs nothing else, with all that the other form says."""
    class Page(html.parser.HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.text, self.ids, self.links, self.codes = [], [], set(), set(), []

        def handle_starttag(self, tag, attrs):
            attrs = dict(attrs)
            if tag != "meta":
                self.open.append(tag)
            self.ids |= {attrs["id"]} if "id" in attrs else set()
            self.links |= {attrs["href"]} if "href" in attrs else set()
            assert not {"src", "onclick"} & set(attrs) and tag not in ("script", "link", "img"), tag
            if tag == "pre":
                self.codes.append("")

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

        def handle_data(self, data):
            self.text.append(data)
            if "pre" in self.open:
                self.codes[-1] += data

    page = Page()
    page.feed(cli("plugin", "doc", "--library", "--html").stdout)
    assert page.open == []
    manual = cli("plugin", "doc", "--library").stdout
    codes = re.findall(r"```lua\n(.*?)\n```", manual, re.S)
    assert len(codes) > 80 and all(c in page.codes for c in codes)
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", manual, flags=re.S), re.M)
    assert len(titles) > 100 and all(t in page.text for t in titles)
    assert page.links == {f"#{i}" for i in page.ids} and "#solder.jwt" in page.links
    assert cli("plugin", "doc", "--html").returncode == 2


def test_check_knows_the_library(made):
    plugin = made / "tenant/plugin.lua"
    plugin.write_text(plugin.read_text().replace("\nreturn {", "\nlocal json = require 'solder.json'\nreturn {", 1).replace(
        "    table.insert(", "    local x = json.decod(conf.value)\n    table.insert("))
    line = next(n for n, text in enumerate(plugin.read_text().splitlines(), 1) if "decod(" in text)
    done = cli("plugin", "check", "tenant", cwd=made)
    assert (done.returncode, done.stdout) == (
        1, f"tenant/plugin.lua:{line}: error: solder.json has no 'decod'; did you mean decode?\n")


def test_run_shows_what_the_plugin_changes(made):
    done = cli("plugin", "run", "tenant", "config", cwd=made)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "rds listener-::-8080-routes for gloo-system~gateway-proxy is changed\n"
        '  + virtualHosts[0].routes[0].requestHeadersToAdd[0]: {"header":{"key":"x-tenant","value":"hello"}}\n')
    assert done.stderr == "1 resources differ\n"
    done = cli("plugin", "run", "-o", "json", "tenant", "config", cwd=made)
    [one] = json.loads(done.stdout)
    assert (one["type"], one["what"]) == ("rds", "changed") and one["changes"][0]["path"].endswith("requestHeadersToAdd[0]")
    # A document that the plugin does not like: its finding, and the exit code.
    (made / "config/vs.yaml").write_text(DOC.replace("value: hello", "valeu: hello"))
    done = cli("plugin", "run", "tenant", "config", cwd=made)
    assert done.returncode == 1 and 'did you mean "value"' in done.stderr
    assert "config/vs.yaml:13:22: error SLD0101" in done.stderr
    # Nothing of it: nothing differs.
    (made / "config/vs.yaml").write_text(DOC.split("      options:")[0])
    done = cli("plugin", "run", "tenant", "config", cwd=made)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "0 resources differ\n")
    (made / "tenant/plugin.lua").write_text("return {")
    done = cli("plugin", "run", "tenant", "config", cwd=made)
    assert done.returncode == 1 and "plugin.lua:1:" in done.stderr


def test_run_is_of_the_plugin_at_hand(made):
    # Also where the folder has one of its name, and where a document declares it.
    (made / "folder").mkdir()
    (made / "folder/tenant.lua").write_text("return {api = 1, name = 'tenant'}")
    (made / "config/plugin.yaml").write_text(
        "apiVersion: solder.dev/v1\nkind: Plugin\nmetadata: {name: tenant, namespace: gloo-system}\nspec: {config: {header: x-doc}}\n")
    done = cli("plugin", "run", "--plugins", "folder", "tenant", "config", cwd=made)
    assert done.returncode == 0 and '"key":"x-doc","value":"hello"' in done.stdout, done.stderr
    done = cli("plugin", "run", "tenant", "config", cwd=made)
    assert done.returncode == 0 and "x-doc" in done.stdout, done.stderr


def test_help_and_completion_know_the_commands():
    for words in ("plugin", "--help"), ("help", "plugin"):
        done = cli(*words)
        assert done.returncode == 0 and "  new  " in done.stdout and "  check  " in done.stdout
    for words in ("plugin", "run", "--help"), ("help", "plugin", "run"):
        done = cli(*words)
        assert done.returncode == 0 and done.stdout.startswith("solder plugin run [FLAGS] DIR PATH...")
    done = cli("plugin")
    assert done.returncode == 2 and "plugin needs a command" in done.stderr
    done = cli("plugin", "nwe")
    assert done.returncode == 2 and "there is no command plugin nwe" in done.stderr
    done = cli("plugin", "new")
    assert done.returncode == 2 and "usage: solder plugin new" in done.stderr
    lines = {l.split('"')[1]: l for l in cli("completion", "bash").stdout.splitlines() if l.strip().startswith('"plugin')}
    assert " new" in lines["plugin"] and " --output" in lines["plugin run"]
