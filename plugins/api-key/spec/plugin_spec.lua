local hash = require "solder.hash"
local hex = require "solder.hex"
local t = require "solder.test"

local function digest(key)
  return hex.encode(hash.sha256(key))
end

local KEYS = {{user = "ann", sha256 = digest "first"}, {user = "bob", sha256 = digest "b"}, {user = "ann", sha256 = digest "second"}}

local function ask(headers, more)
  local conf = {keys = KEYS}
  for k, v in pairs(more or {}) do
    conf[k] = v
  end
  return t.exchange{conf = conf, headers = headers}
end

t.describe("api-key", function()
  t.it("lets known keys pass, and says whose they are", function()
    for key, user in pairs{first = "ann", second = "ann", b = "bob"} do
      local r = ask{["x-api-key"] = key, accept = "*/*"}
      t.equal(r.forwarded.headers, {accept = "*/*", ["x-api-user"] = user})
      t.equal(r.metadata, {user = user})
    end
  end)

  t.it("refuses others", function()
    for _, headers in ipairs{{}, {["x-api-key"] = ""}, {["x-api-key"] = "First"}, {["x-api-key"] = digest "first"},
                             {["x-api-key"] = {"first", "b"}}} do
      local r = ask(headers)
      t.equal(r.status, 401)
      t.equal(r.forwarded, nil)
    end
    t.matches(ask{}.body, "in the header x%-api%-key")
  end)

  t.it("does not let clients say who they are", function()
    t.equal(ask{["x-api-key"] = "b", ["x-api-user"] = "ann"}.forwarded.headers["x-api-user"], "bob")
  end)

  t.it("takes other headers", function()
    local r = ask({["x-k"] = "b"}, {header = "X-K", user_header = "X-U"})
    t.equal(r.forwarded.headers, {["x-u"] = "bob"})
  end)

  t.it("wants digests, not keys", function()
    t.raises(function() ask({}, {keys = {{user = "ann", sha256 = "first"}}}) end, "sha256")
  end)
end)
