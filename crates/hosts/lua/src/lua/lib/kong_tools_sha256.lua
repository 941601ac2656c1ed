-- kong.tools.sha256.
local native = ...
return {
  sha256_bin = function(text) return native.digest("sha256", text) end,
  sha256_hex = function(text) return native.to_hex(native.digest("sha256", text)) end,
}
