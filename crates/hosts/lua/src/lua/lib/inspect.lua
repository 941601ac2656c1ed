-- inspect: a value as readable Lua.
local function sorted(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
    return type(a) < type(b)
  end)
  return keys
end
local function show(value, indent, seen)
  if type(value) == "string" then return ("%q"):format(value) end
  if type(value) ~= "table" then return tostring(value) end
  if seen[value] then return "<table>" end
  seen[value] = true
  local inner = indent .. "  "
  local parts, n = {}, #value
  for i = 1, n do parts[i] = show(value[i], inner, seen) end
  for _, k in ipairs(sorted(value)) do
    if not (type(k) == "number" and k >= 1 and k <= n and k % 1 == 0) then
      local name = type(k) == "string" and k:match("^[%a_][%w_]*$") and k or "[" .. show(k, inner, seen) .. "]"
      parts[#parts + 1] = "\n" .. inner .. name .. " = " .. show(value[k], inner, seen)
    end
  end
  seen[value] = nil
  if #parts == 0 then return "{}" end
  local text = table.concat(parts, ", "):gsub(", \n", ",\n")
  return "{ " .. text .. (text:find("\n") and "\n" .. indent .. "}" or " }")
end
return setmetatable({ inspect = function(value) return show(value, "", {}) end }, {
  __call = function(_, value) return show(value, "", {}) end,
})
