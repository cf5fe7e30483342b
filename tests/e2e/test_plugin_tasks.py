"""What tasks of plugins ask the servers that Solder knows, and what plugins keep."""

from harness import NS, doc, eventually, route, to, vs

# Follows a key of Consul, and shows what else it has in labels; counts its runs in what it keeps.
FINDER = """
local s = require "solder.schema"
local kv = require "solder.kv"
return {
  api = 1, name = "finder", version = "1", needs = {"consul", "kv", "secrets", "vault"},
  schema = s.record{word = s.secret_ref{required = true}},
  discover = function(conf, d)
    local runs = tostring(assert(kv.incr("runs")))
    local index
    while true do
      local entries, now = d.consul.kv("app/", {index = index, wait = "30s"})
      if not entries then error(now, 0) end
      index = now
      local answer = assert(d.vault.read("secret/data/app"))
      local endpoints = {}
      for i, e in ipairs(entries) do endpoints[i] = e.value end
      d.publish{upstreams = {found = {endpoints = endpoints, labels = {
        word = tostring(conf.word) .. #conf.word:value(), vault = answer.data.data.user, runs = runs}}}}
    end
  end,
}
"""


def secret(word):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "word", "namespace": NS}, "stringData": {"word": word}}


def test_tasks_ask_consul_and_vault_and_keep_what_they_know(make_site, make_consul, make_vault):
    consul, vault, site = make_consul(acl=True), make_vault(), make_site()
    folder = site.dir / "plugins"
    folder.mkdir()
    (folder / "finder.lua").write_text(FINDER)
    a, b = site.upstream("a", publish=False), site.upstream("b", publish=False)
    consul.put("app/one", f"127.0.0.1:{a.port}")
    vault.kv("app", {"user": "ada"})
    site.write("settings.yaml", doc("Settings", "default", {
        "consul": {"httpAddress": f"127.0.0.1:{consul.port}", "token": consul.token},
        "vaultSecretSource": {"address": f"http://{vault.address}", "accessToken": vault.token}}))
    site.write("word.yaml", secret("hush"))
    site.write("plugin.yaml", {
        "apiVersion": "solder.dev/v1", "kind": "Plugin", "metadata": {"name": "finder", "namespace": NS},
        "spec": {"needs": ["consul", "kv", "secrets", "vault"], "config": {"word": {"name": "word", "namespace": NS}}}})
    site.write("vs.yaml", vs("shop", "*", [route("/", to("found"))]))
    site.start("--plugins", folder)
    site.wait_answer(lambda x: x.status == 200 and x.json["name"] == "a")

    def labels():
        return site.object("Upstream", "found")["object"]["metadata"]["labels"]

    assert {k: labels()[k] for k in ("word", "vault", "runs")} == {"word": "***4", "vault": "ada", "runs": "1"}
    # A blocking query: the change comes at once.
    consul.put("app/one", f"127.0.0.1:{b.port}")
    site.wait_answer(lambda x: x.status == 200 and x.json["name"] == "b")
    # The secret is another one: the task begins anew with it.
    site.write("word.yaml", secret("longer"))
    eventually(lambda: labels()["word"] == "***6" and labels()["runs"] == "2")
    eventually(lambda: site.metric("solder_plugin_published_upstreams", plugin="finder") == 1)
    # What it keeps lasts over an end of everything.
    site.kill()
    site.start("--plugins", folder)
    eventually(lambda: labels()["runs"] == "3")
    assert "hush" not in site.log_text() and consul.token not in site.log_text()
