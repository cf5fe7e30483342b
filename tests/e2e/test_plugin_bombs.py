"""What hostile plugins do, one by one, in each place where plugins run: the model thread, the worker, and the thread that discovers. The
process lives; other plugins, requests and the delivery of configuration do not notice."""

from harness import NS, Poller, eventually, route, says, to, vs

# What each does with the handle it is given, and what it is told.
BOMBS = {
    "loop": ("while true do end", "more than 300000 steps"),
    "caught": ("while true do pcall(function() while true do end end) end", "steps"),
    "sort": ("table.sort({3, 1, 2}, function() while true do end end)", "steps"),
    "tables": ("local t = {} for i = 1, 1 << 40 do t[i] = {} end", "not enough memory"),
    "strings": ("local s = 'x' while true do pcall(function() s = s .. s end) end", "not enough memory"),
    "giant": ("local s = ('x'):rep(1 << 40)", "the resulting string is longer than"),
    "pattern": ("local s = ('a'):rep(9000):find(('a*'):rep(30) .. 'b')", "steps"),
    "deep": ("local function f(n) return 1 + f(n + 1) end f(1)", ""),
    "deep-index": ("local t = {} setmetatable(t, {__index = function(t, k) return t[k] end}) local x = t.x", "C stack overflow"),
    "coroutines": ("while true do coroutine.create(function() end) end", "coroutines made in one call"),
    "nested": ("local function f() return coroutine.wrap(f)() end f()", "coroutines"),
    "gc": ("setmetatable({}, {__gc = function() while true do end end})", "__gc is not available"),
    "close": ("local c <close> = setmetatable({}, {__close = function() while true do end end}) error('x')", "plugin.lua:"),
    "close-error": ("local c <close> = setmetatable({}, {__close = function() error('second') end}) error('first')", "plugin.lua:"),
    "error": ("error(setmetatable({}, {__tostring = function() while true do end end}))", "the error is a table"),
    "metatable": ("local m = getmetatable(h) m.__index = nil", ""),
    "global": ("string.format = nil", "read-only"),
    "keep": ("kept = h", ""),
}
BOMB = """
local s = require "solder.schema"
local kept
local bombs = {%s}
local function go(name, h)
  if name then bombs[name](h) end
end
return {
  api = 1, name = "bomb",
  schema = s.record{bomb = s.string{}, find = s.string{}},
  shape_route = function(conf, r) go(conf.bomb, r) end,
  authorize = function(conf, req) go(req.headers["x-bomb"], req) return true end,
  discover = function(conf, d) d.publish{upstreams = {}} go(conf.find, d) end,
}
"""
NEIGHBOUR = """
return {
  api = 1, name = "neighbour",
  shape_route = function(conf, r) r.route.timeout = "3s" end,
  authorize = function(conf, req) req:set_header("x-by", "neighbour") return true end,
  discover = function(conf, d) d.every("50ms", function() d.publish{upstreams = {near = {endpoints = {"127.0.0.1:1"}}}} end) end,
}
"""


def plugin(name, text, bomb=None):
    limits = {"callSteps": 300000, "memoryMib": 4}
    spec = {"inline": text, "limits": limits, "suspendAfter": 100, "config": {"find": bomb} if bomb else {}}
    return {"apiVersion": "solder.dev/v1", "kind": "Plugin", "metadata": {"name": name, "namespace": NS}, "spec": spec}


def uses(**configs):
    return {"extensions": {"configs": configs}}


def found(site, name):
    return next(s for s in site.api("/v1/sources")["sources"] if s["name"] == f"plugin:{name}")


def test_bombs_cost_nobody_else(site):
    text = BOMB % ",\n".join(f"['{name}'] = function(h) {body} end" for name, (body, _) in BOMBS.items())
    site.upstream()
    site.write("plugins.yaml", plugin("bomb", text))
    site.write("neighbour.yaml", plugin("neighbour", NEIGHBOUR))
    site.write("vs.yaml", vs("shop", "shop.example", [route("/", to("echo"), uses(bomb={}))]),
               vs("near", "near.example", [route("/", to("echo"), uses(neighbour={}))]))
    site.start("--worker-threads", "1")
    site.wait_answer(200, host="shop.example")
    pid = site.api("/v1/plugins")["worker"]["pid"]
    with Poller(site.port, host="near.example") as neighbours:
        # In the worker.
        for name in BOMBS:
            assert site.ask("/", host="shop.example", headers={"x-bomb": name}).status == 503, name
            assert site.ask("/", host="shop.example").status == 200, name
        # In the model thread: each route has its own, and costs that route alone.
        site.write("bombs.yaml", vs("bombs", "bombs.example", [route(f"/{name}", to("echo"), uses(bomb={"bomb": name})) for name in BOMBS] +
                                    [route("/", to("echo"))]))
        site.wait_answer(200, host="bombs.example")
        findings = [f for f in site.findings("virtualservices", "bombs") if "plugin bomb" in f]
        assert len(findings) == len(BOMBS), findings
        for name, (_, words) in BOMBS.items():
            assert any(words in f for f in findings), (name, findings)
            assert site.ask(f"/{name}", host="bombs.example").status != 200, name
        # In the thread that discovers.
        for name, (_, words) in BOMBS.items():
            site.write("plugins.yaml", plugin("bomb", text, name))
            # Its state is up for a moment each time it begins anew.
            eventually(lambda: found(site, "bomb").get("problem") and words in found(site, "bomb").get("problem", ""))
        assert found(site, "neighbour")["up"]
        assert site.object("upstreams", "near")["object"]["metadata"]["labels"]["discovered_by"] == "neighbour"
        # Configuration is delivered.
        site.write("new.yaml", vs("new", "new.example", [route("/", says(200, "new"))]))
        site.wait_answer(200, host="new.example")
        neighbours.more(50)
    neighbours.assert_clean()
    a = site.ask("/", host="near.example")
    assert a.json["headers"]["x-by"] == ["neighbour"]
    assert site.api("/v1/plugins")["worker"]["pid"] == pid and site.api("/v1/plugins")["worker"]["restarts"] == 0
