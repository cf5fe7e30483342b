-- Runs in Envoy. The text is not read as a whole, only gone through: what is not hidden stays byte for byte.

-- Behind the string that begins at AT; nil: it does not end.
local function string_end(text, at)
  local i = at + 1
  while true do
    i = text:find('["\\]', i)
    if not i then
      return nil
    elseif text:sub(i, i) == '"' then
      return i + 1
    end
    i = i + 2
  end
end

-- Behind the value that begins at AT; nil: it does not end.
local function value_end(text, at)
  local depth, i = 0, at
  repeat
    local c = text:sub(i, i)
    if c == '"' then
      i = string_end(text, i)
    elseif c == "{" or c == "[" then
      depth, i = depth + 1, i + 1
    elseif c == "}" or c == "]" then
      depth, i = depth - 1, i + 1
    else
      i = text:match("^[%w+.-]+()", i) -- a number, true, false, null
    end
    if depth > 0 and i then
      i = text:find('["{}%[%]]', i)
    end
  until not i or depth <= 0
  return i
end

-- The name that TEXT, a string's inside, means. Only ASCII can be written in two ways that matter here.
local function plain(text)
  text = text:gsub("\\u00(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end)
  return (text:gsub("\\(/)", "%1"):lower())
end

local function redact(text, hidden, instead)
  local out, kept, i = {}, 1, 1
  while true do
    local from = text:find('"', i, true)
    if not from then
      out[#out + 1] = text:sub(kept)
      return table.concat(out)
    end
    i = string_end(text, from)
    if not i then
      return nil
    end
    local value = text:match("^%s*:%s*()", i)
    if value and hidden[plain(text:sub(from + 1, i - 2))] then
      i = value_end(text, value)
      if not i then
        return nil
      end
      out[#out + 1] = text:sub(kept, value - 1) .. instead
      kept = i
    end
  end
end

return {
  -- What is compressed or a part of the whole cannot be gone through, so it is not asked for.
  transform_request = function(conf, req)
    req:remove_header("accept-encoding")
    req:remove_header("range")
  end,

  transform_response = function(conf, res)
    local kind = (res.headers["content-type"] or ""):lower()
    if not kind:find("json", 1, true) or res.body == "" then
      return
    end
    if (res.headers["content-encoding"] or "identity") ~= "identity" then
      return res:respond{status = 502, body = "the upstream's answer is compressed, so nothing can be hidden in it\n"}
    end
    local hidden = {}
    for _, name in ipairs(conf.members) do
      hidden[name:lower()] = true
    end
    local text = redact(res.body, hidden, '"' .. conf.replacement .. '"')
    if not text then
      return res:respond{status = 502, body = "the upstream's answer is no JSON, so nothing can be hidden in it\n"}
    end
    res:set_body(text)
  end,
}
