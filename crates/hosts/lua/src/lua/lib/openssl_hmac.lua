-- resty.openssl.hmac: new(key, digest).
local native = ...
local canonical = require("resty.openssl.digest").canonical
local hmac = {}
hmac.__index = hmac
function hmac.new(key, name)
  local known = canonical(name)
  if not native.hmac(known, "k", "") then
    return nil, 'hmac.new: invalid digest type "' .. tostring(name) .. '"'
  end
  return setmetatable({ key = key, name = known, parts = {} }, hmac)
end
function hmac.istype(value) return getmetatable(value) == hmac end
function hmac:update(...)
  for i = 1, select("#", ...) do table.insert(self.parts, (select(i, ...))) end
  return true
end
function hmac:final(text)
  if text then self:update(text) end
  return native.hmac(self.name, self.key, table.concat(self.parts))
end
function hmac:reset() self.parts = {} return true end
return hmac
