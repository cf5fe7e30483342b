-- docker: upstreams from containers that say by labels what they are. Docker is asked through its socket.
local json = require "solder.json"
local s = require "solder.schema"
local url = require "solder.url"

-- V, or an empty table where it is none: Docker has null in places.
local function all_of(v)
  return type(v) == "table" and v or {}
end

local function number(text, most)
  local n = math.tointeger(tonumber(text))
  return n and n >= 1 and n <= most and n or nil
end

-- The container's port: what its label says, or the only one it exposes.
local function port_of(label, ports)
  if label then
    local port = number(label, 65535)
    return port, not port and "its label port is '" .. label .. "', not 1 to 65535" or nil
  end
  local only
  for _, p in ipairs(ports) do
    if p.Type == "tcp" and p.PrivatePort ~= only then
      if only then
        return nil, "it exposes several ports: say which by its label port"
      end
      only = p.PrivatePort
    end
  end
  return only, not only and "it exposes no port: say which by its label port" or nil
end

-- Where PORT is published on this machine.
local function published(conf, port, ports)
  for _, p in ipairs(ports) do
    if p.PrivatePort == port and p.Type == "tcp" and number(p.PublicPort, 65535) then
      return {address = conf.host, port = p.PublicPort}
    end
  end
  return nil, ("its port %d is not published"):format(port)
end

-- Where PORT is in the network of this name, or in the only one.
local function inside(name, port, networks)
  local found, several
  for n, network in pairs(networks) do
    if not name or n == name then
      several = found ~= nil
      found = network
    end
  end
  if not found or several then
    return nil, several and "it is in several networks: say which by its label network" or name and "it is not in network " .. name or "it is in no network"
  end
  local address = found.IPAddress
  if type(address) ~= "string" or address == "" then
    return nil, "it has no address in its network"
  end
  return {address = address, port = port}
end

-- The name of the upstream that container C belongs to and its endpoint; a name alone: it is not well; nil and words: it cannot be used.
local function read(conf, c)
  local labels, ports, status = all_of(c.Labels), all_of(c.Ports), tostring(c.Status)
  local name = labels[conf.prefix .. ".upstream"]
  if type(name) ~= "string" or #name > 200 or not name:find("^[a-z0-9][a-z0-9.-]*$") then
    return nil, "its label upstream is no name of one: a-z, 0-9, '-' and '.'"
  end
  if conf.healthy and (status:find("(unhealthy)", 1, true) or status:find("(health: starting)", 1, true)) then
    return name
  end
  local port, words = port_of(labels[conf.prefix .. ".port"], ports)
  local endpoint
  if port and conf.reach == "host" then
    endpoint, words = published(conf, port, ports)
  elseif port then
    endpoint, words = inside(labels[conf.prefix .. ".network"] or conf.network, port, all_of(all_of(c.NetworkSettings).Networks))
  end
  if not endpoint then
    return nil, words
  end
  local weight = labels[conf.prefix .. ".weight"]
  endpoint.weight = weight and number(weight, 1000000)
  if weight and not endpoint.weight then
    return nil, "its label weight is '" .. weight .. "', not 1 to 1000000"
  end
  return name, endpoint
end

-- The upstreams of a list of containers, and words of those that are left out: one that is labelled wrongly is no reason
-- to do without the others.
local function upstreams_of(conf, list)
  local upstreams, wrong = {}, {}
  for _, c in ipairs(list) do
    local name, endpoint = read(conf, c)
    if name then
      upstreams[name] = upstreams[name] or {endpoints = {}}
      table.insert(upstreams[name].endpoints, endpoint)
    else
      wrong[#wrong + 1] = ("container %s is left out: %s"):format(all_of(c.Names)[1] or c.Id, endpoint)
    end
  end
  return upstreams, wrong
end

return {
  api = 1,
  name = "docker",
  version = "1.0.0",
  summary = "Finds upstreams in the containers of a Docker by their labels.",
  needs = {"http", "files"},

  schema = s.record{
    socket = s.string{max = 107, pattern = "/.*", doc = "Docker's socket, which has to be granted; without it nothing is found.",
      example = "/var/run/docker.sock"},
    prefix = s.string{default = "solder", min = 1, max = 100, doc = "What labels begin with: solder.upstream, .port, .network, .weight."},
    every = s.duration{default = "5s", min = "1s", max = "1h", doc = "How long after an answer Docker is asked again."},
    timeout = s.duration{default = "5s", min = "100ms", max = "1m", doc = "How long Docker may take."},
    reach = s.enum{"network", "host", default = "network",
      doc = "network: containers are reached at their own addresses; host: at the ports they publish on this machine."},
    network = s.string{min = 1, max = 200, doc = "The network whose addresses count, for containers that are in several.", example = "front"},
    host = s.host{default = "127.0.0.1", doc = "With reach host: the address of this machine."},
    healthy = s.boolean{default = true, doc = "Containers that Docker calls unhealthy, or still starting, get no requests."},
  },

  discover = function(conf, d)
    if not conf.socket then
      return d.publish{upstreams = {}}
    end
    local filters = json.encode{label = json.array{conf.prefix .. ".upstream"}, status = json.array{"running"}}
    local said
    d.every(conf.every, function()
      local answer, words = d.http{url = "http://docker/containers/json?" .. url.build_query{filters = filters}, socket = conf.socket, timeout = conf.timeout}
      if not answer then
        error(words, 0)
      elseif answer.status ~= 200 then
        error("Docker answers with status " .. answer.status, 0)
      end
      local list = json.decode(answer.body)
      if type(list) ~= "table" then
        error("what answers at " .. conf.socket .. " is not Docker: no list of containers", 0)
      end
      local upstreams, wrong = upstreams_of(conf, list)
      d.publish{upstreams = upstreams}
      words = table.concat(wrong, "; ")
      if words ~= (said or "") then
        print(words ~= "" and words or "no container is left out any more")
      end
      said = words
    end)
  end,
}
