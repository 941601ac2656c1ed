-- Answers with its configuration.
local Everything = { PRIORITY = 1, VERSION = "1.0.0" }

function Everything:access(conf)
  local shown = {}
  for name, value in pairs(conf) do
    if name:sub(1, 2) ~= "__" and not name:find("_id$") then
      shown[name] = value
    end
  end
  return kong.response.exit(200, shown)
end

return Everything
