local json = require "solder.json"
local jwt = require "solder.jwt"
local t = require "solder.test"

-- Two keys of the issuer (Ed25519), as it keeps them.
local ONE = {kty = "OKP", crv = "Ed25519", kid = "one", alg = "EdDSA", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
             d = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}
local TWO = {kty = "OKP", crv = "Ed25519", kid = "two", alg = "EdDSA", x = "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw",
             d = "TM0Imyj_ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U-4pvs"}
local NOW = 1700000000
local KEYS = "https://id.example.org/jwks"

local function public(...)
  local keys = {}
  for i, key in ipairs{...} do
    keys[i] = {kty = key.kty, crv = key.crv, kid = key.kid, alg = key.alg, x = key.x}
  end
  return json.encode{keys = keys}
end

local function token(key, changes)
  local claims = {iss = "https://id.example.org", aud = "shop", sub = "ann", exp = NOW + 3600, role = "admin"}
  for name, value in pairs(changes or {}) do
    claims[name] = value ~= "" and value or nil
  end
  return jwt.sign(claims, jwt.keys(json.encode(key)))
end

local function request(value, headers)
  headers = headers or {}
  headers.authorization = value and "Bearer " .. value
  return {headers = headers, conf = {issuer = "https://id.example.org", audiences = {"shop", "till"}, jwks = KEYS,
                                     claims = {["x-user"] = "sub", ["x-role"] = "role"}}}
end

local function ask(value, headers)
  return t.exchange(request(value, headers))
end

t.describe("jwt", function()
  local w

  local function serve(...)
    w:http(KEYS, {body = public(...)})
  end

  local function expect_asked(times)
    t.equal(#w:requests(), times)
  end

  t.before_each(function()
    w = t.world{now = NOW}
    serve(ONE)
  end)

  t.it("lets tokens of the issuer pass, and tells upstreams what they say", function()
    local r = ask(token(ONE), {["x-user"] = "root", ["x-role"] = "god", accept = "*/*"})
    t.equal(r.forwarded.headers, {accept = "*/*", ["x-user"] = "ann", ["x-role"] = "admin"})
    t.equal(r.metadata, {sub = "ann"})
    t.equal(ask(token(ONE, {aud = json.array{"x", "till"}})).status, 200)
    t.equal(ask(token(ONE, {role = json.array{"a"}}), {["x-role"] = "god"}).forwarded.headers["x-role"], nil)
  end)

  t.it("refuses others", function()
    for _, bad in ipairs{token(ONE, {iss = "https://evil.example"}), token(ONE, {aud = "other"}), token(ONE, {exp = NOW - 3600}),
                         token(ONE, {exp = ""}), token(ONE, {nbf = NOW + 3600}), token(ONE) .. "x", "x.y.z", "eyJhbGciOiJub25lIn0.e30.",
                         token(TWO), jwt.sign({iss = "https://id.example.org", aud = "shop", exp = NOW + 60}, jwt.secret(("s"):rep(32)))} do
      local r = ask(bad)
      t.equal(r.status, 401)
      t.equal(r.headers["www-authenticate"], 'Bearer error="invalid_token"')
      t.equal(r.forwarded, nil)
    end
    t.equal(ask(nil).headers["www-authenticate"], "Bearer")
    t.equal(ask("a b").status, 401)
  end)

  t.it("takes only headers that can be set", function()
    for _, name in ipairs{"", "x user", ":path", "Host", "content-length", "transfer-encoding", "connection"} do
      t.expect_finding(([[
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: shop, namespace: gloo-system}
spec:
  virtualHost:
    domains: ["*"]
    options: {extensions: {configs: {jwt: {issuer: i, audiences: [a], jwks: "https://id.example.org/jwks", claims: {"%s": sub}}}}}
    routes: [{matchers: [{prefix: /}], directResponseAction: {status: 200}}]
]]):format(name), ("'%s' is no header that can be set for upstreams"):format(name))
    end
  end)

  t.it("waits less for the issuer than a request may last", function()
    local r = request(token(ONE))
    r.conf.timeout = "4s"
    t.raises(function() t.exchange(r) end, "timeout")
  end)

  t.it("keeps keys for a while", function()
    for _ = 1, 3 do
      t.equal(ask(token(ONE)).status, 200)
    end
    expect_asked(1)
    w:pass "11m"
    t.equal(ask(token(ONE)).status, 200)
    expect_asked(2)
  end)

  t.it("asks once for many requests that come together", function()
    local all = {}
    for i = 1, 20 do
      all[i] = request(token(ONE))
    end
    for _, r in ipairs(w:exchanges(all)) do
      t.equal(r.status, 200)
    end
    expect_asked(1)
  end)

  t.it("follows a rotation, but not whoever makes keys up", function()
    t.equal(ask(token(ONE)).status, 200)
    serve(ONE, TWO)
    t.equal(ask(token(TWO)).status, 401) -- keys were fetched just now
    w:pass "11s"
    t.equal(ask(token(TWO)).status, 200)
    expect_asked(2)
    local unknown = {kty = "OKP", crv = "Ed25519", kid = "made-up", alg = "EdDSA", x = TWO.x, d = TWO.d}
    for _ = 1, 5 do
      t.equal(ask(token(unknown)).status, 401)
    end
    expect_asked(2)
    w:pass "11s"
    t.equal(ask(token(unknown)).status, 401)
    t.equal(ask(token(unknown)).status, 401)
    expect_asked(3)
  end)

  t.it("goes on with the keys it has while the issuer does not answer", function()
    t.equal(ask(token(ONE)).status, 200)
    w:http(KEYS, "connection refused")
    w:pass "2h"
    t.equal(ask(token(ONE, {exp = NOW + 9000})).status, 200)
    expect_asked(2)
    w:http(KEYS, {body = "nonsense"})
    w:pass "11s"
    t.equal(ask(token(ONE, {exp = NOW + 9000})).status, 200)
    expect_asked(3)
  end)

  t.it("refuses while there are no keys at all, and does not ask for each request", function()
    w:http(KEYS, "connection refused")
    for _ = 1, 3 do
      t.equal(ask(token(ONE)).status, 503)
    end
    expect_asked(1)
    serve(ONE)
    w:pass "11s"
    t.equal(ask(token(ONE)).status, 200)
  end)

  t.it("hands the token on when it is told so", function()
    local r = request(token(ONE))
    r.conf.pass = true
    t.matches(t.exchange(r).forwarded.headers.authorization, "^Bearer eyJ")
  end)

  t.it("wants keys over https", function()
    t.expect_finding([[
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: shop, namespace: gloo-system}
spec:
  virtualHost:
    domains: ["*"]
    options: {extensions: {configs: {jwt: {issuer: i, audiences: [a], jwks: "http://id.example.org/jwks"}}}}
    routes: [{matchers: [{prefix: /}], directResponseAction: {status: 200}}]
]], "keys that were not fetched over https")
  end)
end)
