-- What `require` finds before it looks for files: our own libraries. A file of the same name on lua_package_path does
-- not replace them, so that what they promise holds.
local native = ...
local sources = native.sources

table.insert(package.loaders, 1, function(name)
  local source = sources[name]
  if not source then
    return "\n\tno built-in module '" .. tostring(name) .. "'"
  end
  local chunk = assert(loadstring(source, "=[gibbon]/" .. name))
  return function(...)
    return chunk(native, ...)
  end
end)

--- Forgets loaded modules whose names begin so, for a changed file.
function native.forget(prefix)
  for name in pairs(package.loaded) do
    if name:sub(1, #prefix) == prefix and not sources[name] then
      package.loaded[name] = nil
    end
  end
end
