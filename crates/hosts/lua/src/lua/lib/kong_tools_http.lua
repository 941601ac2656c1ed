-- kong.tools.http.
local tools = { encode_args = function(arguments) return ngx.encode_args(arguments, true) end, decode_args = ngx.decode_args }
function tools.parse_directive_header(text)
  local out = {}
  if type(text) ~= "string" then
    return out
  end
  for part in text:gmatch("[^,]+") do
    local name, value = part:match("^%s*([^=%s]+)%s*=%s*(.-)%s*$")
    if name then
      out[name:lower()] = tonumber(value) or value
    else
      out[part:match("^%s*(.-)%s*$"):lower()] = true
    end
  end
  return out
end
function tools.check_https() return kong.request.get_forwarded_scheme() == "https" end
return tools
