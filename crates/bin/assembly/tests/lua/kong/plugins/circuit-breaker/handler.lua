-- Stops asking an upstream that keeps failing.
local CircuitBreaker = { PRIORITY = 700, VERSION = "1.0.0" }
local dict = ngx.shared.kong

local function key()
  local service = kong.router.get_service()
  return "breaker:" .. (service and service.id or "none")
end

function CircuitBreaker:access(conf)
  local failures = dict:get(key())
  if failures and failures >= conf.failures then
    return kong.response.exit(503, { message = "circuit open" }, { ["Retry-After"] = conf.window })
  end
end

function CircuitBreaker:log(conf)
  if kong.response.get_source() ~= "service" then
    return
  end
  if kong.service.response.get_status() >= 500 then
    dict:incr(key(), 1, 0, conf.window)
  else
    dict:delete(key())
  end
end

return CircuitBreaker
