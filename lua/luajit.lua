-- Lua in Envoy, made to what solder's sandbox is: an environment from nothing, tables that are read-only between calls, and
-- ceilings. Only LuaJIT runs it.
--
-- PLUGIN: name, files (texts by name), and plain: by "file:line" of functions without loops, {steps, calls}. Gives compile(file), which makes a function of a file; configuration(text);
-- seal(hooks), when they are there; begins(handle) and goes_on(handle), in front of what the plugin runs.
local PLUGIN = ...
local error, getmetatable, ipairs, next, pairs, pcall, select, setmetatable, tostring, type =
  error, getmetatable, ipairs, next, pairs, pcall, select, setmetatable, tostring, type
local gsub, rep, sub = string.gsub, string.rep, string.sub
local concat, sort = table.concat, table.sort

local LINES, STRING_BYTES = 20, 1048576
local STEPS_EVERY, STEPS, KILOBYTES = 100000, 5000000, 65536
local STEPS_SHORT = 20000

-- ---- One call ----

local current, printed -- the handle of the code that runs, lines of it
local ticks, breach = 0, nil

-- The code goes on, or begins: nobody else ran its steps.
local function goes_on(handle)
  current, ticks = handle, 0
end

local function begins(handle)
  goes_on(handle)
  printed, breach = 0, nil
end

-- ---- Read-only tables ----

-- What a call reads is what the next one reads.
local real = setmetatable({}, {__mode = "k"})

local function before(a, b)
  if type(a) == type(b) then
    return a < b
  end
  return type(a) == "number"
end

local function keys_of(t)
  local keys, n = {}, 0
  for k in next, t do
    if type(k) ~= "string" and type(k) ~= "number" then
      error("keys that are no numbers and no strings have no order", 3)
    end
    n = n + 1
    keys[n] = k
  end
  sort(keys, before)
  return keys
end

local function in_order(t, keys)
  local i = 0
  return function()
    local v
    repeat
      i = i + 1
      v = t[keys[i]]
    until v ~= nil or keys[i] == nil
    return keys[i], v
  end
end

local freeze

-- Of the plugin's functions alone: what those of the environment hold is no part of it.
local function freeze_function(f, seen)
  if seen[f] or sub(debug.getinfo(f, "S").source, 1, 1) ~= "@" then
    return
  end
  seen[f] = true
  local i = 1
  while true do
    local name, v = debug.getupvalue(f, i)
    if not name then
      return
    end
    if type(v) == "table" then
      debug.setupvalue(f, i, freeze(v, seen))
    elseif type(v) == "function" then
      freeze_function(v, seen)
    end
    i = i + 1
  end
end

function freeze(t, seen)
  if real[t] then
    return t
  end
  if seen[t] then
    return seen[t]
  end
  local held, keys = {}, nil
  local proxy = setmetatable({}, {
    __index = setmetatable(held, getmetatable(t)),
    __newindex = function()
      error("the table is read-only", 2)
    end,
    __len = function()
      return #held
    end,
    __pairs = function()
      keys = keys or keys_of(held)
      return in_order(held, keys)
    end,
    __metatable = false,
  })
  seen[t], real[proxy] = proxy, held
  for k, v in next, t do
    if type(v) == "table" then
      v = freeze(v, seen)
    elseif type(v) == "function" then
      freeze_function(v, seen)
    end
    held[k] = v
  end
  return proxy
end

-- ---- The environment ----

local compile

-- What reads as T and cannot be written: what a call left there would be there for the next one, or for a neighbour's.
local function read_only(t)
  return setmetatable({}, {__index = t, __newindex = function() error("the table is read-only", 2) end, __metatable = false})
end

