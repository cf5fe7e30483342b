"""Plugins whose code runs in Envoy (runs = "envoy"): the filter, its configurations, errors, and what becomes of it live."""

import re
import json
import shutil

import pytest

import pki
from harness import Connection, Poller, cli, dump, eventually, free_port, gateway, ref, request, route, says, tls_secret, to, vs

PLUGIN = """
local s = require "solder.schema"
return {
  api = 1, name = "gate", version = "1", runs = "envoy",
  request_body = {mode = "buffered", max = "1KiB"},
  schema = s.record{tenants = s.list(s.string{}, {default = {"acme"}}), note = s.string{default = "none"}},
}
"""
EDGE = """
local known = require "lib.known"
return {
  authorize = function(conf, req)
    if req.path == "/deny" then
      req:deny{status = 418, headers = {["x-why"] = "no", ["x-many"] = {"a", "b"}}, body = "no\\n"}
      return true
    elseif req.path == "/false" then
      return false
    elseif req.path == "/loop" then
      pcall(function() while true do end end)
    elseif req.path == "/grow" then
      local t = {}
      while true do t[#t + 1] = ("x"):rep(100000) .. #t end
    elseif req.path == "/field" then
      return req.pth
    elseif req.path == "/conf" then
      conf.tenants[1] = "other"
    elseif req.path == "/next" then
      local key, st = next(req)
      req.headers[st.handle] = key
    elseif req.path == "/next/headers" then
      return next(req.headers) == nil
    elseif req.path == "/next/own" then
      return next({a = "b"}) == "a" and next(conf.tenants) == 1 and next({}) == nil and req:deny{status = 404}
    elseif req.path == "/body" then
      return req.body == "let me in"
    elseif req.path == "/env" then
      string.find = nil
    elseif req.path == "/env/math" then
      math.pi = 3
    elseif req.path == "/env/read" then
      return ("x"):find("x") == 1 and math.pi < 4 and string.find("x", "x") == 1 and table.concat({"a", "b"}) == "ab" and req:deny{status = 404}
    end
    if not known(conf.tenants, req.headers["X-Tenant"]) then
      return req:deny{status = 401}
    end
    req:set_header("x-user", req.query.user or "nobody")
    req:add_header("x-seen", req.method .. " " .. req.path .. " " .. req.host .. " " .. req.scheme .. " " .. req.source)
    req:add_header("x-seen", conf.note)
    req:remove_header("x-tenant")
    req:remove_query("secret")
    req:set_query("a", "1 2&3")
    req:set_response_header("x-by", "gate")
    req:set_metadata("tenant", {name = "acme", n = 3})
  end,
}
"""
# A function that is there for all plugins is not frozen with the local that it is kept in.
KNOWN = """
local ipairs = ipairs
return function(list, name)
  for _, one in ipairs(list) do
    if one == name then return true end
  end
  return false
end
"""
ACME = {"X-Tenant": "acme"}


def put(folder, name, **files):
    """The plugin's folder with its files, each replaced at once."""
    for file, text in files.items():
        path = folder / name / file.replace("__", "/")
        path = path.with_suffix(".lua")
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.parent / ".new"
        new.write_text(text)
        new.rename(path)


def use(conf, name="gate", **more):
    return {"extensions": {"configs": {name: conf, **more}}}


@pytest.fixture
def gate(site):
    folder = site.dir / "plugins"
    put(folder, "gate", edge=EDGE, lib__known=KNOWN, plugin=PLUGIN)
    site.upstream()
    site.plugins = folder
    return site


def start(site, *docs):
    site.write("vs.yaml", *docs)
    site.start("--plugins", site.plugins)


def headers(answer, name):
    return answer.json["headers"].get(name)


