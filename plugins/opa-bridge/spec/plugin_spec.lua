local json = require "solder.json"
local t = require "solder.test"

local CONF = {url = "http://127.0.0.1:8181/v1/data/gateway/allow", headers = {"X-Tenant"}, token = t.secret "sesame"}

-- What becomes of a request when OPA answers with BODY.
local function decided(body, status)
  t.world():http("POST " .. CONF.url, {status = status, body = body})
  return t.exchange{conf = CONF, headers = {["x-user"] = "root"}}
end

t.describe("opa-bridge", function()
  t.it("tells OPA of the request", function()
    local w = t.world()
    w:http("POST " .. CONF.url, {body = '{"result": true}'})
    local r = t.exchange{conf = CONF, method = "PUT", path = "/a/b%20c/?q=1", host = "shop.example", scheme = "https", source = "192.0.2.7",
                         route = "r1", headers = {["x-tenant"] = "acme", cookie = "private"},
                         peer = {subject = "CN=ann", dns_sans = {"ann.example"}, uri_sans = {}}}
    t.equal(r.status, 200)
    local asked = w:last_request()
    t.equal(asked.headers["content-type"], "application/json")
    t.equal(asked.headers.authorization, "Bearer sesame")
    t.equal(json.decode(asked.body), {input = {
      method = "PUT", path = "/a/b%20c/", segments = {"a", "b%20c"}, host = "shop.example", scheme = "https", source = "192.0.2.7", route = "r1",
      headers = {["x-tenant"] = "acme"}, peer = {subject = "CN=ann", dns_sans = {"ann.example"}, uri_sans = {}},
    }})
  end)

  t.it("does what OPA says", function()
    t.equal(decided('{"result": true}').forwarded.headers, {["x-user"] = "root"})
    t.equal(decided('{"result": {"allow": true, "headers": {"x-user": "ann"}}}').forwarded.headers, {["x-user"] = "ann"})
    t.equal(decided('{"result": false}').status, 403)
    local r = decided('{"result": {"allow": false, "status": 401, "headers": {"www-authenticate": "Bearer"}, "body": "who?"}}')
    t.equal({r.status, r.headers, r.body}, {401, {["www-authenticate"] = "Bearer"}, "who?"})
  end)

  t.it("lets nothing pass that OPA does not allow", function()
    for _, body in ipairs{"{}", '{"result": {}}', '{"result": {"allow": "true"}}', '{"result": {"allow": 1}}', '{"result": {"status": 200}}'} do
      t.equal(decided(body).status, 403)
    end
    for _, body in ipairs{"", "[", '"x"', '{"result": "true"}', '{"result": null}'} do
      t.equal(decided(body).status, 503)
    end
    t.equal(decided('{"result": true}', 500).status, 503)
    t.equal(decided('{"result": {"allow": true, "headers": {"bad name": "x"}}}').status, 503)
  end)

  t.it("refuses while OPA does not answer", function()
    t.equal(t.exchange{conf = CONF}.status, 503)
  end)
end)
