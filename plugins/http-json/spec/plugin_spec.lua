local t = require "solder.test"

local URL = "http://registry.test/v1"

t.describe("http-json", function()
  local w

  local function discover(conf, answer)
    w = t.world()
    w:http(URL, answer)
    conf.url = URL
    w:discover(conf)
    w:pass "100ms"
  end

  local function expect_problem(conf, body, words)
    discover(conf, {body = body})
    t.matches(w:problem() or "none", words)
    t.equal(w:upstreams(), {})
  end

  t.it("finds a list", function()
    discover({port = "{port}"}, {body = '[{"name": "Shop_1", "address": "10.0.0.1", "port": 80}, {"name": "Shop_1", "address": "::1", "port": 81}]'})
    t.equal(w:endpoints "shop-1", {"10.0.0.1:80", "::1:81"})
  end)

  t.it("finds an object of objects with lists of endpoints", function()
    discover({items = "data.all", name = "{key}-{env.name}", endpoints = "at", address = "{it}"},
             {body = '{"data": {"all": {"shop": {"env": {"name": "eu"}, "at": ["10.0.0.1:80", "[::1]:81"]}, "none": {"env": {"name": "x"}, "at": []}}}}'})
    t.equal(w:endpoints "shop-eu", {"10.0.0.1:80", "::1:81"})
    t.equal(w:endpoints "none-x", {})
  end)

  t.it("fills templates of endpoints with members of their item too", function()
    discover({endpoints = "at", address = "{ip}", port = "{port}"}, {body = '[{"name": "a", "port": 80, "at": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2", "port": 81}]}]'})
    t.equal(w:endpoints "a", {"10.0.0.1:80", "10.0.0.2:81"})
  end)

  t.it("takes weights, and leaves out what is not wanted", function()
    discover({weight = "{w}", where = {["health.ok"] = "true"}},
             {body = '[{"name": "a", "address": "10.0.0.1:80", "w": 3, "health": {"ok": true}}, {"name": "a", "address": "10.0.0.2:80", "w": 3, "health": {"ok": false}}]'})
    t.equal(w:upstreams().a.spec.static.hosts, {{addr = "10.0.0.1", port = 80, loadBalancingWeight = 3}})
    discover({weight = "{w}"}, {body = '[{"name": "a", "address": "[::1]:80", "w": 3}]'})
    t.equal(w:upstreams().a.spec.static.hosts, {{addr = "::1", port = 80, loadBalancingWeight = 3}})
  end)

  t.it("sends what it is told to", function()
    w = t.world()
    w:file("/run/token", " sesame\n")
    w:http(URL, {body = "[]"})
    w:discover{url = URL, token_file = "/run/token", headers = {["X-Region"] = "eu"}}
    w:pass "100ms"
    t.equal(w:last_request().headers, {accept = "application/json", ["x-region"] = "eu", authorization = "Bearer sesame"})
    w:file("/run/token", nil)
    w:pass "10s"
    t.matches(w:problem(), "token_file: there is no file")
  end)

  t.it("follows changes", function()
    discover({}, {{body = '[{"name": "a", "address": "10.0.0.1:80"}]', headers = {etag = "x"}}, {status = 304}, {body = '[{"name": "b", "address": "10.0.0.2:80"}]'}})
    w:pass "10s"
    t.equal(w:last_request().headers["if-none-match"], "x")
    t.equal(w:endpoints "a", {"10.0.0.1:80"})
    w:pass "10s"
    t.equal(w:endpoints "a", nil)
    t.equal(w:endpoints "b", {"10.0.0.2:80"})
  end)

  t.it("keeps what it found while there is nothing better, and says why", function()
    for _, bad in ipairs{"connection refused", {status = 500}, {body = "<html>"}, {body = '[{"name": "a"}]'}, {body = "null"},
                         {body = '[{"name": "a", "address": "nowhere"}]'}} do
      discover({}, {{body = '[{"name": "a", "address": "10.0.0.1:80"}]'}, bad, {body = '[{"name": "a", "address": "10.0.0.2:80"}]'}})
      t.equal(w:problem(), nil)
      w:pass "10s"
      t.equal(w:endpoints "a", {"10.0.0.1:80"})
      t.equal(type(w:problem()), "string")
      w:pass "2s"
      t.equal(w:endpoints "a", {"10.0.0.2:80"})
      t.equal(w:problem(), nil)
    end
  end)

  t.it("says what is wrong with a document", function()
    expect_problem({}, "{", "the document is no JSON: ")
    expect_problem({items = "a.b"}, '{"a": {"c": []}}', "the document: there is no list or object at 'a.b'$")
    expect_problem({endpoints = "at"}, '[{"name": "a"}]', "item 1: there is no list or object at 'at'$")
    expect_problem({}, '[{"name": "a"}]', "item 1: address: there is no value for 'address'$")
    expect_problem({endpoints = "at", port = "{port}"}, '[{"name": "a", "at": [{"address": "a", "port": "x"}]}]',
                   "item 1, endpoint 1: port: 'x' is no whole number$")
  end)

  t.it("finds nothing without a URL", function()
    w = t.world()
    w:discover()
    w:pass "100ms"
    t.equal(w:upstreams(), {})
    t.equal(w:problem(), nil)
    t.equal(w:requests(), {})
  end)

  t.it("reads its templates at once", function()
    t.raises(function()
      t.world():discover{url = URL, address = "{"}
    end, "address: ")
  end)
end)