def test_authorize_allows_denies_and_edits(gate):
    meta = {"headerManipulation": {"responseHeadersToAdd": [
        {"header": {"key": "x-meta", "value": "%DYNAMIC_METADATA(solder.gate:tenant)%"}}]}}
    start(gate, vs("shop", "*", [route("/open", to("echo")), route("/", to("echo"), {**use({}), **meta})]))
    a = gate.ask("/x/y?secret=1&user=ann%20b&z=2", headers=ACME)
    assert a.status == 200 and a.headers["x-by"] == "gate"
    assert a.json["path"] == "/x/y?user=ann%20b&z=2&a=1%202%263"
    assert json.loads(a.headers["x-meta"]) == {"name": "acme", "n": 3}
    assert headers(a, "x-user") == ["ann b"] and headers(a, "x-tenant") is None
    assert headers(a, "x-seen") == ["GET /x/y x http 127.0.0.1", "none"]
    assert gate.ask("/", headers={"x-tenant": "who"}).status == 401 and gate.ask("/").status == 401
    a = gate.ask("/deny")
    assert (a.status, a.text, a.headers["x-why"], a.headers.get_all("x-many")) == (418, "no\n", "no", ["a", "b"])
    assert "x-by" not in a.headers
    assert gate.ask("/false").status == 403
    assert gate.ask("/open").status == 200
    # Bodies, whole and with a ceiling, of a known length and of none.
    assert gate.ask("/body", method="POST", body="let me in", headers=ACME).json["body"] == "let me in"
    assert gate.ask("/body", method="POST", body="please").status == 403
    assert gate.ask("/body", method="POST", body="x" * 1025).status == 413
    c = Connection(gate.port)
    c.request("POST", "/body", body=iter([b"x" * 1000, b"x" * 25]), headers={"Host": "x"}, encode_chunked=True)
    assert c.getresponse().status == 413
    c.close()


def test_errors_are_answered_and_neighbours_do_not_notice(gate):
    put(gate.plugins, "open", edge='return {authorize = function(conf, req) error("of open") end}',
        plugin='return {api = 1, name = "open", runs = "envoy"}')
    open_ = {"apiVersion": "solder.dev/v1", "kind": "Plugin", "metadata": {"name": "open", "namespace": "gloo-system"},
             "spec": {"onError": "open"}}
    gate.write("open.yaml", open_)
    start(gate, vs("shop", "*", [route("/open", to("echo"), use({}, "open")), route("/", to("echo"), use({}))]))
    with Poller(gate.port, path="/fine", headers=ACME) as p:
        for path in ("/loop", "/grow", "/field", "/conf", "/next", "/next/headers", "/env", "/env/math"):
            a = gate.ask(path, headers=ACME)
            assert (a.status, a.text) == (503, "a plugin failed\n"), path
        assert gate.ask("/open").status == 200
        assert gate.ask("/next/own").status == 404
        assert gate.ask("/env/read").status == 404
        assert gate.ask("/", headers={"x-tenant": "other"}).status == 401  # nobody's configuration changed
        p.more(20)
    p.assert_clean()
    said = gate.log_text()
    assert "plugin gate: authorize: edge.lua:11: more than 5000000 steps" in said
    assert "plugin gate: authorize: edge.lua:14: more than 64 MiB of memory" in said
    assert "edge.lua:16: the request has no 'pth'" in said
    assert "edge.lua:18: the table is read-only" in said
    assert "edge.lua:20: keys that are no numbers and no strings have no order" in said
    assert "edge.lua:23: keys that are no numbers and no strings have no order" in said
    assert "edge.lua:29: the table is read-only" in said and "edge.lua:31: the table is read-only" in said
    assert "plugin open: authorize: edge.lua:1: of open; it goes on without the plugin" in said


