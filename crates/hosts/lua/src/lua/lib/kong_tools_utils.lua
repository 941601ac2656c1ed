-- kong.tools.utils: what used to be one module, for plugins that still ask for it.
local out = {}
for _, name in ipairs({ "table", "string", "uuid", "rand", "time", "http" }) do
  for k, v in pairs(require("kong.tools." .. name)) do out[k] = v end
end
return out
