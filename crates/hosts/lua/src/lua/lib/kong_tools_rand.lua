-- kong.tools.rand.
local native = ...
return {
  random_string = function() return native.random_hex(16) end,
  get_rand_bytes = function(count) return native.random_bytes(count) end,
}
