-- custom_fields_by_lua of loggers: each chunk's value becomes a field of the log entry. Compiled once per configuration
-- and worker. A field that fails is missing and the error log says why; the entry is sent all the same.
local sandbox = require("gibbon.sandbox")

local compiled = setmetatable({}, { __mode = "k" })

local function chunks_of(conf)
  local chunks = compiled[conf]
  if not chunks then
    chunks = {}
    for key, source in pairs(conf.custom_fields_by_lua) do
      local ok, chunk = pcall(sandbox.load, source, "custom_fields_by_lua")
      chunks[key] = ok and chunk or function() error(chunk, 0) end
    end
    compiled[conf] = chunks
  end
  return chunks
end

local handler = {}

function handler:log(conf)
  for key, chunk in pairs(chunks_of(conf)) do
    local ok, err = pcall(function() kong.log.set_serialize_value(key, (chunk())) end)
    if not ok then
      kong.log.err("custom_fields_by_lua: ", key, ": ", err)
    end
  end
end

return handler
