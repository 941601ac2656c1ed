-- resty.openssl.digest.
local native = ...
local digest = {}
digest.__index = digest
function digest.new(name)
  name = (name or "sha1"):lower():gsub("-", "")
  if not native.digest(name, "") then
    return nil, 'digest.new: invalid digest type "' .. name .. '"'
  end
  return setmetatable({ name = name, parts = {} }, digest)
end
function digest:update(...)
  for i = 1, select("#", ...) do table.insert(self.parts, (select(i, ...))) end
  return true
end
function digest:final(text)
  if text then self:update(text) end
  return native.digest(self.name, table.concat(self.parts))
end
function digest:reset() self.parts = {} return true end
return digest
