-- Expressions in settings of native plugins, compiled once per worker, with the names that Kong's templates have.
local sandbox = require("gibbon.sandbox")

local compiled = setmetatable({}, { __mode = "k" })

local function captures()
  local found = kong.request.get_uri_captures()
  local out = {}
  for _, kind in ipairs({ found.unnamed or {}, found.named or {} }) do
    for name, value in pairs(kind) do
      out[name] = value
    end
  end
  return out
end

local handler = {}

function handler.value(conf)
  local chunk = compiled[conf]
  if not chunk then
    local names = "local headers, query_params, uri_captures, shared = ..."
    chunk = sandbox.load(names .. " return (" .. conf.source .. "\n)", "a template")
    compiled[conf] = chunk
  end
  local value = chunk(kong.request.get_headers(), kong.request.get_query(), captures(), kong.ctx.shared)
  if value ~= nil then
    return tostring(value)
  end
end

return handler
