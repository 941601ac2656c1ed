-- resty.random.
local native = ...
return { bytes = function(count) return native.random_bytes(count) end,
  number = function(low, high) return math.random(low, high) end,
  token = function(count) return native.random_hex(math.ceil(count / 2)):sub(1, count) end }
