-- Envoy, for specs of edge code: handles as its Lua filter gives them, on requests that are tables. Bodies never make anybody
-- wait, connections have no TLS but what the request says, and nobody routes.
--
-- EDGE is what lua/edge.lua gave: on_request(handle), on_response(handle).
local EDGE = ...

-- ---- Headers ----

local Map = {}
Map.__index = Map

function Map:get(name)
  local values = {}
  for _, h in ipairs(self.list) do
    if h[1] == name:lower() then
      values[#values + 1] = h[2]
    end
  end
  if values[1] then
    return table.concat(values, ",")
  end
end

function Map:add(name, value)
  self.list[#self.list + 1] = {name:lower(), value}
end

function Map:remove(name)
  local kept = {}
  for _, h in ipairs(self.list) do
    if h[1] ~= name:lower() then
      kept[#kept + 1] = h
    end
  end
  self.list = kept
end

function Map:replace(name, value)
  for i, h in ipairs(self.list) do
    if h[1] == name:lower() then
      self:remove(name)
      table.insert(self.list, math.min(i, #self.list + 1), {name:lower(), value})
      return
    end
  end
  self:add(name, value)
end

function Map:__pairs()
  local i = 0
  return function()
    i = i + 1
    if self.list[i] then
      return self.list[i][1], self.list[i][2]
    end
  end
end

-- FIRST: pseudo headers, in order; then those of the table, by name.
local function map_of(first, headers)
  local map = setmetatable({list = {}}, Map)
  for _, h in ipairs(first) do
    map:add(h[1], h[2])
  end
  for name, v in pairs(headers or {}) do
    for _, one in ipairs(type(v) == "table" and v or {v}) do
      map:add(name, tostring(one))
    end
  end
  return map
end

-- What is in MAP but pseudo headers; several of a name are joined.
local function plain(map)
  local out = {}
  for name, value in pairs(map) do
    if name:sub(1, 1) ~= ":" then
      out[name] = out[name] and out[name] .. "," .. value or value
    end
  end
  return out
end

-- ---- Bodies ----

local Buffer = {}
Buffer.__index = Buffer

function Buffer:length()
  return #self.text
end

function Buffer:getBytes(from, n)
  return self.text:sub(from + 1, from + n)
end

function Buffer:setBytes(text)
  self.text = text
  if self.map then -- of a whole body
    self.map:replace("content-length", tostring(#text))
  end
  return #text
end

-- ---- A stream ----

local Handle = {}
Handle.__index = Handle

-- SIDE: map, chunks (texts), trailers (a map, or nil); SHARED: what both ways have.
local function handle_of(side, shared)
  return setmetatable({side = side, shared = shared}, Handle)
end

function Handle:headers()
  return self.side.map
end

function Handle:requestHeaders()
  return self.shared.origin
end

function Handle:trailers()
  return self.side.trailers
end

function Handle:body(always)
  local side = self.side
  if not side.buffer then
    local text = table.concat(side.chunks)
    if text == "" and not always then
      return nil
    end
    side.buffer = setmetatable({text = text, map = side.map}, Buffer)
  end
  return side.buffer
end

function Handle:bodyChunks()
  local side, i = self.side, 0
  side.out = {}
  return function()
    i = i + 1
    if side.chunks[i] then
      side.out[i] = setmetatable({text = side.chunks[i]}, Buffer)
      return side.out[i]
    end
  end
end

function Handle:respond(headers, body)
  local first = {{":status", headers[":status"]}}
  headers[":status"] = nil
  local map = map_of(first, headers)
  if body then
    map:replace("content-length", tostring(#body))
  end
  self.shared.answer = {map = map, chunks = {body}}
end

function Handle:filterContext()
  local context = self.shared.context
  return {get = function(_, key) return context[key] end}
end

-- Exchanges are a second apart.
function Handle:timestamp()
  return self.shared.context.id * 1000
end

function Handle:logInfo(words)
  table.insert(self.shared.log, words)
end
Handle.logWarn, Handle.logErr = Handle.logInfo, Handle.logInfo

function Handle:streamInfo()
  local shared = self.shared
  local r, metadata = shared.request, shared.metadata
  local info, dynamic, tls = {}, {}, nil
  function dynamic:get(space)
    return metadata[space]
  end
  function dynamic:set(space, key, value)
    metadata[space] = metadata[space] or {}
    metadata[space][key] = value
  end
  if r.peer then
    tls = {
      dnsSansPeerCertificate = function() return r.peer.dns_sans or {} end,
      peerCertificatePresented = function() return true end,
      sha256PeerCertificateDigest = function() return r.peer.sha256 or "" end,
      subjectPeerCertificate = function() return r.peer.subject or "" end,
      uriSanPeerCertificate = function() return r.peer.uri_sans or {} end,
    }
  end
  function info:dynamicMetadata() return dynamic end
  function info:downstreamRemoteAddress() return (r.source or "127.0.0.1") .. ":40000" end
  function info:downstreamSslConnection() return tls end
  function info:requestedServerName() return r.sni or "" end
  function info:routeName() return r.route or "" end
  return info
end

-- ---- An exchange ----

local function chunks_of(body)
  return type(body) == "table" and body or body and {body} or {}
end

local function body_of(side)
  if side.buffer then
    return side.buffer.text
  end
  if not side.out then
    return table.concat(side.chunks)
  end
  local out = {}
  for i, text in ipairs(side.chunks) do
    out[i] = side.out[i] and side.out[i].text or text
  end
  return table.concat(out)
end

local exchanges = 0

-- What becomes of request R: what goes on to the upstream, and what comes back.
return function(r)
  local request = {chunks = chunks_of(r.body)}
  exchanges = exchanges + 1
  request.map = map_of({{":authority", r.host}, {":path", r.path}, {":method", r.method}, {":scheme", r.scheme}}, r.headers)
  if #request.chunks == 1 then
    request.map:replace("content-length", tostring(#request.chunks[1]))
  end
  request.trailers = r.trailers and map_of({}, r.trailers)
  if r.id then
    request.map:replace("x-request-id", r.id)
  end
  local shared = {request = r, log = {}, metadata = {}, origin = request.map,
                  context = {conf = r.conf, id = exchanges, open = r.open}}
  EDGE.on_request(handle_of(request, shared))
  local result = {log = shared.log}
  local response = shared.answer
  if not response then
    local map = request.map
    result.forwarded = {method = map:get(":method"), path = map:get(":path"), host = map:get(":authority"),
                        scheme = map:get(":scheme"), headers = plain(map), body = body_of(request),
                        trailers = request.trailers and plain(request.trailers)}
    local upstream = r.response or {}
    response = {chunks = chunks_of(upstream.body), map = map_of({{":status", tostring(upstream.status or 200)}}, upstream.headers)}
    response.trailers = upstream.trailers and map_of({}, upstream.trailers)
  end
  EDGE.on_response(handle_of(response, shared))
  result.status = tonumber(response.map:get(":status"))
  result.headers, result.body = plain(response.map), body_of(response)
  result.trailers = response.trailers and plain(response.trailers)
  result.metadata = shared.metadata["solder." .. r.plugin] or {}
  return result
end
