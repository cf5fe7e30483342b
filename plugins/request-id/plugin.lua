-- request-id: each request has an id that nobody outside can choose, and clients are told which. Envoy does it by itself.
local s = require "solder.schema"

return {
  api = 1,
  name = "request-id",
  version = "1.0.0",
  summary = "Gives each request an id (x-request-id), and tells clients.",

  schema = s.record{
    trust = s.boolean{default = false, doc = "Keeps an id that a client sends. Only behind proxies that set it themselves."},
    respond = s.boolean{default = true, doc = "Clients find the id in the response, so that they can tell you."},
  },

  shape_listener = function(conf, listener, ctx)
    local http = ctx.http
    http.generate_request_id = true
    if not conf.trust then -- Envoy itself only takes it from clients outside of private networks
      table.insert(http.early_header_mutation_extensions, {
        name = "envoy.http.early_header_mutation.header_mutation",
        typed_config = {
          ["@type"] = "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
          mutations = {{remove = "x-request-id"}},
        },
      })
    end
    http.preserve_external_request_id = conf.trust
    http.always_set_request_id_in_response = conf.respond
  end,
}
