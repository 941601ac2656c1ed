-- resty.hmac: a keyed digest with new, update, final, reset.
local native = ...
local hmac = { ALGOS = { MD5 = "md5", SHA1 = "sha1", SHA256 = "sha256", SHA512 = "sha512" } }
hmac.__index = hmac
function hmac.new(_, key, algorithm)
  return setmetatable({ key = key, algorithm = algorithm or "md5", parts = {} }, hmac)
end
function hmac:update(text) table.insert(self.parts, text) return true end
function hmac:final(text, as_hex)
  if text then self:update(text) end
  local out = native.hmac(self.algorithm, self.key, table.concat(self.parts))
  return as_hex and native.to_hex(out) or out
end
function hmac:reset() self.parts = {} return true end
return hmac