-- What the sandbox of solder has too, as it is there.
local function environment()
  local lua, text = {}, {}
  local function thawed(t)
    return real[t] or t
  end
  local function own(t, what)
    if real[t] then
      error("the table is read-only", 3)
    end
    return t
  end
  for _, name in ipairs{"assert", "error", "rawequal", "select", "tonumber", "type"} do
    lua[name] = _G[name]
  end
  -- Nothing shows an address.
  function lua.tostring(v)
    local m = type(v) == "table" and debug.getmetatable(v)
    if type(v) == "function" or type(v) == "table" and not (m and m.__tostring) then
      return type(v)
    end
    return tostring(v)
  end
  for _, name in ipairs{"byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "reverse", "sub", "upper"} do
    text[name] = string[name]
  end
  function text.rep(s, n, between)
    if n > 0 and (#s + #(between or "")) * n > STRING_BYTES then
      error("a string of more than " .. STRING_BYTES .. " bytes", 2)
    end
    return rep(s, n, between)
  end
  lua.string, lua.math = text, {}
  for _, name in ipairs{"abs", "ceil", "exp", "floor", "fmod", "huge", "log", "max", "min", "modf", "pi", "sqrt"} do
    lua.math[name] = math[name]
  end
  lua.table = {
    concat = function(t, ...) return concat(thawed(t), ...) end,
    insert = function(t, ...) return table.insert(own(t), ...) end,
    pack = table.pack,
    remove = function(t, ...) return table.remove(own(t), ...) end,
    sort = function(t, ...) return sort(own(t), ...) end,
    unpack = function(t, ...) return table.unpack(thawed(t), ...) end,
  }
  function lua.pairs(t)
    local m = debug.getmetatable(t)
    if m and m.__pairs then
      return pairs(t)
    end
    return in_order(t, keys_of(t))
  end
  function lua.ipairs(t)
    return ipairs(thawed(t))
  end
  -- What a handle of edge.lua stands for has a table as its key: nobody is given it.
  function lua.next(t, k)
    local key, v = next(thawed(t), k)
    if key ~= nil and type(key) ~= "string" and type(key) ~= "number" then
      error("keys that are no numbers and no strings have no order", 2)
    end
    return key, v
  end
  function lua.setmetatable(t, m)
    return setmetatable(own(t), m and thawed(m))
  end
  local function uncaught(ok, ...)
    if breach then
      error(breach, 0)
    end
    return ok, ...
  end
  function lua.pcall(f, ...)
    return uncaught(pcall(f, ...))
  end
  function lua.xpcall(f, handler, ...)
    return uncaught(xpcall(f, function(e) return breach and e or handler(e) end, ...))
  end
  function lua.print(...)
    local words = {}
    for i = 1, select("#", ...) do
      words[i] = lua.tostring((select(i, ...)))
    end
    printed = (printed or 0) + 1
    if printed <= LINES and current then
      current:logInfo("plugin " .. PLUGIN.name .. ": " .. sub(concat(words, "\t"), 1, 4096))
    end
  end
  -- The schema is solder's business: here it is whatever is asked for.
  local nothing = {}
  local function any() return nothing end
  setmetatable(nothing, {__index = any, __call = any})
  local modules = {["solder.schema"] = setmetatable({}, {__index = function() return any end})}
  function lua.require(name)
    if modules[name] == nil then
      local file = gsub(name, "%.", "/") .. ".lua"
      if not PLUGIN.files[file] then
        error("there is no module '" .. name .. "' in Envoy", 2)
      end
      local value = compile(file)(name)
      modules[name] = value == nil and true or value
    end
    return modules[name]
  end
  lua._VERSION = "Lua 5.1"
  getmetatable("").__index = text
  -- What calls others many times, or changes what there is to be called: where it stands.
  local many = {{text, "gsub"}, {lua, "require"}, {lua, "setmetatable"}, {lua.table, "sort"}, {lua, "xpcall"}}
  local ours = {}
  for name, t in pairs{string = text, math = lua.math, table = lua.table} do
    lua[name] = read_only(t)
    ours[lua[name]] = true
  end
  local env = read_only(lua)
  ours[env] = true
  return env, ours, many
end

-- ---- Ceilings ----

-- Steps are counted where the compiler stays out of it, and slowly; what they made is looked at with them.
local function watch()
  -- The plugin's line that was at work.
  local function broken(words)
    local level, at = 3, nil
    repeat
      at, level = debug.getinfo(level, "Sl"), level + 1
    until not at or sub(at.source, 1, 1) == "@"
    breach = breach or (at and sub(at.source, 2) .. ":" .. at.currentline .. ": " or "") .. words
  end
  jit.off()
  debug.sethook(function()
    ticks = ticks + 1
    if ticks * STEPS_EVERY > STEPS then
      broken("more than " .. STEPS .. " steps")
    elseif collectgarbage("count") > KILOBYTES then
      collectgarbage()
      if collectgarbage("count") > KILOBYTES then
        broken("more than " .. KILOBYTES / 1024 .. " MiB of memory")
      end
    end
    if breach then
      error(breach, 0)
    end
  end, "", STEPS_EVERY)
end

local env, ours, many = environment()

-- ---- Short code ----

-- How many steps what V holds takes in one call, at most; nil when that cannot be said. Nothing that a call sees changes between
-- calls, so what a function can call is what it holds, and what those hold in turn: PLUGIN.plain has those without loops, and none
-- may come back to itself.
local function steps_of(v, known, open)
  if type(v) ~= "function" and type(v) ~= "table" or ours[v] then
    return 0
  end
  if known[v] or open[v] then
    return known[v]
  end
  open[v] = true
  local most, sure = 0, true
  local function add(held)
    local n = steps_of(held, known, open)
    sure = sure and n ~= nil
    most = math.max(most, n or 0)
  end
  if type(v) == "table" then
    local held = real[v] or v
    sure = debug.getmetatable(held) == nil
    for _, one in next, held do
      add(one)
    end
  else
    local at = debug.getinfo(v, "S")
    local own = sub(at.source, 1, 1) == "@"
    local cost = own and PLUGIN.plain[sub(at.source, 2) .. ":" .. at.linedefined]
    for _, place in ipairs(many) do
      sure = sure and v ~= place[1][place[2]]
    end
    sure = sure and (not own or cost ~= nil)
    for i = 1, cost and 255 or 0 do
      local name, held = debug.getupvalue(v, i)
      if not name then
        break
      end
      add(held)
    end
    most = cost and cost[1] + cost[2] * most or 0
  end
  if sure then
    known[v] = most
  end
  return known[v]
end

-- So short that steps need not be counted: the first look at them would come behind its end. What it must not have for that is
-- taken away; its text does not name it.
local function is_short(hooks)
  local steps = steps_of(hooks, {}, {})
  if not steps or steps > STEPS_SHORT then
    return false
  end
  for _, place in ipairs(many) do
    place[1][place[2]] = function()
      error(place[2] .. " must be written by its name", 2)
    end
  end
  return true
end

function compile(file)
  local f, words = loadstring(PLUGIN.files[file], "@" .. file)
  return setfenv(f or error(words, 0), env)
end

-- The plugin is loaded: from now on nothing of it changes, and steps are counted.
local function seal(hooks)
  local seen = {}
  for _, hook in next, hooks do
    if type(hook) == "function" then
      freeze_function(hook, seen)
    end
  end
  if not is_short(hooks) then
    watch()
  end
end

-- Configurations come as texts of Lua.
local function configuration(text)
  return freeze(loadstring("return " .. text)(), {})
end

return {begins = begins, compile = compile, configuration = configuration, goes_on = goes_on, seal = seal}
