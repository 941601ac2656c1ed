-- Refuses requests without a header: the example of docs/custom-plugins.md.
local MyPlugin = { PRIORITY = 1000, VERSION = "1.0.0" }

function MyPlugin:access(conf)
  if not kong.request.get_header(conf.header) then
    return kong.response.exit(400, { message = conf.header .. " is missing" })
  end
end

return MyPlugin
