-- jwt: requests carry a token of an issuer we trust. Its keys are fetched when they are needed, kept for a while, and
-- fetched again when a token names one that is not there yet.
local cache = require "solder.cache"
local http = require "solder.http"
local jwt = require "solder.jwt"
local s = require "solder.schema"
local time = require "solder.time"

-- Headers that belong to the connection.
local FIXED = {connection = true, ["content-length"] = true, host = true, ["transfer-encoding"] = true}
local RETRY = 10 -- seconds between two fetches, so that nobody can have them fetched for each request
local sets = cache.new{max = 100} -- by URL: {keys, at}, also when they are old: better than none
local tried = cache.new{max = 100, ttl = RETRY} -- by URL: whether they were fetched just now, or could not be

-- Fetches the issuer's keys, unless that was done just now. Requests that come meanwhile wait for the same answer.
local function refresh(conf)
  tried:get_or(conf.jwks, function(address)
    local answer, words = http.request{url = address, timeout = conf.timeout, headers = {accept = "application/json"}}
    local keys
    if answer and answer.status == 200 then
      keys, words = jwt.keys(answer.body)
    end
    if keys then
      sets:set(address, {keys = keys, at = time.monotonic()})
    else
      print(("the keys of %s cannot be fetched: %s"):format(conf.issuer, words or "it answers with status " .. answer.status))
    end
    return true
  end)
end

-- The keys of the issuer, or nil. NEWER: the ones we have lack one.
local function keys_of(conf, newer)
  local set = sets:get(conf.jwks)
  if newer or not set or time.monotonic() - set.at > conf.keep then
    refresh(conf)
    set = sets:get(conf.jwks)
  end
  return set and set.keys
end

local function verify(conf, token)
  local options = {issuer = conf.issuer, audience = conf.audiences, algorithms = conf.algorithms, leeway = conf.leeway}
  local keys = keys_of(conf, false)
  if not keys then
    return nil, "no keys", "keys"
  end
  local claims, words, code = jwt.verify(token, keys, options)
  if code == "key" then
    claims, words, code = jwt.verify(token, keys_of(conf, true), options)
  end
  return claims, words, code
end

return {
  api = 1,
  name = "jwt",
  version = "1.0.0",
  summary = "Lets requests pass that have a token (JWT) of an issuer.",
  needs = {"http"},

  schema = s.record{
    issuer = s.string{required = true, min = 1, max = 500, doc = "The token's iss.", example = "https://id.example.org"},
    audiences = s.list(s.string{min = 1, max = 500}, {required = true, min = 1, max = 20, example = {"shop"},
      doc = "One of them must be in the token's aud: a token for somebody else is none for us."}),
    jwks = s.url{required = true, doc = "Where the issuer's keys are (JWK Set).", example = "https://id.example.org/jwks"},
    algorithms = s.list(s.enum{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"},
      {default = {"RS256", "PS256", "ES256", "EdDSA"}, min = 1, doc = "What tokens may be signed with."}),
    header = s.header_name{default = "authorization", doc = "The header with the token; after Bearer, if that stands there."},
    pass = s.boolean{default = false, doc = "true: upstreams get the token too."},
    claims = s.map(s.string{min = 1, max = 100}, {default = {["x-jwt-sub"] = "sub"}, max = 20,
      doc = "Headers for upstreams, and the claim each holds. What clients send in them never arrives."}),
    keep = s.duration{default = "10m", min = "10s", max = "24h", doc = "How long keys are used before they are fetched again."},
    timeout = s.duration{default = "2s", min = "100ms", max = "3s", doc = "How long the issuer may take: less than a request may."},
    leeway = s.integer{default = 30, min = 0, max = 300, doc = "Seconds by which clocks may differ."},
  },

  check = function(conf, fail)
    if not conf.jwks:find("^https://") and not conf.jwks:find("^http://127%.0%.0%.1[:/]") and not conf.jwks:find("^http://localhost[:/]") then
      fail("jwks", "keys that were not fetched over https can be anybody's")
    end
    for header in pairs(conf.claims) do
      if not header:find("^[%w!#$%%&'*+.^_`|~-]+$") or FIXED[header:lower()] then
        fail("claims", ("'%s' is no header that can be set for upstreams"):format(header))
      end
    end
  end,

  authorize = function(conf, req)
    local value = req.headers[conf.header] or ""
    local token = value:match("^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+)$") or value:match("^%S+$")
    for header in pairs(conf.claims) do
      req:remove_header(header)
    end
    if not conf.pass then
      req:remove_header(conf.header)
    end
    if not token then
      return req:deny{status = 401, headers = {["www-authenticate"] = "Bearer"}, body = "a token is needed\n"}
    end
    local claims, words, code = verify(conf, token)
    if code == "keys" then
      return req:deny{status = 503, body = "tokens cannot be verified now\n"}
    elseif not claims then
      return req:deny{
        status = 401,
        headers = {["www-authenticate"] = 'Bearer error="invalid_token"'},
        body = "the token is not accepted: " .. words .. "\n",
      }
    end
    for header, claim in pairs(conf.claims) do
      local v = claims[claim]
      if type(v) == "string" or type(v) == "number" or type(v) == "boolean" then
        req:set_header(header, tostring(v))
      end
    end
    req:set_metadata("sub", claims.sub or "")
  end,
}
