-- body-redact: what upstreams say too much of does not leave the house. It needs no I/O, so it runs in Envoy: edge.lua.
local s = require "solder.schema"

return {
  api = 1,
  name = "body-redact",
  version = "1.0.0",
  summary = "Hides the values of certain members of JSON in responses.",
  runs = "envoy",
  response_body = {mode = "buffered", max = "1MiB"}, -- a longer one is not sent

  schema = s.record{
    members = s.list(s.string{min = 1, max = 100}, {required = true, min = 1, max = 100, example = {"password", "ssn"},
      doc = "Names of members, in any case and at any depth."}),
    replacement = s.string{default = "***", max = 100, pattern = "[ !#-\\[\\]-~]*", doc = "The text that stands there instead."},
  },
}