def test_a_route_has_its_own_configuration_and_the_listener_stays(gate):
    def shop(note):
        return vs("shop", "*", [route("/own", to("echo"), use({"tenants": ["own"], "note": note})),
                                route("/", to("echo"))], options=use({}))
    start(gate, shop("first"))
    assert gate.ask("/", headers=ACME).status == 200 and gate.ask("/").status == 401
    assert gate.ask("/own", headers=ACME).status == 401
    own = {"x-tenant": "own"}
    assert headers(gate.ask("/own", headers=own), "x-seen")[1] == "first"
    before = {n: r["version"] for n, r in gate.xds("lds").items()}
    gate.write("vs.yaml", shop("second"))
    gate.wait_answer(lambda a: headers(a, "x-seen")[1] == "second", "/own", headers=own)
    assert {n: r["version"] for n, r in gate.xds("lds").items()} == before
    # A configuration that is wrong is a finding, and the last good one stays.
    gate.write("vs.yaml", vs("shop", "*", [route("/own", to("echo"), use({"tenant": []}))]))
    gate.wait_state("VirtualService", "shop", "Rejected", "SLD0101")
    assert headers(gate.ask("/own", headers=own), "x-seen")[1] == "second"


def test_a_destination_has_its_own_configuration(gate):
    action = {"routeAction": {"multi": {"destinations": [
        {"destination": {"upstream": ref("echo")}, "weight": 1, "options": use({"tenants": ["weighted"]})}]}}}
    start(gate, vs("shop", "*", [route("/", action)]))
    assert gate.ask("/", headers=ACME).status == 401
    assert gate.ask("/", headers={"x-tenant": "weighted"}).status == 200


def test_new_code_takes_over_without_a_failed_request(gate):
    start(gate, vs("shop", "*", [route("/", to("echo"), use({}))]))
    with Poller(gate.port, threads=3, path="/", headers=ACME) as p:
        for n in range(2, 5):
            put(gate.plugins, "gate", edge=EDGE.replace('"x-by", "gate"', f'"x-by", "gate {n}"'))
            gate.wait_answer(lambda a: a.headers["x-by"] == f"gate {n}", headers=ACME)
            p.more(50)
        # What does not load changes nothing, and the log has its line.
        put(gate.plugins, "gate", edge=EDGE.replace("return false", "return 7 // 2"))
        eventually(lambda: any("edge.lua:9: // is Lua 5.3" in e["error"] for e in gate.events("plugin_refused")))
        assert gate.ask("/", headers=ACME).headers["x-by"] == "gate 4"
        p.more(20)
    p.assert_clean()


TRANSFORM = """
return {
  transform_request = function(conf, req)
    if req.path == "/here" then
      return req:respond{status = 200, headers = {["x-from"] = "plugin"}, body = "here"}
    elseif req.path == "/move" then
      req:set_method("PUT")
      req:set_path("/moved")
      req:set_host("else.where")
    elseif req.path == "/fail" then
      req:set_header("x-half", "done")
      error("on the way up")
    end
    if req.body ~= "" then
      req:set_body("<" .. req.body .. ">")
    end
  end,
  transform_response = function(conf, res)
    res:set_header("x-request", res.request.method .. " " .. res.request.path .. " " .. (res.request.headers["x-a"] or "-"))
    if res.status == 404 then
      res:set_status(410)
    elseif res.status == 500 then
      res:respond{status = 502, headers = {["x-instead"] = "1"}, body = "instead\\n"}
    elseif res.status == 418 then
      error("on the way back")
    elseif res.headers["content-type"] == "application/json" then
      res:remove_header("x-upstream")
      res:set_body(res.body:gsub("secret", "******"))
    end
  end,
}
"""
STREAM = """
return {
  transform_response = function(conf, res)
    local n = 0
    for chunk in res:chunks() do
      n = n + 1
      if n == 2 and res.request.path == "/fail" then error("in the middle") end
      res:write((chunk:gsub("x", "yz")))
    end
    res:write("!")
  end,
}
"""


