"""Plugins as a user has them: a folder beside the configuration, edited while it runs."""

from harness import cli, eventually, route, to, vs

TENANT = """
local s = require "solder.schema"
return {
  api = 1, name = "tenant", version = "1",
  schema = s.record{ header = s.header_name{default = "x-tenant"}, name = s.string{required = true, max = 20} },
  shape_route = function(conf, route)
    table.insert(route.request_headers_to_add, {header = {key = conf.header, value = conf.name}})
  end,
}
"""


def configured(conf, prefix="/"):
    return vs("shop", "*", [route(prefix, to("echo"), {"extensions": {"configs": {"tenant": conf}}})])


def seen(answer, header="x-tenant"):
    return answer.json["headers"].get(header)


def plugin(folder, text):
    folder.mkdir(exist_ok=True)
    new = folder / ".new"
    new.write_text(text)
    new.rename(folder / "tenant.lua")


def test_a_plugin_shapes_routes_and_is_edited_live(site):
    folder = site.dir / "plugins"
    plugin(folder, TENANT)
    site.upstream()
    site.write("vs.yaml", configured({"name": "acme"}))
    site.start("--plugins", folder)
    assert seen(site.ask("/")) == ["acme"]
    # A wrong configuration is an error where it stands, and the last accepted one goes on.
    site.write("vs.yaml", configured({"name": "acme", "heder": "x-who"}))
    site.wait_state("VirtualService", "shop", "Rejected", "SLD0101")
    said = "\n".join(site.findings("VirtualService", "shop"))
    assert "options.extensions.configs.tenant.heder" in said and 'did you mean "header"' in said
    assert seen(site.ask("/")) == ["acme"]
    site.write("vs.yaml", configured({"name": "acme", "header": "x-who"}))
    site.wait_answer(lambda a: seen(a, "x-who") == ["acme"])
    # A new version.
    plugin(folder, TENANT.replace("value = conf.name", 'value = "v2-" .. conf.name'))
    site.wait_answer(lambda a: seen(a, "x-who") == ["v2-acme"])
    # One that does not load: the old one goes on, and the log says why.
    plugin(folder, "return {")
    eventually(lambda: any("plugin.lua:1" in e["error"] for e in site.events("plugin_refused")))
    site.write("other.yaml", vs("other", "other.example", [route("/", to("echo"))]))
    site.wait_answer(200, host="other.example")
    assert seen(site.ask("/"), "x-who") == ["v2-acme"]
    # One whose hook fails or never ends costs its route only.
    plugin(folder, TENANT.replace("table.insert", "while true do end table.insert"))
    site.wait_state("VirtualService", "shop", "Rejected", "SLD0712")
    assert "more than 5000000 steps" in "\n".join(site.findings("VirtualService", "shop"))
    site.wait_answer(lambda a: a.status != 200)
    assert site.ask("/", host="other.example").status == 200
    plugin(folder, TENANT)
    site.wait_answer(lambda a: a.status == 200 and seen(a, "x-who") == ["acme"])


def test_check_and_translate_know_plugins(tmp_path):
    folder, config = tmp_path / "plugins", tmp_path / "config"
    config.mkdir()
    plugin(folder, TENANT)
    doc = config / "vs.yaml"
    doc.write_text("""apiVersion: gateway.solo.io/v1
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
            tenant:
              name: acme
""")
    done = cli("translate", "--plugins", folder, config)
    assert done.returncode == 0 and "key: x-tenant" in done.stdout and "value: acme" in done.stdout
    assert "x-tenant" not in cli("translate", config).stdout
    doc.write_text(doc.read_text().replace("name: acme", "nam: acme"))
    done = cli("check", "--plugins", folder, config)
    assert done.returncode == 1
    assert "vs.yaml:14:15: error SLD0101" in done.stdout and 'did you mean "name"' in done.stdout
    done = cli("check", "--plugins", tmp_path / "none", config)
    assert done.returncode == 2 and "cannot be read" in done.stderr
