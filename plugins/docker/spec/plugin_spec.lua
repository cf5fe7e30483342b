local json = require "solder.json"
local t = require "solder.test"
local url = require "solder.url"

local SOCKET = "/run/docker.sock"
local ASKED = "http://docker/containers/json?" .. url.build_query{filters = '{"label":["solder.upstream"],"status":["running"]}'}

local function container(labels, more)
  local c = {Id = "0123", Names = {"/one"}, Labels = {["solder.upstream"] = "shop"}, Status = "Up 3 minutes",
             Ports = {{PrivatePort = 80, Type = "tcp"}}, NetworkSettings = {Networks = {bridge = {IPAddress = "172.17.0.2"}}}}
  for name, value in pairs(labels or {}) do
    c.Labels["solder." .. name] = value
  end
  for name, value in pairs(more or {}) do
    c[name] = value
  end
  return c
end

t.describe("docker", function()
  local w

  local function has(...)
    w:http(ASKED, {body = json.encode(json.array{...})})
  end

  local function discover(conf, ...)
    w = t.world()
    w:file(SOCKET, "")
    has(...)
    conf.socket = SOCKET
    w:discover(conf)
    w:pass "100ms"
  end

  t.it("finds containers by their labels", function()
    discover({}, container(), container({upstream = "till", port = "8080", weight = "3"}))
    t.equal(w:endpoints "shop", {"172.17.0.2:80"})
    t.equal(w:upstreams().till.spec.static.hosts, {{addr = "172.17.0.2", port = 8080, loadBalancingWeight = 3}})
  end)

  t.it("follows changes", function()
    discover({}, container())
    has(container({}, {NetworkSettings = {Networks = {bridge = {IPAddress = "172.17.0.3"}}}}))
    w:pass "5s"
    t.equal(w:endpoints "shop", {"172.17.0.3:80"})
    has()
    w:pass "5s"
    t.equal(w:upstreams(), {})
  end)

  t.it("takes the network that is named", function()
    local networks = {NetworkSettings = {Networks = {front = {IPAddress = "10.0.0.1"}, back = {IPAddress = "10.1.0.1"}}}}
    discover({network = "front"}, container({}, networks), container({upstream = "back", network = "back"}, networks))
    t.equal(w:endpoints "shop", {"10.0.0.1:80"})
    t.equal(w:endpoints "back", {"10.1.0.1:80"})
  end)

  t.it("takes ports that are published", function()
    discover({reach = "host"}, container({port = "80"}, {Ports = {{PrivatePort = 80, PublicPort = 30053, Type = "udp"},
                                                                  {PrivatePort = 443, PublicPort = 30443, Type = "tcp"},
                                                                  {PrivatePort = 80, PublicPort = 30080, Type = "tcp"}}}))
    t.equal(w:endpoints "shop", {"127.0.0.1:30080"})
  end)

  t.it("sends nothing to those that are not well", function()
    local sick, starting = {Status = "Up 1 hour (unhealthy)"}, {Status = "Up 2 seconds (health: starting)"}
    discover({}, container({}, sick), container({}, starting), container({port = "81"}, {Status = "Up 1 hour (healthy)"}))
    t.equal(w:endpoints "shop", {"172.17.0.2:81"})
    discover({}, container({}, sick))
    t.equal(w:endpoints "shop", {})
    discover({healthy = false}, container({}, sick))
    t.equal(w:endpoints "shop", {"172.17.0.2:80"})
  end)

  t.it("leaves out containers that cannot be used, and them alone", function()
    local two = {Ports = {{PrivatePort = 80, Type = "tcp"}, {PrivatePort = 81, Type = "tcp"}}}
    for _, bad in ipairs{container({upstream = "Shop!"}), container({port = "0"}), container({port = "x"}), container({weight = "much"}),
                         container({}, two), container({}, {Ports = json.null}), container({network = "none"}),
                         container({}, {NetworkSettings = {Networks = {a = {IPAddress = "10.0.0.1"}, b = {IPAddress = "10.0.0.2"}}}}),
                         container({}, {NetworkSettings = {Networks = {host = {IPAddress = ""}}}}), container({}, {NetworkSettings = json.null}),
                         container({}, {Labels = json.null, Names = json.null})} do
      discover({}, bad, container({upstream = "well"}))
      t.equal(w:problem(), nil)
      t.equal(w:upstreams().shop, nil)
      t.equal(w:endpoints "well", {"172.17.0.2:80"})
    end
    discover({reach = "host"}, container())
    t.equal(w:upstreams(), {})
    has()
    w:pass "5s"
    t.equal(w:problem(), nil)
  end)

  t.it("keeps what it found while Docker does not answer, and says why", function()
    for _, case in ipairs{{"connection refused", "connection refused"}, {{status = 500}, "Docker answers with status 500$"},
                          {{body = '"x"'}, "what answers at /run/docker.sock is not Docker"}} do
      discover({}, container())
      w:http(ASKED, case[1])
      w:pass "5s"
      t.equal(w:endpoints "shop", {"172.17.0.2:80"})
      t.matches(w:problem(), case[2])
      has(container({port = "81"}))
      w:pass "2s"
      t.equal(w:endpoints "shop", {"172.17.0.2:81"})
      t.equal(w:problem(), nil)
    end
  end)

  t.it("finds nothing without a socket", function()
    w = t.world()
    w:discover()
    w:pass "100ms"
    t.equal(w:upstreams(), {})
    t.equal(w:problem(), nil)
  end)
end)
