local t = require "solder.test"

local ONE = "{single: {upstream: {name: shop, namespace: gloo-system}}}"
local TWO = "{multi: {destinations: [{weight: 1, destination: {upstream: {name: shop, namespace: gloo-system}}}]}}"

local function shop(conf, action)
  return [[
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: shop, namespace: gloo-system}
spec:
  virtualHost:
    domains: ["*"]
    routes:
    - matchers: [{prefix: /}]
      routeAction: ]] .. (action or ONE) .. [[

      options: {extensions: {configs: {canary-by-header: ]] .. conf .. [[}}}
---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: shop, namespace: gloo-system}
spec: {static: {hosts: [{addr: 127.0.0.1, port: 9000}]}}
---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: next, namespace: lab}
spec: {static: {hosts: [{addr: 127.0.0.1, port: 9001}]}}
]]
end

t.describe("canary-by-header", function()
  t.it("lets Envoy choose by the header", function()
    local config = t.expect_xds(shop '{header: X-Tester, value: "it\'s \\"me\\" %s", upstream: {name: next, namespace: lab}}', "rds", {
      virtual_hosts = {{routes = {{route = {inline_cluster_specifier_plugin = {extension = {
        name = "envoy.router.cluster_specifier_plugin.lua",
      }}}}}}},
    }).virtualHosts[1].routes[1].route.inlineClusterSpecifierPlugin.extension.typedConfig.value
    t.equal(config.default_cluster, "shop_gloo-system")
    t.snapshot(config.source_code.inline_string)
  end)

  t.it("wants an upstream that is there", function()
    t.expect_finding(shop "{}", "upstream must be set")
    t.expect_finding(shop "{upstream: {name: next}}", "there is no Upstream gloo-system/next, the canary's")
  end)

  t.it("wants a route with one destination", function()
    t.expect_finding(shop("{upstream: {name: next, namespace: lab}}", TWO), "routes with one destination only")
  end)
end)
