local base64 = require "solder.base64"
local t = require "solder.test"

local CONF = {realm = "shop", users = {{name = "ann", password = t.secret "open: sesame"}, {name = "bob", password = t.secret ""},
                                       {name = "cleo", password = t.secret "p\xc3\xa4ss"}}}

local function basic(text)
  return "Basic " .. base64.encode(text)
end

local function ask(authorization, headers)
  headers = headers or {}
  headers.authorization = authorization
  return t.exchange{conf = CONF, headers = headers}
end

t.describe("basic-auth", function()
  t.it("lets users pass, and keeps their passwords", function()
    t.equal(ask(basic "ann:open: sesame").forwarded.headers, {["x-user"] = "ann"})
    t.equal(ask(basic "cleo:p\xc3\xa4ss").metadata, {user = "cleo"})
    t.equal(ask("bAsIc  " .. base64.encode "ann:open: sesame").status, 200)
  end)

  t.it("asks others for name and password", function()
    for _, header in ipairs{basic "ann:wrong", basic "ann:", basic "dan:open: sesame", basic "ann", basic ":open: sesame", basic "",
                            "Basic", "Basic !", "Bearer " .. base64.encode "ann:open: sesame", "Basic YW5uOm9wZW46IHNlc2FtZQ"} do
      local r = ask(header)
      t.equal(r.status, 401)
      t.equal(r.headers["www-authenticate"], 'Basic realm="shop", charset="UTF-8"')
      t.equal(r.forwarded, nil)
    end
    t.equal(ask(nil).status, 401)
  end)

  t.it("takes no empty password", function()
    t.equal(ask(basic "bob:").status, 401)
  end)

  t.it("does not let clients say who they are", function()
    t.equal(ask(basic "ann:open: sesame", {["x-user"] = "root"}).forwarded.headers["x-user"], "ann")
  end)
end)
