-- kong.plugins.jwt.jwt_parser: tokens read, verified and made, for plugins that build on Kong's.
local native = ...
local pkey = require("resty.openssl.pkey")
local base64 = require("ngx.base64")
local cjson = require("cjson.safe")

local hashes = { HS256 = "sha256", HS384 = "sha384", HS512 = "sha512" }
-- Signature, digest, padding; signatures of curves are two numbers side by side.
local pss = pkey.PADDINGS.RSA_PKCS1_PSS_PADDING
local keyed = {
  RS256 = { "sha256" }, RS384 = { "sha384" }, RS512 = { "sha512" },
  PS256 = { "sha256", pss }, PS384 = { "sha384", pss }, PS512 = { "sha512", pss },
  ES256 = { "sha256", nil, true }, ES384 = { "sha384", nil, true }, ES512 = { "sha512", nil, true },
}

local Parser = {}
Parser.__index = Parser

local function sign(algorithm, text, key)
  if hashes[algorithm] then
    return native.hmac(hashes[algorithm], key, text)
  end
  local how = keyed[algorithm]
  local private, err = pkey.new(key, { type = "pr" })
  if not private then
    return nil, err
  end
  if not how then
    return private:sign(text)
  end
  return private:sign(text, how[1], how[2], { ecdsa_use_raw = how[3] })
end

local function is_known(algorithm) return hashes[algorithm] or keyed[algorithm] or algorithm == "EdDSA" end

--- A token from the text of one.
function Parser.new(_, token)
  if type(token) ~= "string" then
    error("Token must be a string, got " .. tostring(token), 2)
  end
  local header_64, claims_64, signature_64 = token:match("^([^.]*)%.([^.]*)%.([^.]*)$")
  if not header_64 then
    return nil, "invalid JSON"
  end
  local function part(text)
    local decoded = base64.decode_base64url(text)
    return decoded and cjson.decode(decoded)
  end
  local header, claims, signature = part(header_64), part(claims_64), base64.decode_base64url(signature_64)
  if type(header) ~= "table" or type(claims) ~= "table" then
    return nil, "invalid JSON"
  end
  if header.typ and tostring(header.typ):upper() ~= "JWT" then
    return nil, "invalid typ"
  end
  if not is_known(header.alg) then
    return nil, "invalid alg"
  end
  if not signature then
    return nil, "invalid signature"
  end
  return setmetatable({ token = token, header_64 = header_64, claims_64 = claims_64, signature_64 = signature_64,
    header = header, claims = claims, signature = signature }, Parser)
end

--- Whether the token was signed with a secret, or with the private key of this public one.
function Parser:verify_signature(key)
  local algorithm, text = self.header.alg, self.header_64 .. "." .. self.claims_64
  if hashes[algorithm] then
    local wanted, given = native.hmac(hashes[algorithm], key, text), self.signature
    if #wanted ~= #given then
      return false
    end
    -- As long for a wrong one as for a right one.
    local differs = 0
    for i = 1, #wanted do differs = bit.bor(differs, bit.bxor(wanted:byte(i), given:byte(i))) end
    return differs == 0
  end
  local public = pkey.new(key)
  if not public then
    return false
  end
  local how = keyed[algorithm] or {}
  return public:verify(self.signature, text, how[1], how[2], { ecdsa_use_raw = how[3] }) or false
end

--- Checks of times: true, or false and what is wrong by claim.
function Parser:verify_registered_claims(names)
  if not names then
    names = {}
  end
  local errors, now = nil, ngx.time()
  local checks = {
    nbf = function(value) if value > now then return "token not valid yet" end end,
    exp = function(value) if value <= now then return "token expired" end end,
  }
  for _, name in ipairs(names) do
    local value = self.claims[name]
    local wrong = type(value) ~= "number" and "must be a number" or checks[name] and checks[name](value)
    if wrong then
      errors = errors or {}
      errors[name] = wrong
    end
  end
  return errors == nil, errors
end

--- That the token ends at most so many seconds from now.
function Parser:check_maximum_expiration(seconds)
  if seconds <= 0 then
    return true
  end
  local exp = self.claims.exp
  if exp == nil or exp - ngx.time() > seconds then
    return false, { exp = "exceeds maximum allowed expiration" }
  end
  return true
end

--- The text of a token with these claims.
function Parser.encode(claims, key, algorithm, header)
  if type(claims) ~= "table" then
    error("Argument #1 must be table", 2)
  end
  if type(key) ~= "string" then
    error("Argument #2 must be string", 2)
  end
  algorithm = algorithm or "HS256"
  if not is_known(algorithm) then
    error("Algorithm not supported", 2)
  end
  local whole = { typ = "JWT", alg = algorithm }
  for name, value in pairs(header or {}) do whole[name] = value end
  local text = base64.encode_base64url(cjson.encode(whole)) .. "." .. base64.encode_base64url(cjson.encode(claims))
  local signature, err = sign(algorithm, text, key)
  if not signature then
    return nil, err
  end
  return text .. "." .. base64.encode_base64url(signature)
end

return Parser
