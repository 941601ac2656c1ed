-- Looks an API key up in Redis.
local redis = require "resty.redis"
local RedisKey = { PRIORITY = 1250, VERSION = "1.0.0" }

function RedisKey:access(conf)
  local key = kong.request.get_header(conf.header)
  if not key then
    return kong.response.exit(401, { message = "No API key found" })
  end
  local red = redis:new()
  red:set_timeouts(2000, 2000, 2000)
  local ok, err = red:connect(conf.host, conf.port)
  if not ok then
    kong.log.err("redis: ", err)
    return kong.response.exit(500)
  end
  local user
  user, err = red:get("key:" .. key)
  if not user then
    kong.log.err("redis: ", err)
    return kong.response.exit(500)
  end
  red:set_keepalive(10000, 10)
  if user == ngx.null then
    return kong.response.exit(401, { message = "Unauthorized" })
  end
  kong.service.request.set_header("X-User", user)
  kong.service.request.clear_header(conf.header)
end

return RedisKey
