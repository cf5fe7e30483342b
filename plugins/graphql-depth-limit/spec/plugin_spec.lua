local json = require "solder.json"
local t = require "solder.test"

local function ask(body, conf)
  return t.exchange{method = "POST", path = "/graphql", body = body, conf = conf or {depth = 3, fields = 20}}
end

local function query(text, conf)
  return ask(json.encode{query = text}, conf)
end

local function passes(text, conf)
  t.equal(query(text, conf).body, nil)
end

local function refused(text, words, conf)
  local r = query(text, conf)
  t.equal(r.status, 400)
  t.matches(json.decode(r.body).errors[1].message, words)
end

t.describe("graphql-depth-limit", function()
  t.it("counts how deep fields are", function()
    passes "{a {b {c}}}"
    refused("{a {b {c {d}}}}", "is 4 deep; at most 3")
    refused("query Q($x: In = {a: {b: {c: {d: 1}}}}) @d(x: {y: 1}) {a {b {c {d}}}}", "4 deep")
    passes "{a(x: {y: {z: {w: [1, {v: 2}]}}}) {b @include(if: $x) {c}}}"
    passes "subscription {one: a {two: b {three: c}}}"
    refused("{a {b {c}}} query B {a {b {c {d}}}}", "4 deep")
  end)

  t.it("looks into fragments", function()
    passes "{a {... on T {b {c}} ... {b} ... @include(if: true) {c}}}"
    refused("{a {... on T {b {c {d}}}}}", "4 deep")
    refused("{a {...F}} fragment F on T {b {...G}} fragment G on U @x {c {d}}", "4 deep")
    refused("{...F} fragment F on T {a {...F}}", "a fragment uses itself")
    refused("{...F}", "a fragment is missing")
    refused("{a} fragment F on T {a} fragment F on T {b}", "two fragments")
  end)

  t.it("counts fields, those of fragments too", function()
    passes(("{" .. ("a "):rep(20) .. "}"))
    refused("{" .. ("a "):rep(21) .. "}", "more than 20 fields")
    local bomb = "{...F0} fragment F30 on T {a}"
    for i = 0, 29 do
      bomb = bomb .. (" fragment F%d on T {...F%d ...F%d}"):format(i, i + 1, i + 1)
    end
    refused(bomb, "more than 20 fields")
  end)

  t.it("is not confused by texts and comments", function()
    passes '{a(x: "{{{{", y: """ {{{ \\""" {{ """) # {{{{\n {b}}'
    refused('{a(x: "\\"") {b {c {d}}}}', "4 deep")
  end)

  t.it("refuses what it cannot measure", function()
    for _, body in ipairs{"", "{", "[]", "{}", '"x"', '{"query": 1}', '{"extensions": {"persistedQuery": {}}}', '{"query": "{a}", "query": "{b}"}'} do
      t.equal(ask(body).status, 400)
    end
    for _, text in ipairs{"", "fragment F on T {a}", "{a", "{a(x: 1 {b}}", "{a} }", "{^}", '{a(x: "', '{a(x: """', "{{a}}", "query"} do
      refused(text, "not valid")
    end
  end)

  t.it("takes several queries when it is told so", function()
    local body = json.encode{{query = "{a}"}, {query = "{a {b {c {d}}}}"}}
    t.matches(ask(body).body, "at most 1 queries")
    t.matches(ask(body, {depth = 3, batch = 2}).body, "4 deep")
    t.equal(ask(json.encode{{query = "{a}"}, {query = "{b}"}}, {batch = 2}).status, 200)
  end)

  t.it("finds queries in URLs", function()
    local function get(path)
      return t.exchange{path = path, conf = {depth = 1}}
    end
    t.equal(get("/graphql?query=%7Ba%7D").status, 200)
    t.matches(get("/graphql?query=%7Ba%7Bb%7D%7D").body, "2 deep")
    t.equal(get("/graphql").status, 400)
    t.equal(get("/graphql?query=%7Ba%7D&query=%7Ba%7Bb%7D%7D").status, 400)
    t.matches(t.exchange{method = "POST", path = "/?query=%7Ba%7Bb%7D%7D", body = '{"query": "{a}"}', conf = {depth = 1}}.body, "2 deep")
  end)
end)
