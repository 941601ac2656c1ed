-- Chooses the upstream by a header.
local HeaderTarget = { PRIORITY = 500, VERSION = "1.0.0" }

function HeaderTarget:access(conf)
  local target = conf.targets[kong.request.get_header(conf.header) or ""]
  if target then
    kong.service.set_target(target.host, target.port)
    kong.service.set_timeouts(2000, 5000, 5000)
  end
end

return HeaderTarget
