-- Copies claims of a bearer token into request headers.
local cjson = require "cjson.safe"
local b64 = require "ngx.base64"

local JwtClaims = { PRIORITY = 900, VERSION = "1.0.0" }

local function payload_of(token)
  local payload = token:match("^[^.]+%.([^.]+)%.[^.]*$")
  if not payload then
    return nil, "not a token"
  end
  local decoded, err = b64.decode_base64url(payload)
  if not decoded then
    return nil, err
  end
  return cjson.decode(decoded)
end

function JwtClaims:access(conf)
  local authorization = kong.request.get_header("authorization")
  local token = authorization and authorization:match("^[Bb]earer%s+(.+)$")
  if not token then
    return kong.response.exit(401, { message = "Unauthorized" })
  end
  local claims, err = payload_of(token)
  if not claims then
    kong.log.notice("bad token: ", err)
    return kong.response.exit(401, { message = "Bad token" })
  end
  for claim, header in pairs(conf.claims) do
    if claims[claim] ~= nil and claims[claim] ~= cjson.null then
      kong.service.request.set_header(header, tostring(claims[claim]))
    end
  end
end

return JwtClaims
