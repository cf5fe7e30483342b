-- How deep a GraphQL document is and how many fields it asks for: a function that gives both, or nil and words. It reads what
-- nests (selections, fragments), and passes over what does not (arguments, variables, directives).

local FAR = 1000000 -- fields beyond it are not counted

-- The tokens of TEXT, in order, without what does not count. A string is '"'.
local function tokens_of(text)
  local tokens, at = {}, 1
  while true do
    at = text:match("^[%s,]*()", at)
    local c = text:sub(at, at)
    local token, behind
    if c == "" then
      return tokens
    elseif c == "#" then
      behind = text:match("^[^\r\n]*()", at)
    elseif text:sub(at, at + 2) == '"""' then
      token, behind = '"', at + 3
      repeat -- \""" does not end it
        local quote = text:find('"""', behind, true)
        behind = quote and quote + 3
      until not quote or text:sub(quote - 1, quote - 1) ~= "\\"
    elseif c == '"' then
      token, behind = '"', at + 1
      repeat
        local i = text:find('["\\\r\n]', behind)
        local what = i and text:sub(i, i)
        behind = i and (what == "\\" and i + 2 or what == '"' and i + 1) or nil
      until not behind or what == '"'
    else
      token, behind = text:match("^([%a_][%w_]*)()", at)
      if not token then
        token, behind = text:match("^(%.%.%.)()", at)
      end
      if not token then
        token, behind = text:match("^([!$&():=@%[%]{|}])()", at)
      end
      if not token then
        token, behind = text:match("^(%-?%d[%w.+-]*)()", at)
      end
    end
    if not behind then
      return nil, ("it is not understood at byte %d"):format(at)
    end
    tokens[#tokens + 1] = token
    at = behind
  end
end

-- Behind the bracket at AT and what it holds.
local function past(tokens, at)
  local depth = 0
  repeat
    local token = tokens[at]
    if token == "(" or token == "[" or token == "{" then
      depth = depth + 1
    elseif token == ")" or token == "]" or token == "}" then
      depth = depth - 1
    elseif not token then
      error("a bracket is not closed", 0)
    end
    at = at + 1
  until depth == 0
  return at
end

-- Behind the directives at AT.
local function past_directives(tokens, at)
  while tokens[at] == "@" do
    at = at + 2
    if tokens[at] == "(" then
      at = past(tokens, at)
    end
  end
  return at
end

local function is_name(token)
  return token ~= nil and token:find("^[%a_]") ~= nil
end

-- The selections that begin at AT, with "{": a tree; and what is behind them.
local function selections(tokens, at)
  local list = {}
  at = at + 1
  while tokens[at] ~= "}" do
    local one = {}
    if tokens[at] == "..." then
      at = at + 1
      if is_name(tokens[at]) and tokens[at] ~= "on" then
        one.spread = tokens[at]
        at = at + 1
      elseif tokens[at] == "on" then
        at = at + 2
      end
    elseif is_name(tokens[at]) then
      one.field = true
      at = at + 1
      if tokens[at] == ":" then -- an alias
        at = at + 2
      end
      if tokens[at] == "(" then
        at = past(tokens, at)
      end
    else
      error("a field is expected", 0)
    end
    at = past_directives(tokens, at)
    if tokens[at] == "{" then
      one.below, at = selections(tokens, at)
    end
    list[#list + 1] = one
  end
  return list, at + 1
end

-- The operations and fragments of a document.
local function definitions(tokens)
  local operations, fragments, at = {}, {}, 1
  while tokens[at] do
    local name = tokens[at] == "fragment" and tokens[at + 1]
    while tokens[at] ~= "{" do -- names, variables, directives
      if not tokens[at] then
        error("a selection is expected", 0)
      end
      at = tokens[at] == "(" and past(tokens, at) or at + 1
    end
    local list
    list, at = selections(tokens, at)
    if not name then
      operations[#operations + 1] = list
    elseif fragments[name] then
      error("there are two fragments of one name", 0)
    else
      fragments[name] = list
    end
  end
  return operations, fragments
end

-- Depth and fields of the selections LIST. KNOWN: of fragments, by name; false while one is looked at.
local function size(list, fragments, known)
  local depth, fields = 0, 0
  for _, one in ipairs(list) do
    local d, f = 0, 0
    if one.spread then
      local seen = known[one.spread]
      if seen == false or not fragments[one.spread] then
        error(seen == false and "a fragment uses itself" or "a fragment is missing", 0)
      elseif not seen then
        known[one.spread] = false
        seen = {size(fragments[one.spread], fragments, known)}
        known[one.spread] = seen
      end
      d, f = seen[1], seen[2]
    end
    if one.below then
      d, f = size(one.below, fragments, known)
    end
    if one.field then
      d, f = d + 1, f + 1
    end
    depth, fields = math.max(depth, d), math.min(fields + f, FAR)
  end
  return depth, fields
end

local function measure(text)
  local tokens, words = tokens_of(text)
  if not tokens then
    error(words, 0)
  end
  local operations, fragments = definitions(tokens)
  if #operations == 0 then
    error("there is no operation", 0)
  end
  local depth, fields, known = 0, 0, {}
  for _, list in ipairs(operations) do
    local d, f = size(list, fragments, known)
    depth, fields = math.max(depth, d), math.max(fields, f)
  end
  return depth, fields
end

return function(text)
  local ok, depth, fields = pcall(measure, text)
  if ok then
    return depth, fields
  end
  return nil, depth
end
