-- kong.tools.table.
local tablex = require("pl.tablex")
local tools = { table_merge = kong.table.merge, cycle_aware_deep_copy = tablex.deepcopy, deep_copy = tablex.deepcopy,
  shallow_copy = tablex.copy, EMPTY = {} }
function tools.table_contains(t, value)
  for _, v in pairs(t or {}) do if v == value then return true end end
  return false
end
function tools.is_array(t, mode) return type(t) == "table" and table.isarray(t) end
function tools.concat(...)
  local out = {}
  for i = 1, select("#", ...) do for _, v in ipairs((select(i, ...))) do out[#out + 1] = v end end
  return out
end
function tools.add_error(errors, key, value)
  errors = errors or {}
  if errors[key] then
    if type(errors[key]) ~= "table" then errors[key] = { errors[key] } end
    table.insert(errors[key], value)
  else
    errors[key] = value
  end
  return errors
end
function tools.pack(...) return { n = select("#", ...), ... } end
function tools.unpack(t, i, j) return unpack(t, i or 1, j or t.n or #t) end
return tools
