local base64 = require "solder.base64"
local hash = require "solder.hash"
local json = require "solder.json"
local jwt = require "solder.jwt"
local t = require "solder.test"
local url = require "solder.url"

local ID = "https://id.example.org"
local NOW = 1700000000
-- A key of the provider (Ed25519).
local KEY = {kty = "OKP", crv = "Ed25519", kid = "one", alg = "EdDSA", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
             d = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}
local CONF = {issuer = ID, client_id = "shop", client_secret = t.secret "s:ecret", cookie_key = t.secret(("k"):rep(32)),
              redirect_uri = "https://shop.example/oidc/callback", claims = {["x-user"] = "sub", ["x-mail"] = "email"}}

local w

local function ask(path, cookies, more)
  local r = {conf = CONF, path = path, headers = {cookie = cookies}}
  for k, v in pairs(more or {}) do
    r[k] = v
  end
  return t.exchange(r)
end

-- The cookie NAME that R sets, as a browser sends it back.
local function cookie(r, name)
  return r.headers["set-cookie"]:match("__Host%-oidc%-" .. name .. "=[^;]*")
end

local function token(nonce, changes)
  local claims = {iss = ID, aud = "shop", sub = "ann", email = "ann@example.org", iat = NOW, exp = NOW + 60, nonce = nonce}
  for k, v in pairs(changes or {}) do
    claims[k] = v
  end
  return jwt.sign(claims, jwt.keys(json.encode(KEY)))
end

-- A login until the provider sends the browser back: its parameters, and the cookie.
local function begun(path)
  local r = ask(path or "/cart")
  t.equal(r.status, 302)
  return url.parse_query(url.parse(r.headers.location).query), cookie(r, "login"), r
end

local function finish(params, login, changes)
  w:http("POST " .. ID .. "/token", {body = json.encode{id_token = token(params.nonce, changes)}})
  return ask("/oidc/callback?code=c0de&state=" .. params.state, login)
end

t.describe("oidc-login", function()
  t.before_each(function()
    w = t.world{now = NOW}
    w:http(ID .. "/.well-known/openid-configuration", {body = json.encode{issuer = ID, authorization_endpoint = ID .. "/auth",
      token_endpoint = ID .. "/token", jwks_uri = ID .. "/jwks"}})
    w:http(ID .. "/jwks", {body = json.encode{keys = {{kty = KEY.kty, crv = KEY.crv, kid = KEY.kid, alg = KEY.alg, x = KEY.x}}}})
  end)

  t.it("sends people to the provider", function()
    local params, login, r = begun()
    t.matches(r.headers.location, "^https://id%.example%.org/auth%?")
    t.equal({params.response_type, params.client_id, params.redirect_uri, params.scope, params.code_challenge_method},
      {"code", "shop", "https://shop.example/oidc/callback", "openid", "S256"})
    t.matches(r.headers["set-cookie"], "; Path=/; HttpOnly; SameSite=Lax; Max%-Age=600; Secure$")
    t.equal(login:find(params.state, 1, true), nil)
    t.equal(ask("/cart", nil, {method = "POST"}).status, 401)
  end)

  t.it("lets them in when they come back, and says who they are", function()
    local params, login = begun()
    local r = finish(params, login)
    t.equal({r.status, r.headers.location}, {302, "/cart"})
    local sent = w:last_request()
    local asked
    for _, one in ipairs(w:requests()) do
      asked = asked or one:find("/token", 1, true)
    end
    t.equal(asked ~= nil, true)
    t.equal(sent.url, ID .. "/jwks")
    r = ask("/cart", "a=b; " .. cookie(r, "session") .. "; c=d", {headers = {cookie = "a=b; " .. cookie(r, "session") .. "; c=d", ["x-user"] = "root"}})
    t.equal(r.forwarded.headers, {cookie = "a=b; c=d", ["x-user"] = "ann", ["x-mail"] = "ann@example.org"})
  end)

  t.it("proves who asks for the token", function()
    local params, login = begun()
    w:http("POST " .. ID .. "/token", {status = 400})
    t.equal(ask("/oidc/callback?code=c0de&state=" .. params.state, login).status, 503)
    local sent = w:last_request()
    t.equal(sent.headers.authorization, "Basic " .. base64.encode "shop:s%3Aecret")
    local form = url.parse_query(sent.body)
    t.equal({form.grant_type, form.code, form.redirect_uri}, {"authorization_code", "c0de", "https://shop.example/oidc/callback"})
    t.equal(base64.encode_url(hash.sha256(form.code_verifier)), params.code_challenge)
  end)

  t.it("believes no login that was not begun here", function()
    local params, login = begun()
    local other = begun()
    t.equal(finish({state = other.state, nonce = params.nonce}, login).status, 400)
    t.equal(finish(params, nil).status, 400)
    t.equal(finish({state = params.state, nonce = other.nonce}, login).status, 503)
    t.equal(finish(params, (login:gsub("login", "session"))).status, 400)
    t.equal(ask("/oidc/callback?error=access_denied&state=" .. params.state, login).status, 403)
    w:pass "11m"
    t.equal(finish(params, login).status, 400)
  end)

  t.it("believes no token of somebody else", function()
    for _, changes in ipairs{{iss = "https://evil.example"}, {aud = "other"}, {exp = NOW - 3600}} do
      local params, login = begun()
      t.equal(finish(params, login, changes).status, 503)
    end
  end)

  t.it("believes no cookie that it did not make", function()
    local params, login = begun()
    local good = cookie(finish(params, login), "session")
    t.equal(ask("/", good).status, 200)
    local last = good:sub(-1) == "A" and "Q" or "A"
    for _, bad in ipairs{good:sub(1, -2) .. last, (login:gsub("login", "session")), "__Host-oidc-session=", "__Host-oidc-session=x"} do
      t.equal(ask("/", bad).status, 302)
    end
    w:pass "8h"
    t.equal(ask("/", good).status, 302)
  end)

  t.it("forgets who logs out", function()
    local r = ask("/oidc/logout")
    t.equal({r.status, r.headers.location}, {302, "/"})
    t.matches(r.headers["set-cookie"], "^__Host%-oidc%-session=; .*Max%-Age=0")
  end)

  t.it("sends nobody back to another site", function()
    local params, login = begun "//evil.example/x"
    t.equal(finish(params, login).headers.location, "/evil.example/x")
    for _, path in ipairs{"/\\evil.example/x", "/\\/evil.example/x", "\\\\evil.example/x"} do
      params, login = begun(path)
      t.equal(finish(params, login).headers.location, "/evil.example/x")
    end
  end)

  t.it("lets nobody in whose cookie no browser would keep", function()
    local params, login = begun()
    local r = finish(params, login, {email = ("x"):rep(3000)})
    t.equal({r.status, r.headers["set-cookie"]}, {403, nil})
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
    options: {extensions: {configs: {oidc-login: {issuer: "https://id.example.org", client_id: shop,
      client_secret: {name: s, key: k}, cookie_key: {name: s, key: k}, redirect_uri: "https://shop.example/back", claims: {"%s": sub}}}}}
    routes: [{matchers: [{prefix: /}], directResponseAction: {status: 200}}]
]]):format(name), ("'%s' is no header that can be set for upstreams"):format(name))
    end
  end)

  t.it("lets nobody log in while the provider does not answer", function()
    w:http(ID .. "/.well-known/openid-configuration", "connection refused")
    t.equal(ask("/").status, 503)
    w:http(ID .. "/.well-known/openid-configuration", {body = json.encode{issuer = "https://evil.example"}})
    t.equal(ask("/").status, 503)
  end)
end)