def test_requests_and_responses_are_transformed(gate):
    put(gate.plugins, "turn", edge=TRANSFORM, plugin="""return {api = 1, name = "turn", runs = "envoy",
      request_body = {mode = "buffered"}, response_body = {mode = "buffered"}}""")
    start(gate, vs("shop", "*", [route("/", to("echo"), use({}, "turn"))]))
    a = gate.ask("/x", method="POST", body="a secret", headers={"x-a": "1"})
    assert a.json["body"] == "<a ******>" and headers(a, "content-length") == ["10"]
    assert a.headers["x-request"] == "POST /x 1" and "x-upstream" not in a.headers
    a = gate.ask("/here")
    assert (a.status, a.text, a.headers["x-from"]) == (200, "here", "plugin")
    a = gate.ask("/move?q=1")
    assert (a.json["method"], a.json["path"], headers(a, "host")) == ("PUT", "/moved?q=1", ["else.where"])
    assert gate.ask("/fail").status == 503
    assert gate.ask("/x?status=404").status == 410
    a = gate.ask("/x?status=500")
    assert (a.status, a.text, a.headers["x-instead"]) == (502, "instead\n", "1") and "x-upstream" not in a.headers
    assert (gate.ask("/x?status=418").status, gate.ask("/x?status=418").text) == (503, "a plugin failed\n")
    assert "plugin turn: transform_response: edge.lua:25: on the way back" in gate.log_text()
    assert gate.ask("/x", method="POST", body="x" * (64 * 1024 + 1)).status == 413
    assert gate.ask(f"/x?bytes={64 * 1024 + 1}").status == 200  # it did not ask for the body
    assert gate.ask("/x", method="POST", body="y" * 64 * 1024).status == 503  # its answer is too large


def test_bodies_are_streamed(gate):
    put(gate.plugins, "flow", edge=STREAM, plugin="""return {api = 1, name = "flow", runs = "envoy",
      response_body = {mode = "streamed"}}""")
    start(gate, vs("shop", "*", [route("/", to("echo"), use({}, "flow"))]))
    a = gate.ask("/?bytes=3000000")
    assert a.body == b"yz" * 3000000 + b"!" and "content-length" not in a.headers
    assert gate.ask("/?bytes=0").body == b""  # no body, no piece
    body = gate.ask("/fail?bytes=3000000").body
    assert len(body) < 3000000 and not body.strip(b"yz")  # none of it as it was
    assert "plugin flow: transform_response: edge.lua:7: in the middle" in gate.log_text()


def test_the_filter_is_there_while_the_plugin_is(gate):
    port = free_port()
    gate.write("second.yaml", gateway("second", port))
    start(gate, vs("shop", "*", [route("/", to("echo"))]))
    count = lambda: sorted(json.dumps(r).count('"solder.lua.gate"') for n, r in gate.xds("lds").items() if "unknown" not in n)
    assert count() == [1, 1]
    assert gate.ask("/").status == 200 and gate.ask("/", port=port).status == 200  # off where nobody configured it
    # One that guarded stays, and denies where it is asked: tests/e2e/test_worker.py.
    (gate.plugins / "gate/edge.lua").write_text("return {transform_request = function(conf, none) end}")
    eventually(lambda: "function(conf, none) end" in json.dumps(gate.xds("lds")))
    shutil.rmtree(gate.plugins / "gate")
    eventually(lambda: count() == [0, 0])
    assert gate.ask("/").status == 200


# Edge code, of which each function calls the next twice.
DOUBLING = "local function f0() return 1 end\n" + "".join(
    f"local function f{i}() return f{i - 1}() + f{i - 1}() end\n" for i in range(1, 40)) + "return {authorize = function() return f39() > 0 end}"
