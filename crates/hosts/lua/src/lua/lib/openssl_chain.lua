-- resty.openssl.x509.chain: certificates in order.
local x509 = require("resty.openssl.x509")
local chain = {}
chain.__index = chain
function chain.new() return setmetatable({ list = {} }, chain) end
function chain.istype(value) return getmetatable(value) == chain end
function chain:add(certificate)
  if not x509.istype(certificate) then
    return false, "x509.chain:add: expect a x509 instance at #1"
  end
  table.insert(self.list, certificate)
  return true
end
function chain.dup(other)
  local new = chain.new()
  for i, certificate in ipairs(other.list or other) do new.list[i] = certificate end
  return new
end
function chain:count() return #self.list end
chain.__len = chain.count
function chain:index(i) return self.list[i] end
function chain:all() return chain.dup(self).list end
function chain:each()
  local i = 0
  return function()
    i = i + 1
    return self.list[i]
  end
end
function chain.__ipairs(self) return ipairs(self.list) end
return chain
