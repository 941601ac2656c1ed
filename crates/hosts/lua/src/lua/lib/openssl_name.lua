-- resty.openssl.x509.name: the attributes of a name, in order.
local name = {}
name.__index = name
function name._wrap(list) return setmetatable({ list = list }, name) end
function name.new() return name._wrap({}) end
function name.istype(value) return getmetatable(value) == name end
function name:add(key, value)
  table.insert(self.list, { sn = key, id = key, blob = value })
  return self
end
local function shown(entry)
  return { blob = entry.blob, sn = entry.sn, ln = entry.sn, id = entry.id, nid = 0 }
end
function name:find(key, last_position)
  for i = (last_position or 0) + 1, #self.list do
    local entry = self.list[i]
    if entry.sn == key or entry.id == key then
      return shown(entry), i
    end
  end
  return nil
end
function name:count() return #self.list end
name.__len = name.count
function name:index(i)
  local entry = self.list[i]
  if entry then
    return { entry.sn, shown(entry) }
  end
end
function name:all()
  local out = {}
  for i = 1, #self.list do out[i] = self:index(i) end
  return out
end
function name:each()
  local i = 0
  return function()
    i = i + 1
    local entry = self.list[i]
    if entry then
      return entry.sn, shown(entry)
    end
  end
end
name.__pairs = name.each
function name:tostring()
  local parts = {}
  for i, entry in ipairs(self.list) do parts[i] = entry.sn .. "=" .. entry.blob end
  return table.concat(parts, "/")
end
name.__tostring = name.tostring
return name
