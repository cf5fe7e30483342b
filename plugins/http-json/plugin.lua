-- http-json: upstreams from a JSON document that somebody serves. Templates say where in it names and addresses are.
local json = require "solder.json"
local s = require "solder.schema"
local template = require "solder.template"

local TEMPLATES = {"name", "address", "port", "weight"}

-- What stands at PATH ("a.b"; empty: VALUE itself), or nil.
local function at(value, path)
  for name in path:gmatch("[^.]+") do
    value = type(value) == "table" and value[name] or nil
  end
  return value
end

local function table_at(value, path, where)
  local found = at(value, path)
  if type(found) ~= "table" then
    error(("%s: there is no list or object at '%s'"):format(where, path), 0)
  end
  return found
end

-- What templates are filled with for ITEM, which is under KEY: its members, those of what it stands in, key and it.
local function values_of(key, item, outer)
  local values = {}
  for name, value in pairs(outer) do
    values[name] = value
  end
  values.key, values.it = key, item
  if type(item) == "table" then
    for name, value in pairs(item) do
      values[name] = value
    end
  end
  return values
end

local function fill(templates, field, values, where)
  local text, words = templates[field]:render(values)
  if not text then
    error(("%s: %s: %s"):format(where, field, words), 0)
  end
  return text
end

local function number(templates, field, values, where)
  local text = templates[field] and fill(templates, field, values, where)
  local n = text and math.tointeger(tonumber(text))
  if text and not n then
    error(("%s: %s: '%s' is no whole number"):format(where, field, text), 0)
  end
  return n
end

local function endpoint_of(templates, values, where)
  local address = fill(templates, "address", values, where)
  if not templates.port and not templates.weight then
    return address
  end
  local host, port = address, number(templates, "port", values, where)
  if not port then
    host, port = address:match("^%[?(.-)%]?:(%d+)$")
  end
  return {address = host, port = math.tointeger(tonumber(port)), weight = number(templates, "weight", values, where)}
end

local function wanted(conf, values)
  for path, text in pairs(conf.where or {}) do
    if tostring(at(values, path)) ~= text then
      return false
    end
  end
  return true
end

-- The upstreams that DOCUMENT tells of. An item that lacks something is an error, so that no upstream is lost unseen.
local function upstreams_of(conf, templates, document)
  local upstreams = {}
  for key, item in pairs(table_at(document, conf.items, "the document")) do
    local where = "item " .. tostring(key)
    local values = values_of(key, item, {})
    local name = fill(templates, "name", values, where):lower():gsub("[^a-z0-9.-]", "-")
    local u = upstreams[name] or {endpoints = {}}
    upstreams[name] = u
    local places = {values}
    if conf.endpoints then
      places = {}
      for i, place in pairs(table_at(item, conf.endpoints, where)) do
        places[#places + 1] = values_of(i, place, values)
      end
    end
    for i, place in ipairs(places) do
      if wanted(conf, place) then
        u.endpoints[#u.endpoints + 1] = endpoint_of(templates, place, conf.endpoints and where .. ", endpoint " .. i or where)
      end
    end
  end
  return upstreams
end

local function compile(conf)
  local templates = {}
  for _, field in ipairs(TEMPLATES) do
    if conf[field] then
      templates[field] = assert(template.compile(conf[field]))
    end
  end
  return templates
end

local function headers_of(conf, d)
  local headers = {accept = "application/json"}
  for name, value in pairs(conf.headers or {}) do
    headers[name:lower()] = value
  end
  if conf.token_file then
    local token, words = d.file.read(conf.token_file)
    if not token then
      error("token_file: " .. words, 0)
    end
    headers.authorization = "Bearer " .. token:match("^%s*(.-)%s*$")
  end
  return headers
end

return {
  api = 1,
  name = "http-json",
  version = "1.0.0",
  summary = "Finds upstreams in a JSON document that an HTTP server has.",
  needs = {"http", "files"},

  schema = s.record{
    url = s.url{doc = "Where the document is; without it nothing is found.", example = "https://registry.example.org/v1/services"},
    every = s.duration{default = "10s", min = "1s", max = "1h", doc = "How long after an answer it is asked for again."},
    timeout = s.duration{default = "5s", min = "100ms", max = "1m", doc = "How long the server may take."},
    headers = s.map(s.string{max = 4096}, {max = 20, doc = "Headers of the request; secrets belong in token_file.", example = {["x-region"] = "eu"}}),
    token_file = s.string{max = 1024, pattern = "/.*", doc = "A granted file with a token, sent as Bearer; it is read each time."},
    ca_file = s.string{max = 1024, pattern = "/.*", doc = "A granted file: whom to trust."},
    cert_file = s.string{max = 1024, pattern = "/.*", doc = "A granted file: the client's certificate."},
    key_file = s.string{max = 1024, pattern = "/.*", doc = "A granted file: its key."},
    items = s.string{default = "", max = 200, doc = "Where in the document the list, or object, of items is, as a.b; empty: it is the document.",
      example = "services"},
    name = s.string{default = "{name}", min = 1, max = 200, doc = "Template: the upstream's name, of an item. Items of one name are one upstream.",
      example = "{team}-{name}"},
    endpoints = s.string{max = 200, doc = "Where in an item the list, or object, of its endpoints is; without it an item is an endpoint.",
      example = "instances"},
    address = s.string{default = "{address}", min = 1, max = 200, doc = "Template: an endpoint's address; without port as HOST:PORT."},
    port = s.string{min = 1, max = 200, doc = "Template: its port.", example = "{port}"},
    weight = s.string{min = 1, max = 200, doc = "Template: its weight, 1 to 1000000.", example = "{weight}"},
    where = s.map(s.string{max = 200}, {max = 20, doc = "Endpoints count only where these members, as a.b, have these values.",
      example = {status = "up"}}),
  },

  check = function(conf, fail)
    for _, field in ipairs(TEMPLATES) do
      local _, words = template.compile(conf[field] or "")
      if words then
        fail(field, words)
      end
    end
  end,

  discover = function(conf, d)
    if not conf.url then
      return d.publish{upstreams = {}}
    end
    local templates, last = compile(conf), nil
    d.every(conf.every, function()
      local answer, words = d.http{url = conf.url, headers = headers_of(conf, d), timeout = conf.timeout, previous = last,
                                   ca_file = conf.ca_file, cert_file = conf.cert_file, key_file = conf.key_file}
      if not answer then
        error(words, 0)
      elseif answer.status ~= 200 then
        error("the server of the document answers with status " .. answer.status, 0)
      elseif last and answer.body == last.body then
        return
      end
      local document, wrong = json.decode(answer.body)
      if document == nil then
        error("the document is no JSON: " .. wrong, 0)
      end
      d.publish{upstreams = upstreams_of(conf, templates, document)}
      last = answer
    end)
  end,
}
