-- opa-bridge: an Open Policy Agent decides. It gets what it needs to know of the request as input of its data API.
local http = require "solder.http"
local json = require "solder.json"
local s = require "solder.schema"

local function input_of(conf, req)
  local headers, segments = {}, json.array{}
  for _, name in ipairs(conf.headers or {}) do
    headers[name:lower()] = req.headers[name]
  end
  for segment in req.path:gmatch("[^/]+") do
    segments[#segments + 1] = segment
  end
  local input = {method = req.method, path = req.path, segments = segments, host = req.host, scheme = req.scheme, headers = headers,
                 source = req.source, route = req.route}
  if req.peer then
    input.peer = {subject = req.peer.subject, uri_sans = json.array(req.peer.uri_sans), dns_sans = json.array(req.peer.dns_sans)}
  end
  return input
end

-- What OPA says: a table with allow, or nil and words.
local function decide(conf, req)
  local body, wrong = json.encode{input = input_of(conf, req)}
  if not body then
    return nil, "the request cannot be described: " .. wrong
  end
  local headers = {["content-type"] = "application/json"}
  if conf.token then
    headers.authorization = "Bearer " .. conf.token:value()
  end
  local answer, words = http.request{url = conf.url, method = "POST", headers = headers, body = body, timeout = conf.timeout}
  if not answer then
    return nil, words
  elseif answer.status ~= 200 then
    return nil, "it answers with status " .. answer.status
  end
  local document = json.decode(answer.body)
  if type(document) ~= "table" then
    return nil, "its answer is no JSON"
  end
  local result = document.result
  if type(result) == "boolean" then
    return {allow = result}
  elseif type(result) == "table" then
    return result
  elseif result == nil then
    return {allow = false} -- the rule is undefined for this input
  end
  return nil, "its result is neither a boolean nor an object"
end

local function is_status(v)
  return math.type(v) == "integer" and v >= 300 and v <= 599
end

return {
  api = 1,
  name = "opa-bridge",
  version = "1.0.0",
  summary = "Asks an Open Policy Agent whether a request may pass.",
  needs = {"http", "secrets"},

  schema = s.record{
    url = s.url{required = true, doc = "The rule, in OPA's data API.", example = "http://127.0.0.1:8181/v1/data/gateway/allow"},
    headers = s.list(s.header_name{}, {max = 50, doc = "Headers of the request that OPA gets to see; none by default.",
      example = {"authorization", "x-tenant"}}),
    timeout = s.duration{default = "500ms", min = "10ms", max = "3s", doc = "How long OPA may take; then the request is refused."},
    token = s.secret_ref{doc = "A token for OPA, sent as Bearer."},
  },

  authorize = function(conf, req)
    local decision, words = decide(conf, req)
    if not decision then
      print("OPA does not decide: " .. words)
      return req:deny{status = 503, body = "there is no decision\n"}
    end
    local headers = type(decision.headers) == "table" and decision.headers or {}
    if decision.allow ~= true then
      return req:deny{
        status = is_status(decision.status) and decision.status or 403,
        headers = headers,
        body = type(decision.body) == "string" and decision.body or "",
      }
    end
    for name, value in pairs(headers) do
      req:set_header(name, value)
    end
  end,
}
