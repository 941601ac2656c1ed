-- The smaller modules of penlight, by name: pl.file, pl.path, pl.pretty, pl.types, pl.List.
local modules = {}

local function whole(path, mode)
  local file, err = io.open(path, mode)
  if not file then
    return nil, err
  end
  local text = file:read("*a")
  file:close()
  return text
end
modules["pl.file"] = {
  read = function(path, is_binary) return whole(path, is_binary and "rb" or "r") end,
  write = function(path, text)
    local file, err = io.open(path, "w")
    if not file then
      return nil, err
    end
    file:write(text)
    file:close()
    return true
  end,
  delete = os.remove,
  move = os.rename,
}

local path = { sep = "/", dirsep = ":" }
function path.exists(name)
  local file = io.open(name)
  if file then
    file:close()
    return name
  end
  return nil
end
function path.isabs(name) return name:sub(1, 1) == "/" end
function path.splitpath(name)
  local folder, base = name:match("^(.*)/([^/]*)$")
  return folder or "", base or name
end
function path.basename(name) return (select(2, path.splitpath(name))) end
function path.dirname(name) return (path.splitpath(name)) end
function path.splitext(name)
  local stem, extension = name:match("^(.+)(%.[^./]*)$")
  return stem or name, extension or ""
end
function path.extension(name) return (select(2, path.splitext(name))) end
function path.join(first, ...)
  local joined = first
  for i = 1, select("#", ...) do
    local part = select(i, ...)
    joined = path.isabs(part) and part or (joined == "" or joined:sub(-1) == "/") and joined .. part or joined .. "/" .. part
  end
  return joined
end
path.isfile = function(name) return path.exists(name) ~= nil and whole(name) ~= nil end
modules["pl.path"] = path

modules["pl.pretty"] = {
  write = function(value) return require("inspect")(value) end,
  read = function(text)
    local chunk, err = loadstring("return " .. text)
    if not chunk then
      return nil, err
    end
    return setfenv(chunk, {})()
  end,
}

modules["pl.types"] = {
  is_callable = function(value)
    local metatable = getmetatable(value)
    return type(value) == "function" or metatable ~= nil and metatable.__call ~= nil
  end,
  is_type = function(value, kind) return type(value) == kind end,
  is_integer = function(value) return type(value) == "number" and value % 1 == 0 end,
  is_empty = function(value)
    return value == nil or type(value) == "table" and next(value) == nil or type(value) == "string" and value == ""
  end,
  to_bool = function(value)
    local text = type(value) == "string" and value:lower()
    if text then
      return text == "yes" or text == "y" or text == "true" or text == "t" or text == "1"
    end
    return value == true or type(value) == "number" and value ~= 0
  end,
}

local List = {}
List.__index = List
setmetatable(List, { __call = function(_, values) return List.new(values) end })
function List.new(values)
  local list = setmetatable({}, List)
  for _, value in ipairs(values or {}) do list[#list + 1] = value end
  return list
end
function List:append(value) self[#self + 1] = value return self end
function List:extend(other) for _, value in ipairs(other) do self:append(value) end return self end
function List:insert(i, value) table.insert(self, i, value) return self end
function List:remove(i) table.remove(self, i) return self end
function List:pop(i) return table.remove(self, i) end
function List:len() return #self end
function List:index(value) for i, one in ipairs(self) do if one == value then return i end end end
function List:contains(value) return self:index(value) ~= nil end
function List:count(value) local n = 0 for _, one in ipairs(self) do if one == value then n = n + 1 end end return n end
function List:reverse()
  local n = #self
  for i = 1, math.floor(n / 2) do self[i], self[n - i + 1] = self[n - i + 1], self[i] end
  return self
end
function List:sort(before) table.sort(self, before) return self end
function List:join(separator) return table.concat(self, separator) end
List.concat = List.join
function List:map(f, ...) local out = List.new() for _, one in ipairs(self) do out:append(f(one, ...)) end return out end
function List:filter(f, ...)
  local out = List.new()
  for _, one in ipairs(self) do if f(one, ...) then out:append(one) end end
  return out
end
function List:foreach(f, ...) for _, one in ipairs(self) do f(one, ...) end end
function List:iter() local i = 0 return function() i = i + 1 return self[i] end end
function List:slice(from, to) local out = List.new() for i = from or 1, to or #self do out:append(self[i]) end return out end
modules["pl.List"] = List

return modules
