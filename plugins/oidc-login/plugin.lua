-- oidc-login: people log in at an OpenID Connect provider (authorization code with PKCE). Who they are is then in a cookie that
-- only we can read, so nothing has to be kept here.
local base64 = require "solder.base64"
local cache = require "solder.cache"
local hash = require "solder.hash"
local http = require "solder.http"
local json = require "solder.json"
local jwt = require "solder.jwt"
local random = require "solder.random"
local s = require "solder.schema"
local session = require "session"
local time = require "solder.time"
local url = require "solder.url"

local COOKIE_MAX = 4096 -- bytes; browsers drop larger ones
-- Headers that belong to the connection.
local FIXED = {connection = true, ["content-length"] = true, host = true, ["transfer-encoding"] = true}
local LOGIN = 600 -- seconds that a login may take
local documents = cache.new{max = 20, ttl = 600} -- of providers, by URL

-- ---- The provider ----

-- What the provider answers, or nil and words. All its answers to one of our requests come before TILL.
local function ask(options, till)
  options.timeout = till - time.monotonic()
  if options.timeout <= 0 then
    return nil, options.url .. ": the provider took too long"
  end
  return http.request(options)
end

-- The document at ADDRESS as a table; or nil and words. Requests that come meanwhile wait for the same answer.
local function fetch(address, till, anew)
  if anew then
    documents:delete(address)
  end
  return documents:get_or(address, function()
    local answer, words = ask({url = address, headers = {accept = "application/json"}}, till)
    local document = answer and answer.status == 200 and json.decode(answer.body)
    if type(document) ~= "table" then
      return nil, ("%s: %s"):format(address, words or "status " .. answer.status .. ", or no JSON object")
    end
    return document
  end)
end

local function provider(conf, till)
  local document, words = fetch(conf.issuer:gsub("/$", "") .. "/.well-known/openid-configuration", till)
  if document and document.issuer ~= conf.issuer then
    return nil, "the provider says that it is another issuer"
  end
  return document, words
end

local function verify(conf, at, token, nonce, till)
  local options = {issuer = conf.issuer, audience = conf.client_id, require = {"exp", "iat", "sub"},
                   algorithms = {"RS256", "PS256", "ES256", "EdDSA"}}
  for _, anew in ipairs{false, true} do -- its keys may have changed
    local set, words = fetch(at.jwks_uri, till, anew)
    local keys
    if set then
      keys, words = jwt.keys(set)
    end
    if not keys then
      return nil, words
    end
    local claims, wrong, code = jwt.verify(token, keys, options)
    if claims and not hash.equal(tostring(claims.nonce), nonce) then
      return nil, "the token is of another login"
    elseif claims or code ~= "key" or anew then
      return claims, wrong
    end
  end
end

-- What the provider says of who logged in with CODE; or nil and words.
local function redeem(conf, at, code, login, till)
  local answer, words = ask({
    url = at.token_endpoint, method = "POST",
    headers = {
      ["content-type"] = "application/x-www-form-urlencoded",
      authorization = "Basic " .. base64.encode(url.encode(conf.client_id) .. ":" .. url.encode(conf.client_secret:value())),
    },
    body = url.build_query{grant_type = "authorization_code", code = code, redirect_uri = conf.redirect_uri, code_verifier = login.verifier},
  }, till)
  local document = answer and answer.status == 200 and json.decode(answer.body)
  if type(document) ~= "table" or type(document.id_token) ~= "string" then
    return nil, words or "the provider gives no token: status " .. answer.status
  end
  return verify(conf, at, document.id_token, login.nonce, till)
end

-- ---- Answers ----

local function redirect(req, to, cookies)
  return req:deny{status = 302, headers = {location = to, ["set-cookie"] = cookies, ["cache-control"] = "no-store"}}
end

local function cannot(req, words)
  print("login: " .. words)
  return req:deny{status = 503, body = "nobody can log in now\n"}
end

local function begin(conf, req)
  if req.method ~= "GET" and req.method ~= "HEAD" then
    return req:deny{status = 401, body = "log in first\n"}
  end
  local at, words = provider(conf, time.monotonic() + conf.timeout)
  if not at then
    return cannot(req, words)
  end
  local login = {state = base64.encode_url(random.bytes(24)), nonce = base64.encode_url(random.bytes(24)),
                 verifier = base64.encode_url(random.bytes(32)), back = "/" .. req.path:gsub("^[/\\]+", ""), exp = time.now() + LOGIN}
  local to = at.authorization_endpoint .. (at.authorization_endpoint:find("?", 1, true) and "&" or "?") .. url.build_query{
    response_type = "code", client_id = conf.client_id, redirect_uri = conf.redirect_uri, scope = table.concat(conf.scopes, " "),
    state = login.state, nonce = login.nonce, code_challenge = base64.encode_url(hash.sha256(login.verifier)), code_challenge_method = "S256",
  }
  return redirect(req, to, {session.cookie(conf, "login", login, LOGIN)})
