-- basic-auth: name and password (RFC 7617). Passwords are in Secrets, which neither Envoy nor who reads the routes gets to see.
local base64 = require "solder.base64"
local hash = require "solder.hash"
local s = require "solder.schema"

return {
  api = 1,
  name = "basic-auth",
  version = "1.0.0",
  summary = "Lets requests pass that have a user's name and password.",
  needs = {"secrets"},

  schema = s.record{
    realm = s.string{default = "restricted", min = 1, max = 100, pattern = "[ !#-\\[\\]-~]+", doc = "What browsers show when they ask."},
    user_header = s.header_name{default = "x-user", doc = "Tells upstreams who it is; what clients send in it never arrives."},
    users = s.list(s.record{
      name = s.string{required = true, min = 1, max = 100, pattern = "[!-9;-~]+", doc = "Without a colon."},
      password = s.secret_ref{required = true, doc = "The Secret that holds the password."},
    }, {required = true, min = 1, max = 100, doc = "Who may pass.", example = {{name = "ann", password = {name = "ann-password"}}}}),
  },

  authorize = function(conf, req)
    local header = req.headers.authorization or ""
    req:remove_header("authorization")
    local coded = header:match("^[Bb][Aa][Ss][Ii][Cc] +([%w+/=]+)$")
    local name, password = (coded and base64.decode(coded) or ""):match("^([^:]+):(.*)$")
    local known
    for _, user in ipairs(conf.users) do
      -- All are compared, also when the name is not known: how long it takes tells nothing.
      local right = hash.equal(password or "", user.password:value())
      if hash.equal(name or "", user.name) and right and password ~= "" then
        known = user.name
      end
    end
    if not known then
      return req:deny{
        status = 401,
        headers = {["www-authenticate"] = ('Basic realm="%s", charset="UTF-8"'):format(conf.realm)},
        body = "name and password are needed\n",
      }
    end
    req:set_header(conf.user_header, known)
    req:set_metadata("user", known)
  end,
}
