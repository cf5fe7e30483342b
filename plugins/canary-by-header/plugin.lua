-- canary-by-header: requests that ask for it by a header go to another upstream. Envoy chooses where it chooses the cluster of a
-- route, so nothing else of the route changes.
local s = require "solder.schema"

-- What Envoy runs for each request: %q makes texts of Lua from what the configuration says.
local CHOICE = [[
function envoy_on_route(handle)
  if handle:headers():get(%q) == %q then
    return %q
  end
  return %q
end
]]

return {
  api = 1,
  name = "canary-by-header",
  version = "1.0.0",
  summary = "Sends requests with a certain header to another upstream.",
  needs = {"objects"}, -- the upstream must be there

  schema = s.record{
    header = s.header_name{default = "x-canary", doc = "The header that asks for the canary."},
    value = s.string{default = "always", min = 1, max = 200, pattern = "[ -~]+", doc = "What it says; anything else asks for nothing.", example = "beta"},
    upstream = s.resource_ref{required = true, doc = "The upstream of the canary; in the namespace of the route's object unless it says another.",
      example = {name = "shop-canary"}},
  },

  shape_route = function(conf, route, ctx)
    local usual = route.route and route.route.cluster or ""
    if usual == "" then
      error("it can be used at routes with one destination only", 0)
    end
    local up = conf.upstream
    local namespace = up.namespace or ctx.namespace
    if not ctx:get("Upstream", up.name, namespace) then
      error(("there is no Upstream %s/%s, the canary's"):format(namespace, up.name), 0)
    end
    route.route.inline_cluster_specifier_plugin = {extension = {
      name = "envoy.router.cluster_specifier_plugin.lua",
      typed_config = {
        ["@type"] = "type.googleapis.com/envoy.extensions.router.cluster_specifiers.lua.v3.LuaConfig",
        source_code = {inline_string = CHOICE:format(conf.header:lower(), conf.value, up.name .. "_" .. namespace, usual)},
        default_cluster = usual,
      },
    }}
  end,
}
