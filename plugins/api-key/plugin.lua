-- api-key: who has a key may pass. The configuration holds digests of keys, so who reads it cannot use them.
local hash = require "solder.hash"
local hex = require "solder.hex"
local s = require "solder.schema"

return {
  api = 1,
  name = "api-key",
  version = "1.0.0",
  summary = "Lets requests pass that have a known key, and tells upstreams whose it is.",

  schema = s.record{
    header = s.header_name{default = "x-api-key", doc = "The header with the key; upstreams do not get it."},
    user_header = s.header_name{default = "x-api-user", doc = "Tells upstreams whose key it is; what clients send in it never arrives."},
    keys = s.list(s.record{
      user = s.string{required = true, min = 1, max = 100, pattern = "[!-~]+", doc = "Whose key it is."},
      sha256 = s.string{required = true, pattern = "[0-9a-f]{64}",
        doc = "Digest of the key in hexadecimal: printf %s \"$KEY\" | sha256sum"},
    }, {required = true, min = 1, max = 1000, doc = "A user may have several, such as an old and a new one.",
      example = {{user = "ann", sha256 = ("0123456789abcdef"):rep(4)}}}),
  },

  authorize = function(conf, req)
    local key = req.headers[conf.header]
    req:remove_header(conf.header)
    if not key then
      return req:deny{status = 401, body = "a key is needed, in the header " .. conf.header .. "\n"}
    end
    local digest, user = hex.encode(hash.sha256(key)), nil
    for _, known in ipairs(conf.keys) do
      if hash.equal(digest, known.sha256) then -- all are compared, each in the same time
        user = known.user
      end
    end
    if not user then
      return req:deny{status = 401, body = "the key is not known\n"}
    end
    req:set_header(conf.user_header, user)
    req:set_metadata("user", user)
  end,
}
