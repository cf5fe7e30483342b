local json = require "solder.json"
local t = require "solder.test"

local NOMAD = "http://nomad.test:4646"

t.describe("nomad", function()
  local w

  -- SERVICES by namespace: lists of {name, tag, ...}. INDEX; AFTER: whose change it answers, nil: the first question.
  local function list(services, index, after, namespace)
    local body = json.array{}
    for ns, names in pairs(services) do
      local group = {Namespace = ns, Services = json.array{}}
      for i, s in ipairs(names) do
        group.Services[i] = {ServiceName = s[1], Tags = json.array{table.unpack(s, 2)}}
      end
      body[#body + 1] = group
    end
    local query = "namespace=" .. (namespace or "default")
    query = after and ("index=%d&%s&wait=60s"):format(after, query) or query
    w:http(NOMAD .. "/v1/services?" .. query, {body = json.encode(body), headers = {["X-Nomad-Index"] = tostring(index)}})
  end

  local function service(name, endpoints, namespace)
    local body = json.array{}
    for i, e in ipairs(endpoints) do
      body[i] = {ServiceName = name, Address = e[1], Port = e[2], Tags = json.array{table.unpack(e, 3)}}
    end
    w:http(("%s/v1/service/%s?namespace=%s"):format(NOMAD, name, namespace or "default"),
           {body = json.encode(body), headers = {["X-Nomad-Index"] = "1"}})
  end

  t.before_each(function()
    w = t.world()
  end)

  t.it("finds services", function()
    list({default = {{"Shop"}, {"till"}}}, 7)
    service("Shop", {{"10.0.0.1", 80}, {"10.0.0.2", 80}})
    service("till", {})
    w:discover{address = NOMAD .. "/"}
    w:pass "100ms"
    w:pass "1s"
    t.equal(w:endpoints "shop", {"10.0.0.1:80", "10.0.0.2:80"})
    t.equal(w:endpoints "till", {})
    t.equal(w:upstreams().shop.metadata.labels, {discovered_by = "nomad", nomad_namespace = "default", nomad_service = "Shop"})
    t.equal(w:last_request().headers["x-nomad-token"], nil)
  end)

  t.it("follows changes by the index, also one that goes back", function()
    list({default = {{"shop"}}}, 7)
    service("shop", {{"10.0.0.1", 80}})
    list({default = {{"shop"}}}, 9, 7)
    list({default = {{"more"}}}, 3, 9)
    list({default = {{"more"}}}, 3, 3)
    service("more", {{"10.0.0.3", 80}})
    w:discover{address = NOMAD}
    w:pass "100ms"
    w:pass "1s"
    service("shop", {{"10.0.0.2", 80}})
    w:pass "1s"
    t.equal(w:endpoints "shop", {"10.0.0.2:80"})
    w:pass "2s"
    t.equal(w:endpoints "shop", nil)
    t.equal(w:endpoints "more", {"10.0.0.3:80"})
    -- Nothing new: no service is read again.
    local before = #w:requests()
    w:pass "3s"
    t.equal(w:requests()[before + 1], "GET " .. NOMAD .. "/v1/services?index=3&namespace=default&wait=60s")
    t.matches(w:requests()[#w:requests()], "/v1/services")
    t.equal(w:problem(), nil)
  end)

  t.it("asks anew where the index is 0", function()
    list({}, 0)
    w:discover{address = NOMAD}
    w:pass "100ms"
    w:pass "2s"
    t.equal(w:last_request().url, NOMAD .. "/v1/services?namespace=default")
    t.equal(w:problem(), nil)
  end)

  t.it("takes instances with all tags", function()
    list({default = {{"shop", "public", "v1", "v2"}, {"inner", "v2"}}}, 7)
    service("shop", {{"10.0.0.1", 80, "v1", "public"}, {"10.0.0.2", 80, "public", "v2"}})
    w:discover{address = NOMAD, tags = {"public", "v2"}}
    w:pass "100ms"
    w:pass "1s"
    t.equal(w:endpoints "shop", {"10.0.0.2:80"})
    t.equal(w:endpoints "inner", nil)
  end)

  t.it("takes several namespaces", function()
    list({default = {{"shop"}}, eu = {{"shop"}}, secret = {{"shop"}}}, 7, nil, "%2A")
    service("shop", {{"10.0.0.1", 80}})
    service("shop", {{"10.0.0.2", 80}}, "eu")
    w:discover{address = NOMAD, namespaces = {"default", "eu"}, name = "{namespace}-{service}"}
    w:pass "100ms"
    w:pass "1s"
    t.equal(w:endpoints "default-shop", {"10.0.0.1:80"})
    t.equal(w:endpoints "eu-shop", {"10.0.0.2:80"})
    t.equal(w:endpoints "secret-shop", nil)
    t.raises(function()
      t.world():discover{address = NOMAD, namespaces = {"*"}}
    end, "it needs {namespace}")
    t.raises(function()
      t.world():discover{address = NOMAD, name = "{job}"}
    end, "there is no value for 'job'")
  end)

  t.it("does not mix services that would be one upstream", function()
    list({default = {{"a_b"}, {"a.b"}, {"a-b"}}}, 7)
    w:discover{address = NOMAD}
    w:pass "100ms"
    t.matches(w:problem(), "a_b of namespace default and a%-b of default would both be upstream a%-b: say more in name$")
  end)

  t.it("sends a token", function()
    w:file("/run/nomad", "sesame\n")
    list({}, 7)
    w:discover{address = NOMAD, token_file = "/run/nomad"}
    w:pass "100ms"
    t.equal(w:last_request().headers["x-nomad-token"], "sesame")
    w:file("/run/nomad", nil)
    w:pass "1s"
    t.matches(w:problem(), "token_file: there is no file")
  end)

  t.it("keeps what it found when Nomad does not answer as it should, and says why", function()
    for _, case in ipairs{{"connection refused", "connection refused"}, {{status = 500}, "Nomad answers /v1/services with status 500$"},
                          {{status = 403}, "needs the capability read%-job"}, {{body = "[]"}, "is not Nomad"},
                          {{body = "x", headers = {["x-nomad-index"] = "1"}}, "is not Nomad"}} do
      w = t.world()
      list({default = {{"shop"}}}, 7)
      service("shop", {{"10.0.0.1", 80}})
      w:discover{address = NOMAD}
      w:pass "100ms"
      w:http(NOMAD .. "/v1/services?index=7&namespace=default&wait=60s", case[1])
      w:http(NOMAD .. "/v1/services?namespace=default", case[1])
      w:pass "2s"
      t.equal(w:endpoints "shop", {"10.0.0.1:80"})
      t.matches(w:problem(), case[2])
    end
  end)

  t.it("takes a service that went meanwhile for one without endpoints", function()
    list({default = {{"shop"}}}, 7)
    w:http(NOMAD .. "/v1/service/shop?namespace=default", {status = 404})
    w:discover{address = NOMAD}
    w:pass "100ms"
    w:pass "1s"
    t.equal(w:endpoints "shop", {})
  end)

  t.it("finds nothing without an address", function()
    w:discover()
    w:pass "100ms"
    t.equal(w:upstreams(), {})
    t.equal(w:problem(), nil)
  end)
end)
