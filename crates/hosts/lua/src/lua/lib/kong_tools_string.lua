-- kong.tools.string.
local stringx = require("pl.stringx")
local native = ...
local tools = { split = stringx.split, strip = function(s) return s and stringx.strip(tostring(s)) or "" end,
  isempty = function(s) return s == nil or s == ngx.null or s == "" end, to_hex = native.to_hex }
function tools.splitn(s, separator, n) local p = stringx.split(s, separator, n) return p, #p end
function tools.isplitn(s, separator, n)
  local p, i = stringx.split(s, separator, n), 0
  return function() i = i + 1 return p[i] end
end
function tools.replace_dashes(s) return (s:gsub("-", "_")) end
function tools.replace_dashes_lower(s) return (s:gsub("-", "_"):lower()) end
function tools.bytes_to_str(bytes) return tostring(bytes) end
function tools.validate_utf8() return true end
return tools
