-- socket.url: addresses taken apart and put together.
local native = ...
local url = { _VERSION = "URL 1.0.3" }
function url.escape(text)
  return (text:gsub("[^%w%-%._~]", function(c) return ("%%%02x"):format(c:byte()) end))
end
function url.unescape(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end
function url.parse(text, default)
  local parsed = {}
  for k, v in pairs(default or {}) do parsed[k] = v end
  if not text or text == "" then
    return nil, "invalid url"
  end
  text = text:gsub("#(.*)$", function(f) parsed.fragment = f return "" end)
  text = text:gsub("^([%w][%w%+%-%.]*)%:", function(s) parsed.scheme = s return "" end)
  text = text:gsub("^//([^/%?]*)", function(a) parsed.authority = a return "" end)
  text = text:gsub("%?(.*)", function(q) parsed.query = q return "" end)
  text = text:gsub("%;(.*)", function(p) parsed.params = p return "" end)
  if text ~= "" then
    parsed.path = text
  end
  local authority = parsed.authority
  if not authority then
    return parsed
  end
  authority = authority:gsub("^([^@]*)@", function(u) parsed.userinfo = u return "" end)
  authority = authority:gsub(":([^:%]]*)$", function(p) parsed.port = p return "" end)
  if authority ~= "" then
    parsed.host = authority:match("^%[(.+)%]$") or authority
  end
  if parsed.userinfo then
    local user, password = parsed.userinfo:match("^([^:]*):?(.*)$")
    parsed.user = user
    if password ~= "" then parsed.password = password end
  end
  return parsed
end
function url.build(parsed)
  local out = parsed.path or ""
  if parsed.params then out = out .. ";" .. parsed.params end
  if parsed.query then out = out .. "?" .. parsed.query end
  local authority = parsed.authority
  if parsed.host then
    authority = parsed.host:find(":", 1, true) and "[" .. parsed.host .. "]" or parsed.host
    if parsed.port then authority = authority .. ":" .. tostring(parsed.port) end
    local userinfo = parsed.userinfo or (parsed.user and parsed.user .. (parsed.password and ":" .. parsed.password or ""))
    if userinfo then authority = userinfo .. "@" .. authority end
  end
  if authority then out = "//" .. authority .. out end
  if parsed.scheme then out = parsed.scheme .. ":" .. out end
  if parsed.fragment then out = out .. "#" .. parsed.fragment end
  return out
end
return url
