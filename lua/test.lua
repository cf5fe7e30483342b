-- solder.test: what specs of plugins are written with. Runs in a spec's own state, in the same sandbox as plugins.
--
-- HOST is what C gives: translate(text, now) -> JSON as tables or nil and words, snapshot(name, text) -> state, stored text,
-- exchange(request) -> what became of it or nil and words, at_edge: whether hooks of requests run in Envoy,
-- world: functions of the made-up world (core/plugin/spec_world.c).
local host = ...
local M = {}

-- ---- The tree of specs ----

local tests = {} -- in order: {name, fn, before = {...}}
local names, befores = {}, {} -- of the describe we are in, outermost first
local running
local taken = {} -- names of snapshots

local function named(what, name, fn)
  if type(name) ~= "string" or type(fn) ~= "function" then
    error(what .. " takes a name and a function", 3)
  end
  if running then
    error(what .. " cannot be called while a test runs", 3)
  end
end

--- A group of tests: NAME stands in front of theirs.
function M.describe(name, fn)
  named("describe", name, fn)
  local depth, before = #names, #befores
  names[depth + 1] = name
  fn()
  names[depth + 1] = nil
  while #befores > before do
    befores[#befores] = nil
  end
end

--- One test: it fails when FN raises an error.
function M.it(name, fn)
  named("it", name, fn)
  names[#names + 1] = name
  local whole = table.concat(names, " ")
  names[#names] = nil
  tests[#tests + 1] = {name = whole, fn = fn, before = table.pack(table.unpack(befores))}
end

--- FN runs before each test of the group, outer groups first.
function M.before_each(fn)
  named("before_each", "", fn)
  befores[#befores + 1] = fn
end

-- ---- Values as text ----

local function is_list(t)
  local n = 0
  for _ in pairs(t) do
    n = n + 1
  end
  return n == #t and n > 0
end

local function show(v, indent)
  if type(v) == "string" then
    return string.format("%q", v)
  end
  if type(v) ~= "table" then
    return tostring(v)
  end
  local out, deeper, list = {}, indent .. "  ", is_list(v)
  for k, x in pairs(v) do
    local key = list and "" or type(k) == "string" and k:find("^[%a_][%w_]*$") and k .. " = " or "[" .. show(k, "") .. "] = "
    out[#out + 1] = deeper .. key .. show(x, deeper)
  end
  if #out == 0 then
    return "{}"
  end
  return "{\n" .. table.concat(out, ",\n") .. "\n" .. indent .. "}"
end

local function brief(v)
  local text = show(v, ""):gsub("%s+", " ")
  return #text > 200 and text:sub(1, 200) .. "..." or text
end

-- ---- Assertions ----

-- Where A and B differ first: a path and both values; nil when they are equal.
local function difference(a, b, path)
  if type(a) ~= "table" or type(b) ~= "table" then
    if a ~= b then
      return path, a, b
    end
    return nil
  end
  for k, x in pairs(a) do
    local at, p, q = difference(x, b[k], path .. (math.type(k) == "integer" and "[" .. k .. "]" or "." .. tostring(k)))
    if at then
      return at, p, q
    end
  end
  for k, x in pairs(b) do
    if a[k] == nil then
      return path .. (math.type(k) == "integer" and "[" .. k .. "]" or "." .. tostring(k)), nil, x
    end
  end
end

--- ACTUAL is EXPECTED; tables are compared by what they hold.
function M.equal(actual, expected)
  local at, is, want = difference(actual, expected, "")
  if at then
    error((at ~= "" and at:gsub("^%.", "") .. ": " or "") .. brief(is) .. " instead of " .. brief(want), 2)
  end
end

--- TEXT matches Lua's PATTERN.
function M.matches(text, pattern)
  if type(text) ~= "string" then
    error("a " .. type(text) .. " instead of a text", 2)
  end
  if not text:find(pattern) then
    error(brief(text) .. " does not match " .. brief(pattern), 2)
  end
end

--- FN raises an error that has WORDS in it (nil: any); returns its message.
function M.raises(fn, words)
  local ok, message = pcall(fn)
  if ok then
    error("no error was raised", 2)
  end
  message = tostring(message)
  if words and not message:find(words, 1, true) then
    error("the error is " .. brief(message) .. ", without " .. brief(words), 2)
  end
  return message
end

--- VALUE is what it was when the snapshot was taken (spec/snapshots/NAME.txt; NAME: the test's by default).
--- solder plugin test --update takes it anew.
function M.snapshot(value, name)
  local text = (type(value) == "string" and value or show(value, "")):gsub("\n*$", "\n")
  name = (name or running or "snapshot"):lower():gsub("[^%w]+", "-"):gsub("^%-+", ""):gsub("%-+$", ""):sub(1, 100)
  if name == "" then
    error("a snapshot needs a name with letters or digits", 2)
  end
  if taken[name] then
    error("there are two snapshots " .. name .. "; give each a name of its own", 2)
  end
  taken[name] = true
  local state, was = host.snapshot(name, text)
  if state == "missing" then
    error("there is no spec/snapshots/" .. name .. ".txt yet; solder plugin test --update takes it", 2)
  elseif state == "different" then
    local line = 1
    local old, new = was:gmatch("([^\n]*)\n"), text:gmatch("([^\n]*)\n")
    local a, b = old(), new()
    while a == b and a do
      line, a, b = line + 1, old(), new()
    end
    error("it differs from spec/snapshots/" .. name .. ".txt at line " .. line .. ": " .. brief(b) .. " instead of " .. brief(a) ..
      "; solder plugin test --update takes it anew", 2)
  end
end

-- ---- Requests ----

local of_requests = {body = "any", conf = "any", headers = "any", host = "string", id = "string", method = "string", open = "any", path = "string",
  peer = "any", response = "any", route = "string", scheme = "string", sni = "string", source = "string", trailers = "any"}

local world_at_hand

local function full_request(r, level)
  if type(r) ~= "table" then
    error("a request is a table, not a " .. type(r), level + 1)
  end
  local full = {method = "GET", path = "/", host = "example.com", scheme = "http", source = "192.0.2.1"}
  for k, v in pairs(r) do
    if not of_requests[k] then
      error("a request has no '" .. tostring(k) .. "'", level + 1)
    end
    if of_requests[k] == "string" and type(v) ~= "string" then
      error(k .. " must be a string, not a " .. type(v), level + 1)
    end
    full[k] = v
  end
  return full
end

--- What the plugin's hooks make of request R: {method, path (with query), host, scheme, headers, body (a text, or a
--- list of chunks), trailers, id, source, sni, peer, route, conf = its configuration, open = its onError is open, response =
--- {status, headers, body, trailers}, which the upstream gives}. Gives {status, headers, body, trailers, metadata, log, forwarded =
--- {method, path, host, scheme, headers, body, trailers}, or nil where the plugin answered}. Where hooks run in Solder that is in the
--- test's world.
function M.exchange(r)
  local full = full_request(r, 2)
  local result, words
  if host.at_edge then
    result, words = host.exchange(full)
  else
    world_at_hand()
    result, words = host.world.exchange{full}
  end
  if not result then
    error(words, 2)
  end
  return host.at_edge and result or result[1]
end

--- The hook log gets ENTRIES, a list of tables, with CONF (nil: nothing is set), in the test's world; fails where the hook does.
function M.log(conf, entries)
  world_at_hand()
  local words = host.world.log(conf, entries)
  if words then
    error(words, 2)
  end
end

--- In a configuration: a reference to a secret that says TEXT.
function M.secret(text)
  return {name = "secret", ["\1text"] = text}
end

-- ---- Translation ----

local function translate(text, now, level)
  if type(text) ~= "string" then
    error("documents are a text, not a " .. type(text), level)
  end
  local result, words = host.translate(text, now)
  if not result then
    error("the documents cannot be translated: " .. words, level)
  end
  return result
end

--- What the documents TEXT (YAML, several by "---") become with the plugin: {xds = {{type, role, name, resource}...},
--- findings = {{code, severity, object, path, message, line}...}}. OPTIONS.now: the time in Unix seconds.
function M.translate(text, options)
  return translate(text, options and options.now or 0, 2) -- a tail call: this function is no level of its own
end

-- For assertions, whose caller is to blame.
local function result_of(documents)
  return type(documents) == "table" and documents or translate(documents, 0, 4)
end

local function camel(key)
  return (key:gsub("_(%l)", string.upper))
end

local Has = {}
--- In what is expected of a list: it has an element like ITEM, wherever.
function M.has(item)
  return setmetatable({item = item}, Has)
end

local function is_has(v)
  return type(v) == "table" and getmetatable(v) == Has
end

-- Where EXPECTED is not part of ACTUAL first; how deep that is, for the best of several.
local function missing(actual, expected, path, depth)
  if is_has(expected) then
    for _, x in ipairs(type(actual) == "table" and actual or {}) do
      if not missing(x, expected.item, path, depth) then
        return nil
      end
    end
    return path, "no element of " .. brief(actual) .. " is like " .. brief(expected.item), depth
  end
  if type(expected) ~= "table" then
    if actual == expected or (actual ~= nil and type(expected) == "number" and tonumber(actual) == expected) then
      return nil
    end
    return path, brief(actual) .. " instead of " .. brief(expected), depth
  end
  if type(actual) ~= "table" then
    return path, brief(actual) .. " instead of " .. brief(expected), depth
  end
  if is_list(expected) and #actual ~= #expected then
    return path, #actual .. " elements instead of " .. #expected, depth
  end
  for k, x in pairs(expected) do
    local key = k
    if type(k) == "string" and actual[k] == nil then
      key = camel(k)
    end
    local at, words, deep = missing(actual[key], x, path .. (type(k) == "number" and "[" .. k .. "]" or "." .. k), depth + 1)
    if at then
      return at, words, deep
    end
  end
end

--- The documents (text, or what translate gave) become a resource of TYPE (lds, rds, cds, eds, sds), called NAME if that
--- is given, of which EXPECTED is a part: fields in both spellings, lists element by element, or t.has(element).
function M.expect_xds(documents, kind, name, expected)
  if expected == nil then
    name, expected = nil, name
  end
  local best, words, depth = nil, nil, -1
  local result = result_of(documents)
  for _, one in ipairs(result.xds) do
    if one.type == kind and (name == nil or one.name == name) then
      local at, what, deep = missing(one.resource, expected, one.name, 0)
      if not at then
        return one.resource
      end
      if deep > depth then
        best, words, depth = at, what, deep
      end
    end
  end
  if best then
    error(kind .. " " .. best .. ": " .. words, 2)
  end
  local there = {}
  for _, one in ipairs(result.xds) do
    there[#there + 1] = one.type .. " " .. one.name
  end
  error("there is no " .. kind .. (name and " " .. name or "") .. "; there are " .. table.concat(there, ", "), 2)
end

local function line_of(f)
  return f.code .. " " .. f.severity .. ": " .. f.object .. ": " .. f.path .. ": " .. f.message
end

--- The documents have a finding with WORDS in "code severity: object: path: message".
function M.expect_finding(documents, words)
  local all = {}
  for _, f in ipairs(result_of(documents).findings) do
    all[#all + 1] = line_of(f)
    if all[#all]:find(words, 1, true) then
      return f
    end
  end
  error("no finding has " .. brief(words) .. (#all > 0 and "; there are:\n  " .. table.concat(all, "\n  ") or "; there is none at all"), 2)
end

--- Nothing is wrong with the documents.
function M.expect_no_findings(documents)
  local f = result_of(documents).findings[1]
  if f then
    error(line_of(f), 2)
  end
end

-- ---- The world of tasks ----

local World = {}
World.__index = World
local at_hand -- of the test that runs

--- A world of the test's own for the plugin's task, in which nobody answers and no time passes until the test says so.
--- OPTIONS.now: its time in Unix seconds. There is one at a time.
function M.world(options)
  if not running then
    error("a world is made in a test", 2)
  end
  host.world.begin(options and options.now or 1700000000)
  at_hand = setmetatable({}, World)
  return at_hand
end

-- The world of the test, which is made when it has none.
function world_at_hand()
  return at_hand or M.world()
end

local function answers(given)
  if type(given) == "table" and is_list(given) then
    return given
  end
  return {given}
end

--- Requests for WHAT ("GET http://host/path"; without a method GET) are answered by ANSWER: {status =, headers =, body =}, a text: words
--- of an error, or a list of such, of which the last one stays. To who reads it as a stream CHUNKS = {text, ...} come behind the body, a
--- second between two, and it does not end where OPEN is true.
function World:http(what, answer)
  if not what:find("^%u+ ") then
    what = "GET " .. what
  end
  host.world.http(what, answers(answer))
end

--- Questions for NAME of KIND ("addresses", "A", "AAAA", "SRV", "TXT") are answered by RECORDS, a list of texts, or of {target =, port =,
--- priority =, weight =}; a text: words of an error.
function World:dns(name, kind, records)
  host.world.dns(name .. " " .. kind, {records})
end

--- The file at PATH is TEXT, which the plugin may read; nil: there is none.
function World:file(path, text)
  host.world.file(path, text)
end

local function encoded(text, plain)
  return (text:gsub("[^%w%-%._~" .. plain .. "]", function(c)
    return string.format("%%%02X", c:byte())
  end))
end

--- Consul has ENTRIES ({key = value}) below PREFIX; a list of such: one answer after the other, each of which comes when the
--- time that its question waits for news is over. A text: words of an error.
function World:consul_kv(prefix, entries)
  local json, base64, list = require "solder.json", require "solder.base64", {}
  for i, e in ipairs(answers(entries)) do
    local body = json.array{}
    for key, value in pairs(type(e) == "table" and e or {}) do
      body[#body + 1] = {Key = key, Value = base64.encode(value), Flags = 0, ModifyIndex = i}
    end
    list[i] = type(e) == "table" and {headers = {["X-Consul-Index"] = tostring(i)}, body = json.encode(body)} or e
  end
  host.world.http("GET http://consul.test:8500/v1/kv/" .. encoded(prefix, "/") .. "?recurse=true", list)
end

--- Consul has INSTANCES ({address =, port =, id =, tags =, meta =, weight =, node =}) of service NAME whose checks pass; of
--- a list of lists one is the answer after the other, as in consul_kv.
function World:consul_service(name, instances)
  local json, list = require "solder.json", {}
  local many = is_list(instances) and type(instances[1]) == "table" and (is_list(instances[1]) or next(instances[1]) == nil)
  for i, all in ipairs(many and instances or {instances}) do
    local body = json.array{}
    for k, one in ipairs(all) do
      body[k] = {Node = {Node = one.node or "node", Address = one.address, Datacenter = "dc1"},
        Service = {ID = one.id or name .. k, Address = one.address, Port = one.port, Tags = one.tags or json.array{}, Meta = one.meta or {},
          Weights = {Passing = one.weight or 1}}}
    end
    list[i] = {headers = {["X-Consul-Index"] = tostring(i)}, body = json.encode(body)}
  end
  host.world.http("GET http://consul.test:8500/v1/health/service/" .. encoded(name, "") .. "?passing=true", list)
end

--- Vault answers ANSWER ({data = {...}}) to who reads PATH, or, as method "POST", writes it; nil: there is nothing.
function World:vault(path, answer, method)
  local json = require "solder.json"
  host.world.http((method or "GET") .. " http://vault.test:8200/v1/" .. encoded(path, "/"),
    {answer and {body = json.encode(answer)} or {status = 404}})
end

--- What the plugin gives for secret REF, with CONF: a Secret without its head ({tls = {...}}), and when it ends in Unix seconds (0:
--- never); or nil and words. Asked again it is what came last.
function World:secret(ref, conf)
  local document, more = host.world.secret(ref, conf)
  if document then
    document.apiVersion, document.kind, document.metadata = nil, nil, nil
  end
  return document, more
end

--- Starts the hook discover with CONF, which may be left out.
function World:discover(conf)
  local words = host.world.discover(conf)
  if words then
    error(words, 2)
  end
end

--- Time goes on, by seconds or such as "1.5s"; all that is due happens.
function World:pass(time)
  host.world.pass(time)
end

--- What the task has published: documents of kind Upstream, by name.
function World:upstreams()
  return host.world.upstreams()
end

--- The endpoints of upstream NAME as "address:port", in order; nil: there is no such upstream.
function World:endpoints(name)
  local u = host.world.upstreams()[name]
  if not u then
    return nil
  end
  local out = {}
  for i, h in ipairs(u.spec.static.hosts) do
    out[i] = h.addr .. ":" .. h.port
  end
  return out
end

--- Why the task failed last; nil: it has published since.
function World:problem()
  return host.world.problem()
end

--- The requests that were sent, as "GET http://host/path".
function World:requests()
  local out = {}
  for i, r in ipairs(host.world.requests()) do
    out[i] = r.method .. " " .. r.url
  end
  return out
end

--- The last one of them: {method =, url =, headers =, body =}; nil: there is none.
function World:last_request()
  local all = host.world.requests()
  return all[#all]
end

--- What becomes of the requests of LIST, as exchange takes and gives them, when they arrive at once: while one waits the next
--- begins. Where hooks run in Solder.
function World:exchanges(list)
  local full = {}
  for i, r in ipairs(list) do
    full[i] = full_request(r, 2)
  end
  local result, words = host.world.exchange(full)
  if not result then
    error(words, 2)
  end
  return result
end

-- ---- What C calls ----

function host.list()
  local out = {}
  for i, t in ipairs(tests) do
    out[i] = t.name
  end
  return out
end

function host.run(i)
  local t = tests[i]
  running, at_hand = t.name, nil
  for b = 1, t.before.n do
    t.before[b]()
  end
  t.fn()
end

return M
