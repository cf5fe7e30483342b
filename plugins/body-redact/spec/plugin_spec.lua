local t = require "solder.test"

local function answer(body, headers, conf)
  headers = headers or {["content-type"] = "application/json"}
  return t.exchange{conf = conf or {members = {"password", "ssn"}}, response = {status = 200, headers = headers, body = body}}
end

local function becomes(body, expected)
  t.equal(answer(body).body, expected)
end

t.describe("body-redact", function()
  t.it("hides values of every kind", function()
    becomes('{"ssn": "078-05-1120", "a": 1}', '{"ssn": "***", "a": 1}')
    becomes('{"ssn":-1.5e+3,"password":null}', '{"ssn":"***","password":"***"}')
    becomes('{"ssn" : {"a": ["}", {}]}, "b": []}', '{"ssn" : "***", "b": []}')
    becomes('{"ssn": [[1], "]"]}', '{"ssn": "***"}')
  end)

  t.it("finds names at any depth, in any case, however they are written", function()
    becomes('[{"a": {"SSN": 1}}, {"ssn": 2}]', '[{"a": {"SSN": "***"}}, {"ssn": "***"}]')
    becomes('{"\\u0073sn": 1}', '{"\\u0073sn": "***"}')
  end)

  t.it("is not confused by texts", function()
    becomes('{"a": "ssn", "b": "\\"ssn\\": 1"}', '{"a": "ssn", "b": "\\"ssn\\": 1"}')
    becomes('["ssn", "x\\\\", {"ssn": "\\\\\\""}]', '["ssn", "x\\\\", {"ssn": "***"}]')
  end)

  t.it("leaves the rest as it is", function()
    becomes('{ "a" : 1.0,\n"é": "x" }', '{ "a" : 1.0,\n"é": "x" }')
    t.equal(answer('{"ssn": 1}', {["content-type"] = "text/html"}).body, '{"ssn": 1}')
    t.equal(answer('{"ssn": 1}', {["content-type"] = "application/problem+json"}).body, '{"ssn": "***"}')
    t.equal(answer("").status, 200)
  end)

  t.it("sends nothing that it cannot look into", function()
    for _, body in ipairs{'{"ssn": "1', '{"ssn": [1', '{"ssn": ', '{"a'} do
      t.equal(answer(body).status, 502)
    end
    t.equal(answer('{"ssn": 1}', {["content-type"] = "application/json", ["content-encoding"] = "gzip"}).status, 502)
  end)

  t.it("asks for whole answers that can be read", function()
    local to = t.exchange{conf = {members = {"x"}}, headers = {["accept-encoding"] = "gzip", range = "bytes=0-9"}}.forwarded
    t.equal(to.headers["accept-encoding"], nil)
    t.equal(to.headers.range, nil)
  end)

  t.it("has a replacement that stays JSON", function()
    t.equal(answer('{"ssn": 1}', nil, {members = {"ssn"}, replacement = ""}).body, '{"ssn": ""}')
    t.raises(function() answer("{}", nil, {members = {"a"}, replacement = 'a"b'}) end, "replacement")
  end)
end)