ENDLESS = {
    "itself": "local function f(n) return f(n + 1) end return {authorize = function() return f(1) end}",
    "doubling": DOUBLING,
    "table": "local T = {} function T.f(t) return t.f(t) end return {authorize = function() return T.f(T) end}",
    "own": "local M = {} function M.authorize(conf, req) return M.authorize(conf, req) end return M",
    "closure": "return {authorize = function() local function f(g) return g(g) end return f(f) end}",
    "jump": "return {authorize = function() ::again:: goto again end}",
    "repeat": "return {authorize = function() repeat until false end}",
    "count": "return {authorize = function() for i = 1, math.huge do i = i end end}",
    "meta": "local T = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) return {authorize = function() return T[1] end}",
}
SHORT = """
local fine = {["/fine"] = true}
local function known(path) return fine[path] == true end
return {authorize = function(conf, req)
  if req.path == "/hidden" then
    local name = "gs" .. "ub"
    return string[name]("abc", ".", known) == "abc"
  end
  return known(req.path)
end}
"""


def test_only_code_that_can_be_long_is_counted(gate):
    """What has no loop and calls nothing twice over is not counted; whatever else there is, is, and is cut off."""
    plugins = ENDLESS | {"short": SHORT}
    for name, edge in plugins.items():
        put(gate.plugins, name, edge=edge, plugin=f'return {{api = 1, name = "{name}", runs = "envoy"}}')
    start(gate, vs("shop", "*", [route(f"/{name}/", to("echo"), use({}, name)) for name in ENDLESS] + [route("/", to("echo"), use({}, "short"))]))
    for name in ENDLESS:
        assert gate.ask(f"/{name}/").status == 503, name
    assert gate.ask("/fine").status == 200
    assert gate.ask("/other").status == 403
    assert gate.ask("/hidden").status == 503
    eventually(lambda: "gsub must be written" in gate.log_text())
    said = gate.log_text()
    for name in ENDLESS:
        assert re.search(rf"plugin {name}: authorize: .*(steps|stack overflow)", said), name
    assert "plugin short: authorize: edge.lua:7: gsub must be written by its name" in said


def test_a_plugin_of_one_file(gate):
    """All of it runs in Envoy, its schema too: what solder.schema gives there is of no use and does no harm."""
    (gate.plugins / "one.lua").write_text("""
local s = require "solder.schema"
local order = {}
for k in pairs{b = 1, a = 2, c = 3} do order[#order + 1] = k end
return {
  api = 1, name = "one", runs = "envoy",
  schema = s.record({word = s.string{default = "hi", pattern = "h.*"}, also = s.map(s.integer{min = 1}), wait = s.duration{default = "90s"}}),
  check = function(conf, fail) if conf.word == "ho" then fail("word", "not that") end end,
  authorize = function(conf, req)
    local also = {}
    for k, v in pairs(conf.also or {}) do also[#also + 1] = k .. v end
    req:set_header("x-one", table.concat({conf.word, conf.wait, table.concat(also, "."), table.concat(order)}, " "))
    req:set_header("x-two", tostring(conf) .. " " .. tostring(print) .. " " .. select("#", table.unpack(order)) .. (" %d"):format(#conf.word))
  end,
}
""")
    start(gate, vs("shop", "*", [route("/", to("echo"), use({"also": {"z": 1, "b": 22}}, "one"))]))
    a = gate.ask("/")
    assert headers(a, "x-one") == ["hi 90 b22.z1 abc"] and headers(a, "x-two") == ["table function 3 2"]


