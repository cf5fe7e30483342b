-- dns-srv: upstreams whose endpoints DNS knows by SRV records. Targets are looked up too, so Envoy gets addresses.
local cache = require "solder.cache"
local json = require "solder.json"
local s = require "solder.schema"

local known = cache.new{max = 1000} -- by name of the upstream: its endpoints as of the last answer, as JSON

-- The addresses of a target, each asked for once in a round.
local function addresses_of(d, conf, target, round)
  if not round[target] then
    local list, words = d.dns(target, "addresses", conf.server)
    if not list then
      return nil, words
    end
    round[target] = list
  end
  return round[target]
end

-- The records that count.
local function usable(conf, records)
  local out, weighted = {}, false
  for _, r in ipairs(records) do -- those to be used first are in front
    if r.port > 0 and (conf.priorities == "all" or not out[1] or r.priority == out[1].priority) then
      out[#out + 1] = r
      weighted = weighted or r.weight > 0
    end
  end
  return out, weighted
end

-- The endpoints that RECORD names, or nil and words.
local function find(d, conf, record, round)
  local records, words = d.dns(record, "SRV", conf.server)
  if not records then
    return nil, words
  end
  local list, weighted = usable(conf, records)
  local out = {}
  for _, r in ipairs(list) do
    local addresses, wrong = addresses_of(d, conf, r.target, round)
    if not addresses then
      return nil, wrong
    end
    for _, address in ipairs(addresses) do
      out[#out + 1] = {address = address, port = r.port, weight = weighted and math.max(1, r.weight) or nil}
    end
  end
  return out
end

return {
  api = 1,
  name = "dns-srv",
  version = "1.0.0",
  summary = "Finds the endpoints of upstreams by SRV records of DNS.",
  needs = {"dns"},

  schema = s.record{
    services = s.map(s.string{min = 1, max = 253, pattern = "[A-Za-z0-9._-]+"}, {max = 200,
      doc = "Names of upstreams, and the SRV record of each; without it nothing is found.", example = {shop = "_http._tcp.shop.example.org"}}),
    server = s.string{min = 1, max = 253, doc = "The DNS server, as HOST:PORT, asked over TCP; the system's by default.", example = "10.0.0.2:53"},
    every = s.duration{default = "15s", min = "1s", max = "1h", doc = "How long after the answers they are asked for again."},
    priorities = s.enum{"first", "all", default = "first", doc = "Which records count: those to be used first, or all of them alike."},
  },

  check = function(conf, fail)
    for name in pairs(conf.services or {}) do
      if #name > 200 or not name:find("^[a-z0-9][a-z0-9.-]*$") then
        fail("services." .. name, "names of upstreams are made of a-z, 0-9, '-' and '.', at most 200 of them")
      end
    end
  end,

  discover = function(conf, d)
    if not conf.services then
      return d.publish{upstreams = {}}
    end
    d.every(conf.every, function()
      local upstreams, round, whole, changed, wrong = {}, {}, true, false, nil
      for name, record in pairs(conf.services) do
        local list, words = find(d, conf, record, round)
        local before = known:get(name)
        if list then
          local text = json.encode(json.array(list))
          changed = changed or text ~= before
          known:set(name, text)
        else
          wrong, list = wrong or words, before and json.decode(before)
        end
        whole = whole and list ~= nil
        upstreams[name] = list and {endpoints = list}
      end
      -- One that was never answered is not in the set: then what there may be of it from before must stay. While something is wrong
      -- only news is published, for that makes the source one that is up.
      if changed or not wrong then
        d.publish{upstreams = upstreams, increment = not whole}
      end
      if wrong then
        error(wrong, 0)
      end
    end)
  end,
}
