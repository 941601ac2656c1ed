-- pl.tablex: the common functions on tables.
local tablex = {}
function tablex.deepcompare(a, b)
  if type(a) ~= type(b) then return false end
  if type(a) ~= "table" then return a == b end
  for k, v in pairs(a) do if not tablex.deepcompare(v, b[k]) then return false end end
  for k in pairs(b) do if a[k] == nil then return false end end
  return true
end
function tablex.copy(t) local c = {} for k, v in pairs(t) do c[k] = v end return c end
function tablex.deepcopy(t, seen)
  if type(t) ~= "table" then return t end
  seen = seen or {}
  if seen[t] then return seen[t] end
  local c = {}
  seen[t] = c
  for k, v in pairs(t) do c[tablex.deepcopy(k, seen)] = tablex.deepcopy(v, seen) end
  return setmetatable(c, getmetatable(t))
end
function tablex.keys(t) local l = {} for k in pairs(t) do l[#l + 1] = k end return l end
function tablex.values(t) local l = {} for _, v in pairs(t) do l[#l + 1] = v end return l end
function tablex.size(t) local n = 0 for _ in pairs(t) do n = n + 1 end return n end
function tablex.find(t, value, from) for i = from or 1, #t do if t[i] == value then return i end end end
function tablex.search(t, value) for k, v in pairs(t) do if v == value then return tostring(k) end end end
function tablex.map(f, t, ...) local o = {} for k, v in pairs(t) do o[k] = f(v, ...) end return o end
function tablex.imap(f, t, ...) local o = {} for i, v in ipairs(t) do o[i] = f(v, ...) end return o end
function tablex.filter(t, f, ...) local o = {} for _, v in ipairs(t) do if f(v, ...) then o[#o + 1] = v end end return o end
function tablex.foreach(t, f, ...) for k, v in pairs(t) do f(v, k, ...) end end
function tablex.update(a, b) for k, v in pairs(b) do a[k] = v end return a end
function tablex.merge(a, b, all)
  local o = {}
  for k, v in pairs(a) do if all or b[k] ~= nil then o[k] = v end end
  if all then for k, v in pairs(b) do o[k] = v end end
  return o
end
function tablex.union(a, b) return tablex.merge(a, b, true) end
function tablex.makeset(list) local s = {} for _, v in ipairs(list) do s[v] = true end return s end
function tablex.index_map(list) local m = {} for i, v in ipairs(list) do m[v] = i end return m end
function tablex.insertvalues(t, list) for _, v in ipairs(list) do t[#t + 1] = v end return t end
function tablex.sort(t, f)
  local keys, i = tablex.keys(t), 0
  table.sort(keys, f)
  return function() i = i + 1 return keys[i], t[keys[i]] end
end
function tablex.pairmap(f, t, ...) local o = {} for k, v in pairs(t) do o[#o + 1] = f(k, v, ...) end return o end
function tablex.reduce(f, t, start) local a, i = start, 1 if a == nil then a, i = t[1], 2 end for j = i, #t do a = f(a, t[j]) end return a end
function tablex.readonly(t) return t end
return tablex
