-- What stands in front of a plugin's edge code: req and res, made of the handle that Envoy's Lua filter gives. It is text in
-- Envoy's configuration (LuaJIT, Lua 5.1), and runs in specs too (Lua 5.4), so it is written in what both have.
--
-- PLUGIN says what the code is: name, main (the file that runs), request_body and response_body ({mode, max}), answers (it may
-- set headers of responses while the request is there). LUAJIT is lua/luajit.lua as a function, in Envoy; in specs PLUGIN has
-- compile(file) and freeze(table) instead.
local PLUGIN, LUAJIT = ...
local error, ipairs, next, pairs, pcall, rawget, setmetatable, tonumber, tostring, type =
  error, ipairs, next, pairs, pcall, rawget, setmetatable, tonumber, tostring, type
local byte, char, find, gsub, lower, match, sub = string.byte, string.char, string.find, string.gsub, string.lower, string.match, string.sub
local concat, sort = table.concat, table.sort
local floor = math.floor

local STATE = {} -- the key of what a handle stands for; nobody else has it
local EDITS, CONFIGURATIONS = 200, 1000
local VALUE_BYTES, BODY_BYTES, CHUNK_BYTES = 16384, 1048576, 8388608
local SPACE = "solder." .. PLUGIN.name     -- of dynamic metadata
local OWN = "solder.lua." .. PLUGIN.name   -- what the request leaves for its response

-- ---- Where it runs ----

local function nothing() end
local lua = LUAJIT and LUAJIT(PLUGIN) or {
  begins = nothing, compile = PLUGIN.compile, configuration = PLUGIN.freeze, goes_on = nothing, seal = nothing,
}
local begins, goes_on = lua.begins, lua.goes_on
-- Envoy would refuse all of a listener for code that does not load: that costs requests for the plugin alone.
local loaded, hooks = pcall(function()
  local made = lua.compile(PLUGIN.main)()
  lua.seal(made)
  return made
end)
if not loaded then
  local words = tostring(hooks)
  hooks = {authorize = function() error("it does not load: " .. words, 0) end}
end

-- ---- Checks ----

local refused = {
  ["content-length"] = "it follows the body",
  ["host"] = "that is set_host of transform_request",
  ["transfer-encoding"] = "it follows the body",
}

local function header_name(name, level)
  if type(name) ~= "string" or #name > 256 or not find(name, "^[%w!#$%%&'*+.^_`|~-]+$") then
    error("'" .. tostring(name) .. "' cannot be a header's name", level + 1)
  end
  name = lower(name)
  if refused[name] then
    error("the header '" .. name .. "' cannot be set: " .. refused[name], level + 1)
  end
  return name
end

-- A whole number shows no fraction, in either Lua.
local function text_of(v)
  if type(v) == "number" and v == floor(v) and v > -1e15 and v < 1e15 then
    return string.format("%d", v)
  end
  return type(v) == "number" and tostring(v) or v
end

local function plain(v, what, most, level)
  v = text_of(v)
  if type(v) ~= "string" then
    error(what .. " must be a string, not a " .. type(v), level + 1)
  end
  if #v > most then
    error(what .. " has more than " .. most .. " bytes", level + 1)
  end
  return v
end

local function header_value(v, level)
  v = plain(v, "a header's value", VALUE_BYTES, level + 1)
  if find(v, "%c") and find(gsub(v, "\t", ""), "%c") then
    error("a header's value has control characters", level + 1)
  end
  return v
end

-- ---- Texts of URLs ----

local function unescaped(s)
  s = gsub(s, "+", " ")
  return (gsub(s, "%%(%x%x)", function(digits) return char(tonumber(digits, 16)) end))
end

local function escaped(s)
  return (gsub(s, "[^%w._~-]", function(c) return string.format("%%%02X", byte(c)) end))
end

