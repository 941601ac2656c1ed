-- resty.openssl.rand.
local native = ...
return {
  bytes = function(count)
    if type(count) ~= "number" then
      return nil, "rand.bytes: expect a number at #1"
    end
    return native.random_bytes(count)
  end,
}