def test_who_the_client_is(gate):
    put(gate.plugins, "who", plugin='return {api = 1, name = "who", runs = "envoy"}', edge="""
return {authorize = function(conf, req)
  local p = req.peer
  req:set_header("x-who", req.scheme .. " " .. (req.sni or "-") .. " " .. (p and table.concat({p.subject, #p.sha256, p.dns_sans[1], #p.uri_sans}, " ") or "-"))
end}""")
    servers, clients, port = pki.Authority(), pki.Authority("clients"), free_port()
    gate.write("tls.yaml", tls_secret("tls", *servers.issue("a.test"), clients.pem),
               gateway("tls", port, ssl_=True, http_={"virtualServices": [ref("tls")]}),
               vs("tls", "a.test", [route("/", to("echo"), use({}, "who"))], sslConfig={"secretRef": ref("tls"), "sniDomains": ["a.test"]}))
    start(gate, vs("shop", "*", [route("/", to("echo"), use({}, "who"))]))
    assert headers(gate.ask("/"), "x-who") == ["http - -"]
    context = pki.client(gate.dir, servers.pem, *clients.issue("friend", "friend.test"))
    a = eventually(lambda: request(port, "/", tls=context, sni="a.test", host="a.test"))
    assert headers(a, "x-who") == ["https a.test CN=friend 64 friend.test 0"]


def test_what_envoy_is_told(tmp_path):
    put(tmp_path / "plugins", "gate", edge=EDGE, lib__known=KNOWN, plugin=PLUGIN)
    put(tmp_path / "plugins", "zeta", edge="return {transform_response = function() end}",
        plugin='return {api = 1, name = "zeta", runs = "envoy"}')
    put(tmp_path / "plugins", "alpha", plugin='return {api = 1, name = "alpha", shape_route = function() end}')
    (tmp_path / "all.yaml").write_text(dump(gateway("g", 8080), vs("shop", "*", [
        route("/a", says(200), {**use({"note": 'a "b"\n\\', "tenants": []}), "cors": {"allowOrigin": ["*"]}}), route("/", says(200))],
        options=use({}, zeta={}))))

    def out(kind):
        done = cli("translate", "-o", "json", "--type", kind, "--plugins", tmp_path / "plugins", tmp_path / "all.yaml")
        assert done.returncode == 0, done.stderr
        return [r["resource"] for r in json.loads(done.stdout)]
    listener = next(r for r in out("lds") if r["name"] != "listener_for_unknown_role")
    filters = listener["filterChains"][0]["filters"][0]["typedConfig"]["httpFilters"]
    edge = {f["name"]: f for f in filters if f["name"].startswith("solder.")}
    names = [f["name"] for f in filters]
    assert list(edge) == ["solder.lua.gate", "solder.lua.zeta"] and all(f["disabled"] for f in edge.values())
    assert names.index("envoy.filters.http.cors") < names.index("solder.lua.gate")  # authz comes behind cors
    assert all(f["typedConfig"]["clearRouteCache"] is False for f in edge.values())
    assert '["lib/known.lua"] = ' in edge["solder.lua.gate"]["typedConfig"]["defaultSourceCode"]["inlineString"]
    host = out("rds")[0]["virtualHosts"][0]
    here, other = (host["typedPerFilterConfig"][f"solder.lua.{n}"]["filterContext"] for n in ("gate", "zeta"))
    assert here["conf"] == '{["note"] = "none", ["tenants"] = {"acme"}}' and other["conf"] == "{}"
    routes = [r.get("typedPerFilterConfig", {}) for r in host["routes"]]
    assert [sorted(k for k in r if "solder" in k) for r in routes] == [["solder.lua.gate"], []]
    own = routes[0]["solder.lua.gate"]["filterContext"]
    assert own["conf"] == '{["note"] = "a \\"b\\"\\n\\\\", ["tenants"] = {}}' and own["id"] != here["id"] and len(own["id"]) == 16


def test_what_fails_outside_of_a_hook_is_answered_too(gate):
    put(gate.plugins, "late", edge="""return {authorize = function(conf, req)
  req:set_metadata("k", {print})
  return req.path == "/open" and nil
end}""", plugin='return {api = 1, name = "late", runs = "envoy"}')
    start(gate, vs("shop", "*", [route("/", to("echo"), use({}, "late"))]))
    assert (gate.ask("/open").status, gate.ask("/").status) == (503, 503)  # Envoy takes no functions, allowed or not
    eventually(lambda: "plugin late: " in gate.log_text())
