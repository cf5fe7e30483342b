-- nomad: upstreams from the services that Nomad knows. The list of them is asked for by blocking queries: its index is that of all
-- registrations, so it moves with each instance that comes or goes; then each service is read.
local json = require "solder.json"
local s = require "solder.schema"
local template = require "solder.template"
local url = require "solder.url"

local RATE = 8 -- services read in a second, for a task may ask 600 times a minute

-- What Nomad says at PATH: the answer's list and its index; of a service that is not there an empty one.
local function ask(d, conf, path, query, timeout)
  local headers = {}
  if conf.token_file then
    local token, words = d.file.read(conf.token_file)
    if not token then
      error("token_file: " .. words, 0)
    end
    headers["x-nomad-token"] = token:match("^%s*(.-)%s*$")
  end
  local answer, words = d.http{url = conf.address:gsub("/+$", "") .. path .. "?" .. url.build_query(query), headers = headers, timeout = timeout,
                               ca_file = conf.ca_file, cert_file = conf.cert_file, key_file = conf.key_file}
  if not answer then
    error(words, 0)
  elseif answer.status == 404 then
    return {}, 0
  elseif answer.status == 403 then
    error("Nomad refuses the token: it needs the capability read-job in the namespaces (token_file)", 0)
  elseif answer.status ~= 200 then
    error(("Nomad answers %s with status %d"):format(path, answer.status), 0)
  end
  local list, index = json.decode(answer.body), tonumber(answer.headers["x-nomad-index"])
  if type(list) ~= "table" or not index then
    error(("what answers %s is not Nomad: no list, or no x-nomad-index; look at address"):format(path), 0)
  end
  return list, index
end

local function has_all(tags, wanted)
  local has = {}
  for _, tag in ipairs(type(tags) == "table" and tags or {}) do
    has[tag] = true
  end
  for _, tag in ipairs(wanted or {}) do
    if not has[tag] then
      return false
    end
  end
  return true
end

local function is_in(list, value)
  for _, v in ipairs(list) do
    if v == value or v == "*" then
      return true
    end
  end
  return false
end

-- The services of the list that are wanted: {namespace, service, name}.
local function wanted(conf, name, list)
  local out, of = {}, {}
  for _, group in ipairs(list) do
    for _, service in ipairs(is_in(conf.namespaces, group.Namespace) and group.Services or {}) do
      if has_all(service.Tags, conf.tags) then
        local x = {namespace = group.Namespace, service = service.ServiceName}
        x.name = assert(name:render(x)):lower():gsub("[^a-z0-9.-]", "-")
        local other = of[x.name]
        if other then
          error(("the services %s of namespace %s and %s of %s would both be upstream %s: say more in name"):format(
            other.service, other.namespace, x.service, x.namespace, x.name), 0)
        end
        of[x.name] = x
        out[#out + 1] = x
      end
    end
  end
  return out
end

local function read(d, conf, x)
  local endpoints = {}
  for _, r in ipairs(ask(d, conf, "/v1/service/" .. url.encode(x.service), {namespace = x.namespace}, conf.timeout)) do
    if has_all(r.Tags, conf.tags) then
      endpoints[#endpoints + 1] = {address = r.Address, port = r.Port}
    end
  end
  return {endpoints = endpoints, labels = {nomad_namespace = x.namespace, nomad_service = x.service}}
end

return {
  api = 1,
  name = "nomad",
  version = "1.0.0",
  summary = "Finds upstreams in Nomad's services.",
  needs = {"http", "files"},

  schema = s.record{
    address = s.url{doc = "Nomad's API; without it nothing is found.", example = "https://nomad.example.org:4646"},
    token_file = s.string{max = 1024, pattern = "/.*", doc = "A granted file with an ACL token (read-job); it is read for each question."},
    ca_file = s.string{max = 1024, pattern = "/.*", doc = "A granted file: whom to trust."},
    cert_file = s.string{max = 1024, pattern = "/.*", doc = "A granted file: the client's certificate."},
    key_file = s.string{max = 1024, pattern = "/.*", doc = "A granted file: its key."},
    namespaces = s.list(s.string{min = 1, max = 128}, {default = {"default"}, min = 1, max = 100,
      doc = "Whose services count; * is all that the token may see.", example = {"default", "shop"}}),
    tags = s.list(s.string{min = 1, max = 200}, {max = 20, doc = "Instances count only with all of these.", example = {"public"}}),
    name = s.string{default = "{service}", min = 1, max = 200, doc = "Template: the upstream's name, of {service} and {namespace}.",
      example = "{namespace}-{service}"},
    wait = s.duration{default = "1m", min = "1s", max = "10m", doc = "How long Nomad holds a question when nothing changes."},
    timeout = s.duration{default = "5s", min = "100ms", max = "1m", doc = "How long an answer may take beyond that."},
  },

  check = function(conf, fail)
    local name, words = template.compile(conf.name)
    if name then
      words = select(2, name:render{service = "s", namespace = "n"})
    end
    if words then
      fail("name", words)
    elseif (conf.namespaces[2] or conf.namespaces[1] == "*") and not conf.name:find("{namespace", 1, true) then
      fail("name", "with several namespaces it needs {namespace}, such as {namespace}-{service}")
    end
  end,

  discover = function(conf, d)
    if not conf.address then
      return d.publish{upstreams = {}}
    end
    local name = assert(template.compile(conf.name))
    local query = {namespace = conf.namespaces[2] and "*" or conf.namespaces[1]}
    local timeout = conf.timeout
    while true do
      local list, index = ask(d, conf, "/v1/services", query, timeout)
      if index ~= query.index then -- also one that went back, as it does when Nomad is restored
        local upstreams = {}
        for _, x in ipairs(wanted(conf, name, list)) do
          upstreams[x.name] = read(d, conf, x)
          d.sleep(1 / RATE)
        end
        d.publish{upstreams = upstreams}
      end
      if index > 0 then
        query.index, query.wait = index, math.ceil(conf.wait) .. "s"
        timeout = conf.timeout + conf.wait * 17 / 16 -- Nomad adds up to a sixteenth
      else
        query.index, query.wait, timeout = nil, nil, conf.timeout
      end
      d.sleep(1)
    end
  end,
}
