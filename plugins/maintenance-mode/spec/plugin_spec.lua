local t = require "solder.test"

local function shop(conf)
  return [[
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: shop, namespace: gloo-system}
spec:
  virtualHost:
    domains: ["*"]
    routes:
    - matchers: [{prefix: /}]
      routeAction: {single: {upstream: {name: shop, namespace: gloo-system}}}
      options:
        extensions:
          configs:
            maintenance-mode: ]] .. conf .. [[

---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: shop, namespace: gloo-system}
spec: {static: {hosts: [{addr: 127.0.0.1, port: 9000}]}}
]]
end

local function expect_route(conf, route)
  return t.expect_xds(shop(conf), "rds", {virtual_hosts = {{routes = {route}}}}).virtualHosts[1].routes[1]
end

t.describe("maintenance-mode", function()
  t.it("answers instead of the upstream", function()
    local route = expect_route("{}", {
      direct_response = {status = 503, body = {inline_string = "Down for maintenance. Please come back later.\n"}},
      response_headers_to_add = {
        {header = {key = "cache-control", value = "no-store"}},
        {header = {key = "content-type", value = "text/plain; charset=utf-8"}},
        {header = {key = "retry-after", value = "300"}},
      },
    })
    t.equal(route.route, nil)
  end)

  t.it("says what it is told to", function()
    expect_route('{status: 500, body: "<p>soon", content_type: text/html, retry_after: 1.5s}', {
      direct_response = {status = 500, body = {inline_string = "<p>soon"}},
      response_headers_to_add = t.has{header = {key = "retry-after", value = "2"}},
    })
  end)

  t.it("is gone when it is off", function()
    local route = expect_route("{enabled: false}", {route = {cluster = "shop_gloo-system"}})
    t.equal(route.directResponse, nil)
    t.equal(route.responseHeadersToAdd, nil)
  end)

  t.it("answers with nothing that looks like success", function()
    t.expect_finding(shop "{status: 200}", "maintenance-mode.status")
  end)
end)
