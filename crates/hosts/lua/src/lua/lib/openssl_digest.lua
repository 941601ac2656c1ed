-- resty.openssl.digest.
local native = ...
local digest = {}
digest.__index = digest

--- A digest's name as the natives know it: "RSA-SHA256", "SHA-256" and "sha256" are one.
function digest.canonical(name)
  return ((tostring(name or "sha1"):lower():gsub("^rsa%-", "")):gsub("-", ""))
end

function digest.new(name)
  local known = digest.canonical(name)
  if known ~= "null" and not native.digest(known, "") then
    return nil, 'digest.new: invalid digest type "' .. tostring(name) .. '"'
  end
  return setmetatable({ name = known, parts = {} }, digest)
end
function digest.istype(value) return getmetatable(value) == digest end
function digest:update(...)
  for i = 1, select("#", ...) do table.insert(self.parts, (select(i, ...))) end
  return true
end
--- What was put in so far, for whoever signs it.
function digest:message() return table.concat(self.parts) end
function digest:final(text)
  if text then self:update(text) end
  return native.digest(self.name, self:message())
end
function digest:reset() self.parts = {} return true end
function digest:get_provider_name() return "default" end
return digest
