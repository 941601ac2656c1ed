-- Keeps whole answers in a shared dictionary.
local cjson = require "cjson.safe"
local ResponseCache = { PRIORITY = 100, VERSION = "1.0.0" }
local dict = ngx.shared.kong_db_cache

function ResponseCache:access()
  if kong.request.get_method() ~= "GET" then
    return
  end
  local key = "cache:" .. ngx.md5(kong.request.get_path_with_query())
  local kept = dict:get(key)
  if kept then
    local answer = cjson.decode(kept)
    answer.headers["X-Cache"] = "hit"
    return kong.response.exit(answer.status, ngx.decode_base64(answer.body), answer.headers)
  end
  kong.ctx.plugin.key = key
end

function ResponseCache:header_filter()
  if kong.ctx.plugin.key then
    kong.response.set_header("X-Cache", "miss")
    kong.ctx.plugin.status = kong.response.get_status()
    kong.ctx.plugin.headers = { ["Content-Type"] = kong.response.get_header("Content-Type") or "text/plain" }
  end
end

function ResponseCache:body_filter(conf)
  local ctx = kong.ctx.plugin
  if not ctx.key then
    return
  end
  local body = kong.response.get_raw_body()
  if body then
    dict:set(ctx.key, cjson.encode({ status = ctx.status, headers = ctx.headers, body = ngx.encode_base64(body) }), conf.ttl)
  end
end

return ResponseCache
