-- cjson.safe: nil and what is wrong.
local native = ...
local cjson = require("cjson")
local safe = setmetatable({}, { __index = cjson })
function safe.encode(value) return native.json_encode(value) end
function safe.decode(text)
  if type(text) ~= "string" then
    return nil, "bad argument #1 to 'decode' (string expected, got " .. type(text) .. ")"
  end
  local value, err = native.json_decode(text, cjson.decode_array_with_array_mt())
  if err then
    return nil, err
  end
  return value
end
function safe.new() return safe end
return safe