-- The pieces between & of a path's query: {name, value, as it was written}.
local function pieces_of(path)
  local out = {}
  for piece in string.gmatch(match(path, "^[^?]*%??(.*)$"), "[^&]+") do
    local name, value = match(piece, "^([^=]*)=?(.*)$")
    out[#out + 1] = {unescaped(name), unescaped(value), piece}
  end
  return out
end

-- ---- Handles ----

local function read_only(words)
  return function()
    error(words, 2)
  end
end

-- A state has: handle, over (the call is), edits, decision, spec (of the body), map (the headers, until the code waits), and
-- what was asked for under its name.

-- What SELF stands for, while that lasts. A table of the plugin's own is not asked: it would see the key.
local function live(self, level)
  local st = type(self) == "table" and rawget(self, STATE)
  if type(st) ~= "table" then
    error("write req:name(...), with a colon", level + 1)
  end
  if st.over or st.way and st.way.over then
    error("the handle is stale: its call is over", level + 1)
  end
  return st
end

-- All of a header map, in its order, without pseudo headers: names, and values by name, joined.
local function all_headers(map)
  local names, values = {}, {}
  for name, value in pairs(map) do
    if sub(name, 1, 1) ~= ":" then
      if values[name] then
        values[name] = values[name] .. "," .. value
      else
        names[#names + 1] = name
        values[name] = value
      end
    end
  end
  return names, values
end

-- The headers of ST's way. What Envoy gives does not outlive a wait.
local function map_of(st)
  local map = st.map
  if not map then
    map = st.handle:headers()
    st.map = map
  end
  return map
end

-- The code waited.
local function resumed(st)
  st.map = nil
  goes_on(st.handle)
end

-- Headers that MAP_OF finds by the state.
local function headers_class(find_map)
  return {
    __index = function(self, name)
      local st = self[STATE]
      if st.over or st.way then
        live(self, 2)
      end
      local map = find_map(st)
      if type(name) ~= "string" or not map or byte(name) == 58 then
        return nil
      end
      return map:get(name)
    end,
    __newindex = read_only("headers are set by set_header"),
    __pairs = function(self)
      local map = find_map(live(self, 2))
      local names, values = {}, {}
      if map then
        names, values = all_headers(map)
      end
      local i = 0
      return function()
        i = i + 1
        return names[i], values[names[i]]
      end
    end,
    __metatable = false,
  }
end

local Headers = headers_class(map_of)
local OriginHeaders = headers_class(function(st) return st.handle:requestHeaders() end)
local Trailers = headers_class(function(st) return st.handle:trailers() end)

local function all(self, name)
  local out = {}
  for _, p in ipairs(live(self, 2).pieces) do
    if p[1] == name then
      out[#out + 1] = p[2]
    end
  end
  return out
end

local Query = {
  __index = function(self, name)
    if name == "all" then
      return all
    end
    for _, p in ipairs(live(self, 2).pieces) do
      if p[1] == name then
        return p[2]
      end
    end
    return nil
  end,
  __newindex = read_only("the query is set by set_query"),
  __pairs = function(self)
    local pieces, i = live(self, 2).pieces, 0
    return function()
      i = i + 1
      if pieces[i] then
        return pieces[i][1], pieces[i][2]
      end
    end
  end,
  __metatable = false,
}

-- A handle on ST with fields GETTERS (each asked once) and METHODS; WHAT it is called.
local function handle_class(what, getters, methods)
  local names = {}
  for k in next, getters do
    names[#names + 1] = k
  end
  sort(names)
  local known = concat(names, ", ")
  return {
    __index = function(self, key)
      local method = methods[key]
      if method then
        return method
      end
      local get = getters[key]
      if not get then
        error(what .. " has no '" .. tostring(key) .. "'; there are " .. known, 2)
      end
      local st = self[STATE]
      if st.over or st.way then
        live(self, 2)
      end
      local v = st[key]
      if v == nil then
        v = get(st)
        if v == nil then
          v = STATE
        end
        st[key] = v
      end
      if v == STATE then
        return nil
      end
      return v
    end,
    __newindex = read_only(what .. " is read-only; it is changed by its set_ methods"),
    __pairs = read_only(what .. " cannot be walked"),
    __metatable = false,
  }
end

local function address_of(s)
  return s and (match(s, "^%[(.*)%]:%d+$") or match(s, "^([^:]*):%d+$") or s)
end

local function named(s)
  if s ~= nil and s ~= "" then
    return s
  end
end

local function decide(st, d)
  st.decision = st.decision or d
end

-- The body as a whole; what is larger than the plugin takes is answered, or an error.
local function whole_body(st)
  local spec, headers = st.spec, map_of(st)
  local length = tonumber(headers:get("content-length") or "")
  local text
  if not length or length <= spec.max then
    local buffer = st.handle:body()
    resumed(st)
    if not buffer then
      return ""
    end
    length = buffer:length()
    text = length <= spec.max and buffer:getBytes(0, length)
    -- Who changed it in pieces before left the length of the last one.
    headers = map_of(st)
    if headers:get("content-length") then
      headers:replace("content-length", string.format("%d", length))
    end
  end
  if not text then
    if st.too_large then
      decide(st, {status = st.too_large, headers = {}})
    end
    error("the body has more than " .. spec.max .. " bytes", 0)
  end
  return text
end

local function body_of(st)
  if not st.spec then
    return nil
  end
  if st.spec.mode ~= "buffered" then
    error("the body is streamed: read it by :chunks()", 3)
  end
  return whole_body(st)
end

-- ---- Edits: collected, and applied when all went well ----

local function edit(st, kind, name, value)
  if st.sent and kind ~= "metadata" then
    error("the headers are sent already: edit them before the first chunk, and before trailers", 3)
  end
  local edits = st.edits or {}
  st.edits = edits
  if #edits >= EDITS then
    error("more than " .. EDITS .. " edits", 3)
  end
  edits[#edits + 1] = {kind, name, value}
end

local function apply_query(path, edits)
  local pieces, changed = pieces_of(path), false
  for _, e in ipairs(edits) do
    if e[1] == "query" then
      changed = true
      local kept, at = {}, nil
      for _, p in ipairs(pieces) do
        if p[1] ~= e[2] then
          kept[#kept + 1] = p
        elseif e[3] and not at then
          at = true
          kept[#kept + 1] = {e[2], e[3], escaped(e[2]) .. "=" .. escaped(e[3])}
        end
      end
      if e[3] and not at then
        kept[#kept + 1] = {e[2], e[3], escaped(e[2]) .. "=" .. escaped(e[3])}
      end
      pieces = kept
    end
  end
  if not changed then
    return path
  end
  local out = {}
  for i, p in ipairs(pieces) do
    out[i] = p[3]
  end
  return match(path, "^[^?]*") .. (#out > 0 and "?" or "") .. concat(out, "&")
end

local function apply(st)
  local edits, handle, later = st.edits, st.handle, nil
  if st.new_body then
    local buffer = handle:body(true)
    resumed(st)
    buffer:setBytes(st.new_body)
    st.new_body = nil
  end
  if not edits then
    return
  end
  local headers, path = map_of(st), nil
  for _, e in ipairs(edits) do
    local kind = e[1]
    if kind == "set" then
      headers:replace(e[2], e[3])
    elseif kind == "add" then
      headers:add(e[2], e[3])
    elseif kind == "remove" then
      headers:remove(e[2])
    elseif kind == "path" then
      path = e[3] .. match(path or headers:get(":path"), "^[^?]*(.*)$")
    elseif kind == "query" then
      path = path or headers:get(":path")
    elseif kind == "metadata" then
      handle:streamInfo():dynamicMetadata():set(SPACE, e[2], e[3])
    else
      later = later or {}
      later[#later + 1] = {kind == "response" and "set" or "add", e[2], e[3]}
    end
  end
  if path then
    headers:replace(":path", apply_query(path, edits))
  end
  if later then
    handle:streamInfo():dynamicMetadata():set(OWN, "response", later)
  end
  st.edits = nil
end

-- Metadata is of use whatever was decided.
local function apply_metadata(st)
  for _, e in ipairs(st.edits or {}) do
    if e[1] == "metadata" then
      st.handle:streamInfo():dynamicMetadata():set(SPACE, e[2], e[3])
    end
  end
end

-- The headers go on to where the body goes.
local function send_headers(st)
  if not st.sent then
    apply(st)
    st.sent = true
  end
end

-- ---- Answers ----

local answer_fields = {body = true, headers = true, status = true}

-- What T says, of a status from LOW on.
local function answer_of(t, low, level)
  t = t or {}
  if type(t) ~= "table" then
    error("an answer is a table, such as {status = 403}", level + 1)
  end
  for k in next, t do
    if not answer_fields[k] then
      error("an answer has no '" .. tostring(k) .. "'; there are body, headers and status", level + 1)
    end
  end
  local d = {status = t.status or 403, headers = {}, body = nil}
  if type(d.status) ~= "number" or d.status ~= floor(d.status) or d.status < low or d.status > 599 then
    error("status must be a whole number from " .. low .. " to 599", level + 1)
  end
  if t.body ~= nil then
    d.body = plain(t.body, "body", BODY_BYTES, level + 1)
  end
  if t.headers ~= nil and type(t.headers) ~= "table" then
    error("headers must be a table", level + 1)
  end
  for name, v in pairs(t.headers or {}) do
    local values = {}
    for i, one in ipairs(type(v) == "table" and v or {v}) do
      values[i] = header_value(one, level + 1)
    end
    d.headers[#d.headers + 1] = {header_name(name, level + 1), values}
  end
  return d
end

local function respond(handle, d)
  local headers = {[":status"] = string.format("%d", d.status)}
  for _, h in ipairs(d.headers) do
    headers[h[1]] = h[2]
  end
  return handle:respond(headers, d.body)
end

-- Envoy has no answer on the way back: what comes becomes it.
local function become(handle, d)
  local headers = handle:headers()
  local names = all_headers(headers)
  for _, name in ipairs(names) do
    headers:remove(name)
  end
  headers:replace(":status", string.format("%d", d.status))
  for _, h in ipairs(d.headers) do
    for _, v in ipairs(h[2]) do
      headers:add(h[1], v)
    end
  end
  handle:body(true):setBytes(d.body or "")
end

-- ---- Streamed bodies ----

-- What was written takes the place of the chunk at hand.
local function settle(st)
  if st.chunk and st.written[1] then
    st.chunk:setBytes(concat(st.written))
  end
end

local function chunks(self)
  local st = live(self, 2)
  if not st.spec or st.spec.mode ~= "streamed" then
    error("chunks are there with response_body = {mode = \"streamed\"} in the plugin's table", 2)
  end
  if st.chunk_source then
    error("the body can be read once", 2)
  end
  map_of(st):remove("content-length")
  send_headers(st)
  st.chunk_source = st.handle:bodyChunks()
  return function()
    while not st.ended do
      settle(st)
      local chunk = st.chunk_source()
      resumed(st)
      if not chunk then
        st.ended = true
        return nil
      end
      local length = chunk:length()
      local text = length > 0 and chunk:getBytes(0, length)
      st.chunk, st.written, st.text = chunk, {}, text or ""
      if text then
        chunk:setBytes("")
        return text
      end
    end
  end
end

local function write(self, text)
  local st = live(self, 2)
  text = plain(text, "what is written", CHUNK_BYTES, 2)
  if not st.chunk then
    error(st.ended and "there is no body to write to" or "write while the body's chunks are read", 2)
  end
  st.written[#st.written + 1] = text
  if st.ended and not pcall(settle, st) then
    error("the body is over: trailers came behind it", 2)
  end
end

-- What is left of a body whose hook failed: nothing, or all.
local function drain(st, open)
  if open and st.chunk then
    st.chunk:setBytes(st.text)
  end
  if not open and st.chunk_source and not st.ended then
    for chunk in st.chunk_source do
      chunk:setBytes("")
    end
  end
end

-- ---- Requests ----

local request_getters = {
  body = body_of,
  headers = function(st) return setmetatable({[STATE] = st}, Headers) end,
  host = function(st) return map_of(st):get(":authority") end,
  id = function(st) return named(map_of(st):get("x-request-id")) end,
  method = function(st) return map_of(st):get(":method") end,
  path = function(st) return match(map_of(st):get(":path"), "^[^?]*") end,
  peer = function(st)
    local tls = st.handle:streamInfo():downstreamSslConnection()
    if not tls or not tls:peerCertificatePresented() then
      return nil
    end
    return {dns_sans = tls:dnsSansPeerCertificate(), sha256 = tls:sha256PeerCertificateDigest(),
            subject = tls:subjectPeerCertificate(), uri_sans = tls:uriSanPeerCertificate()}
  end,
  query = function(st)
    local pieces = pieces_of(map_of(st):get(":path"))
    return setmetatable({[STATE] = setmetatable({pieces = pieces}, {__index = st})}, Query)
  end,
  route = function(st) return named(st.handle:streamInfo():routeName()) end,
  scheme = function(st) return map_of(st):get(":scheme") end,
  sni = function(st) return named(st.handle:streamInfo():requestedServerName()) end,
  source = function(st) return address_of(st.handle:streamInfo():downstreamRemoteAddress()) end,
}

local request_methods = {
  add_header = function(self, name, value)
    edit(live(self, 2), "add", header_name(name, 2), header_value(value, 2))
  end,
  add_response_header = function(self, name, value)
    edit(live(self, 2), "response_add", header_name(name, 2), header_value(value, 2))
  end,
  deny = function(self, t)
    local st = live(self, 2)
    decide(st, answer_of(t, 300, 2))
    return false
  end,
  remove_header = function(self, name)
    edit(live(self, 2), "remove", header_name(name, 2))
  end,
  remove_query = function(self, name)
    edit(live(self, 2), "query", plain(name, "a query's name", VALUE_BYTES, 2))
  end,
  set_header = function(self, name, value)
    edit(live(self, 2), "set", header_name(name, 2), header_value(value, 2))
  end,
  set_metadata = function(self, key, value)
    local kind = type(value)
    if kind ~= "string" and kind ~= "number" and kind ~= "boolean" and kind ~= "table" then
      error("metadata must be a string, number, boolean or table, not a " .. kind, 2)
    end
    edit(live(self, 2), "metadata", plain(key, "a key of metadata", VALUE_BYTES, 2), value)
  end,
  set_query = function(self, name, value)
    edit(live(self, 2), "query", plain(name, "a query's name", VALUE_BYTES, 2), plain(value, "a query's value", VALUE_BYTES, 2))
  end,
  set_response_header = function(self, name, value)
    edit(live(self, 2), "response", header_name(name, 2), header_value(value, 2))
  end,
}

local function trailers_of(st)
  send_headers(st)
  local t = st.handle:trailers()
  resumed(st)
  return t
end

local function trailers(st)
  return trailers_of(st) and setmetatable({[STATE] = st}, Trailers)
end

-- Sets a trailer of WHAT.
local function trailer_setter(what)
  return function(self, name, value)
    name, value = header_name(name, 2), header_value(value, 2)
    local t = trailers_of(live(self, 2))
    if not t then
      error(what .. " has no trailers", 2)
    end
    t:replace(name, value)
  end
end

-- Of transform_request alone. A request's body cannot be changed in pieces: each sets a content-length, and the headers may
-- still wait for a connection.
local transform_methods = {
  respond = function(self, t)
    local st = live(self, 2)
    if st.sent and st.too_large then
      error("the request is on its way: answer it before its trailers", 2)
    end
    decide(st, answer_of(t, 200, 2))
    return false
  end,
  set_body = function(self, text)
    local st = live(self, 2)
    if st.sent then
      error("the body is on its way: write its chunks", 2)
    end
    st.new_body = plain(text, "a body", BODY_BYTES, 2)
  end,
  set_host = function(self, host)
    local v = header_value(host, 2)
    if not find(v, "^[%w.:_%[%]-]+$") then
      error("'" .. v .. "' cannot be a host", 2)
    end
    edit(live(self, 2), "set", ":authority", v)
  end,
  set_method = function(self, method)
    if type(method) ~= "string" or not find(method, "^%u+$") or #method > 20 then
      error("'" .. tostring(method) .. "' cannot be a method", 2)
    end
    edit(live(self, 2), "set", ":method", method)
  end,
  set_path = function(self, path)
    if type(path) ~= "string" or not find(path, "^/[^%c ?#]*$") or #path > VALUE_BYTES then
      error("a path begins with / and has no query, such as \"/a/b\"", 2)
    end
    edit(live(self, 2), "path", nil, path)
  end,
  set_trailer = trailer_setter("the request"),
}
for name, fn in next, request_methods do
  if name ~= "deny" then
    transform_methods[name] = fn
  end
end

local Authorize = handle_class("the request", request_getters, request_methods)
local transform_getters = {trailers = trailers}
for name, fn in next, request_getters do
  transform_getters[name] = fn
end
local Transform = handle_class("the request", transform_getters, transform_methods)

-- ---- Responses ----

-- What came with the request, as far as it is kept: its headers.
local Origin = handle_class("the request of a response", {
  headers = function(st) return setmetatable({[STATE] = st}, OriginHeaders) end,
  host = function(st) return st.handle:requestHeaders():get(":authority") end,
  id = function(st) return named(st.handle:requestHeaders():get("x-request-id")) end,
  method = function(st) return st.handle:requestHeaders():get(":method") end,
  path = function(st) return match(st.handle:requestHeaders():get(":path") or "", "^[^?]*") end,
  scheme = function(st) return st.handle:requestHeaders():get(":scheme") end,
}, {})

local Response = handle_class("the response", {
  body = body_of,
  headers = request_getters.headers,
  request = function(st)
    return setmetatable({[STATE] = {handle = st.handle, way = st}}, Origin)
  end,
  status = function(st) return tonumber(map_of(st):get(":status")) end,
  trailers = trailers,
}, {
  add_header = request_methods.add_header,
  chunks = chunks,
  remove_header = request_methods.remove_header,
  respond = transform_methods.respond,
  set_body = transform_methods.set_body,
  set_header = request_methods.set_header,
  set_status = function(self, status)
    if type(status) ~= "number" or status ~= floor(status) or status < 200 or status > 599 then
      error("status must be a whole number from 200 to 599", 2)
    end
    edit(live(self, 2), "set", ":status", string.format("%d", status))
  end,
  set_trailer = trailer_setter("the response"),
  write = write,
})

-- ---- What Envoy calls ----

local configurations, count = {}, 0

-- The configuration of the route, made once.
local function configuration(handle)
  local context = handle:filterContext()
  local id = context and context:get("id")
  local c = id and configurations[id]
  if c then
    return c
  end
  if not id then
    return nil
  end
  if count >= CONFIGURATIONS then
    configurations, count = {}, 0
  end
  c = {conf = lua.configuration(context:get("conf")), open = context:get("open") == true}
  configurations[id] = c
  count = count + 1
  return c
end

local unconfigured = {open = false}

-- Of many errors some are told.
local told, told_at = 0, 0
local function failed(handle, hook, words, open)
  words = "plugin " .. PLUGIN.name .. ": " .. hook .. ": " .. tostring(words)
  handle:streamInfo():dynamicMetadata():set(SPACE, "error", words)
  local now = floor((handle:timestamp() or 0) / 1000)
  if now ~= told_at then
    told, told_at = 0, now
  end
  told = told + 1
  if told > 10 then
    return
  end
  if open then
    handle:logWarn(words .. "; it goes on without the plugin")
  else
    handle:logErr(words)
  end
end

local FAILURE = {status = 503, headers = {}, body = "a plugin failed\n"}

local function call(hook, st, class, conf)
  return pcall(hooks[hook], conf, setmetatable({[STATE] = st}, class))
end

local REFUSAL = {status = 403, headers = {}}

-- Runs the hooks of the request on ST. False and words: one failed.
local function run_request(st, c)
  if hooks.authorize then
    local ok, r = call("authorize", st, Authorize, c.conf)
    if st.decision then
      return true
    end
    if not ok then
      return false, r, "authorize"
    end
    if r == false then
      st.decision = REFUSAL
      return true
    end
    if r ~= nil and r ~= true then
      return false, "it returned a " .. type(r) .. ": true and nil allow, false denies, req:deny{} tells how", "authorize"
    end
  end
  if hooks.transform_request then
    local ok, r = call("transform_request", st, Transform, c.conf)
    if st.decision then
      return true
    end
    if not ok then
      return false, r, "transform_request"
    end
  end
  return true
end

local function on_request(handle)
  begins(handle)
  local c = configuration(handle) or unconfigured
  local st = {handle = handle, spec = PLUGIN.request_body, too_large = 413}
  local ok, words, hook = false, "there is no configuration", "authorize"
  if c.conf then
    ok, words, hook = run_request(st, c)
  end
  if ok and not st.decision and (st.edits or st.new_body) then
    ok, words = pcall(apply, st)
    hook = "edits"
  end
  st.over = true
  if not ok then
    failed(handle, hook, words, c.open)
    return not c.open and not st.sent and respond(handle, FAILURE) or nil
  end
  if st.decision then
    apply_metadata(st)
    return respond(handle, st.decision)
  end
end

local function later_headers(handle)
  local own = handle:streamInfo():dynamicMetadata():get(OWN)
  local headers = own and handle:headers()
  for _, e in ipairs(own and own.response or {}) do
    if e[1] == "set" then
      headers:replace(e[2], e[3])
    else
      headers:add(e[2], e[3])
    end
  end
end

local function on_response(handle)
  begins(handle)
  later_headers(handle)
  if not hooks.transform_response then
    return
  end
  local c = configuration(handle) or unconfigured
  local st = {handle = handle, spec = PLUGIN.response_body}
  local ok, words = false, "there is no configuration"
  if c.conf then
    ok, words = call("transform_response", st, Response, c.conf)
  end
  if ok and not st.decision then
    ok, words = pcall(apply, st)
  end
  st.over = true
  if not ok and not st.decision then
    failed(handle, "transform_response", words, c.open)
  end
  if st.sent then
    if not ok then
      return drain(st, c.open)
    end
    return settle(st)
  end
  if st.decision then
    return become(handle, st.decision)
  end
  if not ok and not c.open then
    return become(handle, FAILURE)
  end
end

if not LUAJIT then
  return {on_request = on_request, on_response = on_response}
end

-- An error that came up to Envoy would let the request pass.
local function guarded(fn, instead)
  return function(handle)
    local ok, words = pcall(fn, handle)
    if not ok then
      handle:logErr("plugin " .. PLUGIN.name .. ": " .. tostring(words))
      instead(handle, FAILURE)
    end
  end
end

-- Without a function of that name Envoy does not stop on the way.
if hooks.authorize or hooks.transform_request then
  envoy_on_request = guarded(on_request, respond)
end
if hooks.transform_response or PLUGIN.answers then
  envoy_on_response = guarded(on_response, become)
end
