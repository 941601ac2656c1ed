-- A relying party of OpenID Connect: fetches the provider's keys once, and checks tokens against them.
local http = require "resty.http"
local cjson = require "cjson.safe"
local pkey = require "resty.openssl.pkey"
local digest = require "resty.openssl.digest"
local b64 = require "ngx.base64"

local RelyingParty = { PRIORITY = 1010, VERSION = "1.0.0" }

local function keys_of(uri)
  local client = http.new()
  client:set_timeout(5000)
  local response, err = client:request_uri(uri, { ssl_verify = false })
  if not response then
    return nil, err
  end
  if response.status ~= 200 then
    return nil, "the provider answered " .. response.status
  end
  local document = cjson.decode(response.body)
  return document and document.keys, not document and "the keys are no JSON" or nil
end

local verifiers = {
  RS256 = function(key, message, signature)
    local hashed = digest.new("sha256")
    hashed:update(message)
    return key:verify(signature, hashed)
  end,
  PS256 = function(key, message, signature)
    return key:verify(signature, message, "sha256", pkey.PADDINGS.RSA_PKCS1_PSS_PADDING)
  end,
  ES256 = function(key, message, signature)
    return key:verify(signature, message, "sha256", nil, { ecdsa_use_raw = true })
  end,
  EdDSA = function(key, message, signature)
    return key:verify(signature, message)
  end,
}

local function claims_of(conf, token)
  local head, body, tail = token:match("^([%w_-]+)%.([%w_-]+)%.([%w_-]+)$")
  if not head then
    return nil, "malformed token"
  end
  local header = cjson.decode(b64.decode_base64url(head) or "")
  local claims = cjson.decode(b64.decode_base64url(body) or "")
  if not header or not claims then
    return nil, "malformed token"
  end
  local allowed = false
  for _, algorithm in ipairs(conf.algorithms) do
    allowed = allowed or algorithm == header.alg
  end
  local verify = allowed and verifiers[header.alg]
  if not verify then
    return nil, "algorithm not allowed"
  end
  local keys, err = kong.cache:get("relying-party:" .. conf.jwks_uri, { ttl = 60 }, keys_of, conf.jwks_uri)
  if not keys then
    return nil, err
  end
  for _, jwk in ipairs(keys) do
    if jwk.kid == header.kid then
      local key, wrong = pkey.new(cjson.encode(jwk), { format = "JWK" })
      if not key then
        return nil, wrong
      end
      if not verify(key, head .. "." .. body, b64.decode_base64url(tail)) then
        return nil, "bad signature"
      end
      if claims.iss ~= conf.issuer then
        return nil, "wrong issuer"
      end
      if type(claims.exp) ~= "number" or claims.exp < ngx.time() then
        return nil, "token expired"
      end
      return claims
    end
  end
  return nil, "unknown key"
end

function RelyingParty:access(conf)
  local token = (kong.request.get_header("authorization") or ""):match("^[Bb]earer%s+(.+)$")
  if not token then
    return kong.response.exit(401, { message = "no token" }, { ["WWW-Authenticate"] = "Bearer" })
  end
  local claims, err = claims_of(conf, token)
  if not claims then
    kong.log.notice("token refused: ", err)
    return kong.response.exit(401, { message = err })
  end
  kong.service.request.set_header("X-Subject", claims.sub)
end

return RelyingParty
