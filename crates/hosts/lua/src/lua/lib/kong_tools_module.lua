-- kong.tools.module.
local tools = {}

--- The module and true, or false and why it does not load. A fault inside of it is raised.
function tools.load_module_if_exists(name)
  local ok, module = pcall(require, name)
  if ok then
    return true, module
  end
  if type(module) == "string" and module:find("module '" .. name .. "' not found", 1, true) then
    return false, module
  end
  error("error loading module '" .. name .. "':\n" .. tostring(module), 2)
end
return tools
