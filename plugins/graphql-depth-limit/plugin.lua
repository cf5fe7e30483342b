-- graphql-depth-limit: queries that are nested too deeply, or ask for too many fields, do not get to the server.
local json = require "solder.json"
local measure = require "measure"
local s = require "solder.schema"

local function refuse(req, status, words)
  return req:deny{
    status = status,
    headers = {["content-type"] = "application/json"},
    body = json.encode{errors = {{message = words}}} .. "\n",
  }
end

-- The queries of a request: a list of texts; or nil and words.
local function queries_of(req, batch)
  local queries = req.query:all("query") -- servers may look there whatever the method is
  if #queries > 1 then
    return nil, "there is more than one query in the URL"
  elseif req.method == "GET" or req.method == "HEAD" then
    return queries[1] and queries, "a query is expected in the URL"
  end
  local body, words = json.decode(req.body or "")
  if type(body) ~= "table" then
    return nil, "the body must be JSON with a query" .. (words and ": " .. words or "")
  end
  for i, one in ipairs(body[1] ~= nil and body or {body}) do
    local query = type(one) == "table" and one.query
    if i > batch then
      return nil, ("at most %d queries are taken at a time"):format(batch)
    elseif type(query) ~= "string" then
      return nil, "a query is expected; persisted ones cannot be measured"
    end
    queries[#queries + 1] = query
  end
  return queries
end

return {
  api = 1,
  name = "graphql-depth-limit",
  version = "1.0.0",
  summary = "Refuses GraphQL queries that are nested too deeply.",
  request_body = {mode = "buffered", max = "64KiB"},

  schema = s.record{
    depth = s.integer{default = 10, min = 1, max = 1000, doc = "How deep fields may be nested; {a {b}} is 2. Fragments count where they are used."},
    fields = s.integer{default = 1000, min = 1, max = 100000, doc = "How many fields a query may ask for, in all, with those of fragments."},
    batch = s.integer{default = 1, min = 1, max = 100, doc = "How many queries a request may have, as an array."},
  },

  authorize = function(conf, req)
    local queries, wrong = queries_of(req, conf.batch)
    if not queries then
      return refuse(req, 400, wrong)
    end
    for _, query in ipairs(queries) do
      local depth, fields = measure(query)
      if not depth then
        return refuse(req, 400, "the query is not valid: " .. fields)
      elseif depth > conf.depth then
        return refuse(req, 400, ("the query is %d deep; at most %d is taken"):format(depth, conf.depth))
      elseif fields > conf.fields then
        return refuse(req, 400, ("the query asks for more than %d fields"):format(conf.fields))
      end
    end
  end,
}
