local t = require "solder.test"

local function gateway(conf)
  return [[
apiVersion: gateway.solo.io/v1
kind: Gateway
metadata: {name: gateway-proxy, namespace: gloo-system}
spec:
  bindAddress: "::"
  bindPort: 8080
  httpGateway:
    options: {extensions: {configs: {request-id: ]] .. conf .. [[}}}
---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: shop, namespace: gloo-system}
spec:
  virtualHost:
    domains: ["*"]
    routes: [{matchers: [{prefix: /}], directResponseAction: {status: 200}}]
]]
end

-- What the connection manager says of ids.
local function ids(conf)
  local listener = t.expect_xds(gateway(conf), "lds", {})
  local http = listener.filterChains[1].filters[1].typedConfig
  return {taken = http.earlyHeaderMutationExtensions and http.earlyHeaderMutationExtensions[1].name, made = http.generateRequestId, kept = http.preserveExternalRequestId, told = http.alwaysSetRequestIdInResponse}
end

t.describe("request-id", function()
  t.it("makes ids, tells clients, and believes nobody", function()
    t.equal(ids "{}", {taken = "envoy.http.early_header_mutation.header_mutation", made = true, told = true})
  end)

  t.it("believes a proxy in front", function()
    t.equal(ids "{trust: true}", {made = true, kept = true, told = true})
  end)

  t.it("tells nobody", function()
    t.equal(ids("{respond: false}").told, nil)
  end)

  t.it("has no other fields", function()
    t.expect_finding(gateway "{trusted: true}", 'did you mean "trust"')
  end)
end)
