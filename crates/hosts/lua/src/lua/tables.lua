-- Additions of OpenResty's LuaJIT to the table library, where the interpreter lacks them as modules.
local native = ...

local function provide(name, make)
  local found, module = pcall(require, name)
  if not found then
    module = make()
    package.loaded[name] = module
  end
  return module
end

table.new = provide("table.new", function() return function() return {} end end)
table.clear = provide("table.clear", function()
  return function(t) for k in pairs(t) do t[k] = nil end end
end)
table.nkeys = provide("table.nkeys", function()
  return function(t) local n = 0 for _ in pairs(t) do n = n + 1 end return n end
end)
table.isempty = provide("table.isempty", function() return function(t) return next(t) == nil end end)
table.isarray = provide("table.isarray", function()
  return function(t)
    local n = 0
    for k in pairs(t) do
      if type(k) ~= "number" or k < 1 or k % 1 ~= 0 then return false end
      n = n + 1
    end
    return n == #t
  end
end)
table.clone = provide("table.clone", function()
  return function(t) local copy = {} for k, v in pairs(t) do copy[k] = v end return copy end
end)
package.loaded["tablepool"] = {
  fetch = function() return {} end,
  release = function() end,
}
