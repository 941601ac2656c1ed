-- resty.openssl.hmac and resty.openssl.mac (HMAC only).
local native = ...
local mac = {}
mac.__index = mac
function mac.new(key, name, _, digest)
  name = (digest or name or "sha1"):lower():gsub("-", "")
  if not native.hmac(name, "k", "") then
    return nil, 'hmac.new: invalid digest type "' .. name .. '"'
  end
  return setmetatable({ key = key, name = name, parts = {} }, mac)
end
function mac:update(...)
  for i = 1, select("#", ...) do table.insert(self.parts, (select(i, ...))) end
  return true
end
function mac:final(text)
  if text then self:update(text) end
  return native.hmac(self.name, self.key, table.concat(self.parts))
end
function mac:reset() self.parts = {} return true end
return mac
