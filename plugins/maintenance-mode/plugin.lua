-- maintenance-mode: a route answers for itself while what is behind it is worked on. Envoy is told so once, by its
-- configuration: nothing runs when a request comes.
local s = require "solder.schema"

return {
  api = 1,
  name = "maintenance-mode",
  version = "1.0.0",
  summary = "Answers with 503 and a text instead of asking the upstream.",

  schema = s.record{
    enabled = s.boolean{default = true, doc = "false: the route is served as ever."},
    status = s.integer{default = 503, min = 400, max = 599, doc = "The status of the answer."},
    body = s.string{default = "Down for maintenance. Please come back later.\n", max = 4096, doc = "What the answer says.",
      example = "<h1>Back at noon</h1>"},
    content_type = s.string{default = "text/plain; charset=utf-8", pattern = "[!-~][ -~]*", max = 100,
      doc = "What the body is.", example = "text/html; charset=utf-8"},
    retry_after = s.duration{default = "5m", min = "1s", max = "720h", doc = "When clients are to come back (Retry-After)."},
  },

  shape_route = function(conf, route)
    if not conf.enabled then
      return
    end
    route.direct_response = {status = conf.status, body = {inline_string = conf.body}} -- takes the place of what was to be asked
    local function header(name, value)
      table.insert(route.response_headers_to_add,
        {header = {key = name, value = value}, append_action = "OVERWRITE_IF_EXISTS_OR_ADD"})
    end
    header("cache-control", "no-store")
    header("content-type", conf.content_type)
    header("retry-after", ("%d"):format(math.ceil(conf.retry_after)))
  end,
}