end

local function finish(conf, req)
  local login = session.read(conf, req, "login")
  if not login or not hash.equal(req.query.state or "", login.state) then
    return req:deny{status = 400, body = "this login was not begun here, or took too long; try again\n"}
  elseif not req.query.code then
    return req:deny{status = 403, body = "the provider did not let you in\n"}
  end
  local till = time.monotonic() + conf.timeout
  local at, words = provider(conf, till)
  local claims
  if at then
    claims, words = redeem(conf, at, req.query.code, login, till)
  end
  if not claims then
    return cannot(req, words)
  end
  local kept = {exp = time.now() + conf.session, claims = {}}
  for _, claim in pairs(conf.claims) do
    local v = claims[claim]
    kept.claims[claim] = (type(v) == "string" or type(v) == "number" or type(v) == "boolean") and tostring(v) or nil
  end
  local cookie = session.cookie(conf, "session", kept, conf.session)
  if #cookie > COOKIE_MAX then
    print(("login: the cookie would have %d bytes, of which browsers keep %d: name fewer claims"):format(#cookie, COOKIE_MAX))
    return req:deny{status = 403, body = "what the provider says of you is too long to be kept\n"}
  end
  return redirect(req, login.back, {cookie, session.cookie(conf, "login", nil, 0)})
end

return {
  api = 1,
  name = "oidc-login",
  version = "1.0.0",
  summary = "Lets people pass who logged in at an OpenID Connect provider.",
  needs = {"http", "secrets"},

  schema = s.record{
    issuer = s.url{required = true, doc = "The provider; its configuration is found below it.", example = "https://id.example.org"},
    client_id = s.string{required = true, min = 1, max = 200, doc = "What the provider calls us.", example = "shop"},
    client_secret = s.secret_ref{required = true, doc = "What we say to prove it."},
    redirect_uri = s.url{required = true, doc = "Where the provider sends people back: a path of these routes.",
      example = "https://shop.example/oidc/callback"},
    cookie_key = s.secret_ref{required = true, doc = "What cookies are encrypted with: at least 32 random characters."},
    scopes = s.list(s.string{min = 1, max = 100}, {default = {"openid"}, min = 1, max = 20, doc = "What is asked for; openid has to be there."}),
    claims = s.map(s.string{min = 1, max = 100}, {default = {["x-user"] = "sub"}, max = 20,
      doc = "Headers for upstreams, and the claim each holds. What clients send in them never arrives."}),
    session = s.duration{default = "8h", min = "1m", max = "720h", doc = "How long a login lasts."},
    logout_path = s.string{default = "/oidc/logout", pattern = "/[!-~]*", max = 200, doc = "Who asks for it is logged out here, not at the provider."},
    insecure = s.boolean{default = false, doc = "true: cookies go over plain HTTP too. For tests."},
    timeout = s.duration{default = "3s", min = "100ms", max = "25s",
      doc = "How long the provider may take for all its answers to a request; less than requestTime of the Plugin document, which is 4s."},
  },

  check = function(conf, fail)
    for _, field in ipairs{"issuer", "redirect_uri"} do
      if not conf.insecure and not conf[field]:find("^https://") then
        fail(field, "it must begin with https://")
      end
    end
    for header in pairs(conf.claims) do
      if not header:find("^[%w!#$%%&'*+.^_`|~-]+$") or FIXED[header:lower()] then
        fail("claims", ("'%s' is no header that can be set for upstreams"):format(header))
      end
    end
  end,

  authorize = function(conf, req)
    for header in pairs(conf.claims) do
      req:remove_header(header)
    end
    if req.path == conf.logout_path then
      return redirect(req, "/", {session.cookie(conf, "session", nil, 0)})
    elseif req.path == url.parse(conf.redirect_uri).path then
      return finish(conf, req)
    end
    local who = session.read(conf, req, "session")
    if not who then
      return begin(conf, req)
    end
    session.hide(conf, req)
    for header, claim in pairs(conf.claims) do
      if who.claims[claim] then
        req:set_header(header, who.claims[claim])
      end
    end
  end,
}
