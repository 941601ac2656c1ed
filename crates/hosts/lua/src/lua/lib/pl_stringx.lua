-- pl.stringx: the common functions on texts.
local stringx = {}
function stringx.strip(s, chars) chars = chars and "[" .. chars:gsub("%p", "%%%0") .. "]" or "%s" return (s:gsub("^" .. chars .. "+", ""):gsub(chars .. "+$", "")) end
function stringx.lstrip(s) return (s:gsub("^%s+", "")) end
function stringx.rstrip(s) return (s:gsub("%s+$", "")) end
function stringx.startswith(s, prefix)
  for _, p in ipairs(type(prefix) == "table" and prefix or { prefix }) do
    if s:sub(1, #p) == p then return true end
  end
  return false
end
function stringx.endswith(s, suffix)
  for _, p in ipairs(type(suffix) == "table" and suffix or { suffix }) do
    if p == "" or s:sub(-#p) == p then return true end
  end
  return false
end
function stringx.split(s, separator, max)
  local parts, at = {}, 1
  if separator == nil then
    for word in s:gmatch("%S+") do parts[#parts + 1] = word end
    return parts
  end
  while not max or max < 0 or #parts < max - 1 do
    local from, to = s:find(separator, at, true)
    if not from then break end
    parts[#parts + 1] = s:sub(at, from - 1)
    at = to + 1
  end
  parts[#parts + 1] = s:sub(at)
  return parts
end
function stringx.join(separator, list) return table.concat(list, separator) end
function stringx.replace(s, old, new, n)
  return (s:gsub(old:gsub("%p", "%%%0"), (new:gsub("%%", "%%%%")), n))
end
function stringx.count(s, part) local _, n = s:gsub(part:gsub("%p", "%%%0"), "") return n end
function stringx.partition(s, separator)
  local from, to = s:find(separator, 1, true)
  if not from then return s, "", "" end
  return s:sub(1, from - 1), separator, s:sub(to + 1)
end
function stringx.isalpha(s) return s:find("^%a+$") == 1 end
function stringx.isdigit(s) return s:find("^%d+$") == 1 end
function stringx.isalnum(s) return s:find("^%w+$") == 1 end
function stringx.splitlines(s) local l = {} for x in (s .. "\n"):gmatch("(.-)\r?\n") do l[#l + 1] = x end return l end
function stringx.ljust(s, n, c) return s .. (c or " "):rep(n - #s) end
function stringx.rjust(s, n, c) return (c or " "):rep(n - #s) .. s end
return stringx
