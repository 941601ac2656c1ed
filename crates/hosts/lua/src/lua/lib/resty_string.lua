-- resty.string.
local native = ...
return {
  to_hex = native.to_hex,
  atoi = function(text) return tonumber(text) end,
}
