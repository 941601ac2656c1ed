-- A relying party: asks the identity provider about a token, remembers the answer, and names the user upstream.
local cjson = require "cjson.safe"
local http = require "resty.http"
local sha256 = require "resty.sha256"
local to_hex = require("resty.string").to_hex

local Introspect = { PRIORITY = 1000, VERSION = "1.0.0" }

local function ask(conf, token)
  local client = http.new()
  client:set_timeouts(5000, 5000, 5000)
  local res, err = client:request_uri(conf.endpoint, {
    method = "POST",
    body = ngx.encode_args({ token = token }),
    headers = {
      ["Content-Type"] = "application/x-www-form-urlencoded",
      ["Authorization"] = "Basic " .. ngx.encode_base64(conf.client_id .. ":" .. conf.client_secret),
    },
  })
  if not res then
    return nil, err
  end
  if res.status ~= 200 then
    return nil, "status " .. res.status
  end
  return cjson.decode(res.body)
end

function Introspect:access(conf)
  local token = (kong.request.get_header("authorization") or ""):match("^Bearer (.+)$")
  if not token then
    return kong.response.exit(401, { message = "no token" }, { ["WWW-Authenticate"] = "Bearer" })
  end
  local digest = sha256:new()
  digest:update(token)
  local answer, err = kong.cache:get("introspect:" .. to_hex(digest:final()), { ttl = conf.ttl }, ask, conf, token)
  if not answer then
    kong.log.err("introspection failed: ", err)
    return kong.response.exit(502, { message = "identity provider failed" })
  end
  if not answer.active then
    return kong.response.exit(401, { message = "token is not active" })
  end
  kong.client.authenticate(nil, { id = answer.sub })
  kong.service.request.set_header("X-User", answer.sub)
end

return Introspect
