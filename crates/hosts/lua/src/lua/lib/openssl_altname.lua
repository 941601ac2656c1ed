-- resty.openssl.x509.altname: the other names of a certificate, as pairs of kind and value.
local altname = {}
altname.__index = altname
function altname._wrap(list) return setmetatable({ list = list }, altname) end
function altname.new() return altname._wrap({}) end
function altname.istype(value) return getmetatable(value) == altname end
function altname:add(kind, value)
  table.insert(self.list, { type = kind, value = value })
  return self
end
function altname:count() return #self.list end
altname.__len = altname.count
function altname:index(i)
  local entry = self.list[i]
  if entry then
    return { entry.type, entry.value }
  end
end
function altname:all()
  local out = {}
  for i = 1, #self.list do out[i] = self:index(i) end
  return out
end
function altname:each()
  local i = 0
  return function()
    i = i + 1
    local entry = self.list[i]
    if entry then
      return entry.type, entry.value
    end
  end
end
altname.__pairs = altname.each
function altname:tostring()
  local parts = {}
  for i, entry in ipairs(self.list) do parts[i] = entry.type .. "=" .. entry.value end
  return table.concat(parts, "/")
end
altname.__tostring = altname.tostring
return altname
