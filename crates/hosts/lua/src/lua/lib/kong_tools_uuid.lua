-- kong.tools.uuid, and resty.jit-uuid.
local native = ...
local tools = { uuid = native.uuid, generate_v4 = native.uuid, is_valid = function(text)
  return type(text) == "string" and #text == 36 and native.is_uuid(text)
end, seed = function() end }
tools.is_valid_uuid = tools.is_valid
return setmetatable(tools, { __call = function() return native.uuid() end })
