-- Lets only listed paths through.
local PathAllow = { PRIORITY = 2000, VERSION = "1.0.0" }

function PathAllow:access(conf)
  local path = kong.request.get_path()
  for _, pattern in ipairs(conf.allow) do
    if ngx.re.find(path, pattern, "jo") then
      return
    end
  end
  return kong.response.exit(conf.status, { message = "path not allowed" }, { ["X-Path"] = path })
end

return PathAllow
