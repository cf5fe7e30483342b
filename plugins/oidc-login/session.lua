-- What we keep at the browser: cookies that say something to us alone.
local aes = require "solder.aes"
local base64 = require "solder.base64"
local hash = require "solder.hash"
local json = require "solder.json"
local time = require "solder.time"

local M = {}

local function key_of(conf)
  local text = conf.cookie_key:value()
  if #text < 32 then
    error("the Secret of cookie_key has less than 32 characters", 0)
  end
  return hash.sha256(text)
end

local function name_of(conf, what)
  return (conf.insecure and "" or "__Host-") .. "oidc-" .. what
end

-- What the encrypted text belongs to: one of a login is none of a session, and one of another client is none of ours.
local function purpose(conf, what)
  return what .. " " .. conf.issuer .. " " .. conf.client_id
end

-- Set-Cookie for WHAT: VALUE, a table with exp, for AGE seconds; nil: it is taken away.
function M.cookie(conf, what, value, age)
  local text = value and base64.encode_url(aes.encrypt(key_of(conf), json.encode(value), purpose(conf, what))) or ""
  return ("%s=%s; Path=/; HttpOnly; SameSite=Lax; Max-Age=%d%s"):format(name_of(conf, what), text, age // 1, conf.insecure and "" or "; Secure")
end

-- What WHAT holds, if it is there, ours, and not over.
function M.read(conf, req, what)
  local name = name_of(conf, what)
  for key, value in (req.headers.cookie or ""):gmatch("([^=;%s]+)=([^;%s]*)") do
    local data = key == name and base64.decode_url(value)
    local text = data and aes.decrypt(key_of(conf), data, purpose(conf, what))
    local held = text and json.decode(text)
    if held and held.exp > time.now() then
      return held
    end
  end
end

-- Upstreams get all cookies but ours.
function M.hide(conf, req)
  local kept = {}
  for cookie in (req.headers.cookie or ""):gmatch("[^;]+") do
    cookie = cookie:match("^%s*(.-)%s*$")
    if cookie:find(name_of(conf, ""), 1, true) ~= 1 then
      kept[#kept + 1] = cookie
    end
  end
  if #kept > 0 then
    req:set_header("cookie", table.concat(kept, "; "))
  else
    req:remove_header("cookie")
  end
end

return M
