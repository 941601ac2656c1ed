-- resty.evp: signing, verifying and encrypting with the interface that lua-resty-jwt brings along, over the keys of ours.
local native = ...
local pkey = require("resty.openssl.pkey")
local x509 = require("resty.openssl.x509")
local store = require("resty.openssl.x509.store")
local canonical = require("resty.openssl.digest").canonical
local evp = { _VERSION = "0.2.4" }
local CONST = { SHA1_DIGEST = "SHA1", SHA256_DIGEST = "SHA256", SHA384_DIGEST = "SHA384", SHA512_DIGEST = "SHA512",
  RSA_PKCS1_PADDING = 1, RSA_SSLV23_PADDING = 2, RSA_NO_PADDING = 3, RSA_PKCS1_OAEP_PADDING = 4,
  RSA_X931_PADDING = 5, RSA_PKCS1_PSS_PADDING = 6, NID_rsaEncryption = 6, EVP_PKEY_RSA = 6, EVP_PKEY_EC = 408,
  EVP_PKEY_RSA_PSS = 912 }
evp.CONST = CONST

-- Callers say `evp.RSASigner:new(…)`: each such call makes an object of its own.
local function class()
  local methods = {}
  methods.__index = methods
  return methods
end

local function private_key(kind, text)
  if type(text) ~= "string" then
    return nil, "Must pass a PEM private key"
  end
  local key, err = pkey.new(text, { type = "pr" })
  if not key then
    return nil, err
  end
  if key.kind ~= kind then
    return nil, "key is not an " .. kind .. " key"
  end
  return key
end

local function signer(kind)
  local Signer = class()
  function Signer.new(_, text, password, padding)
    if password then
      return nil, "encrypted private keys are not supported"
    end
    local key, err = private_key(kind, text)
    if not key then
      return nil, err
    end
    return setmetatable({ evp_pkey = key, padding = padding }, Signer)
  end
  function Signer:sign(message, digest_name) return self.evp_pkey:sign(message, digest_name, self.padding) end
  return Signer
end
evp.RSASigner, evp.ECSigner = signer("RSA"), signer("EC")

local order_sizes = { [415] = 32, [714] = 32, [715] = 48, [716] = 66 }
function evp.ECSigner:get_raw_sig(signature)
  if type(signature) ~= "string" or signature == "" then
    return nil, "Must pass a signature to convert"
  end
  local raw = native.signature_to_raw(signature, order_sizes[self.evp_pkey.group])
  if not raw then
    return nil, "Invalid DER signature"
  end
  return raw
end

local function verifier(kind, raw)
  local Verifier = class()
  function Verifier.new(_, source, padding)
    if type(source) ~= "table" or source.public_key == nil then
      return nil, "You must pass in an key_source for a public key"
    end
    return setmetatable({ evp_pkey = source.public_key, padding = padding }, Verifier)
  end
  function Verifier:verify(message, signature, digest_name)
    if self.evp_pkey.kind ~= kind then
      return false, "key is not an " .. kind .. " key"
    end
    if type(signature) ~= "string" then
      return false, "Must pass a signature to verify"
    end
    local right, err = self.evp_pkey:verify(signature, message, digest_name, self.padding, { ecdsa_use_raw = raw })
    if right then
      return true
    end
    return false, err or "Verification failed"
  end
  return Verifier
end
evp.RSAVerifier, evp.ECVerifier = verifier("RSA", false), verifier("EC", true)
function evp.ECVerifier:get_der_sig(signature)
  local der = native.signature_to_der(signature, order_sizes[self.evp_pkey.group] or 0)
  if not der then
    return nil, "signature length != 2 * order length"
  end
  return der
end

local Cert = class()
evp.Cert = Cert
function Cert.new(_, payload)
  if type(payload) ~= "string" then
    return nil, "Must pass a PEM or binary DER cert"
  end
  local certificate, err = x509.new(payload)
  if not certificate then
    return nil, err
  end
  local key
  key, err = certificate:get_pubkey()
  if not key then
    return nil, err
  end
  return setmetatable({ x509 = certificate, public_key = key }, Cert)
end
function Cert:get_der() return self.x509:tostring("DER") end
function Cert:get_public_key() return self.public_key end
function Cert:get_fingerprint(digest_name)
  local out, err = self.x509:digest(digest_name)
  if not out then
    return nil, err
  end
  return (native.to_hex(out):upper():gsub("%x%x", "%0:"):sub(1, -2))
end
function Cert:verify_trust(file)
  if type(file) ~= "string" then
    return false, "Must pass a trusted certs file path"
  end
  local trusted = store.new()
  local ok, err = trusted:load_file(file)
  if not ok then
    return false, err
  end
  ok, err = trusted:verify(self.x509)
  return ok and true or false, err
end

local PublicKey = class()
evp.PublicKey = PublicKey
function PublicKey.new(_, payload)
  if type(payload) ~= "string" then
    return nil, "Must pass a PEM or binary DER public key"
  end
  local key, err = pkey.new(payload)
  if not key then
    return nil, err
  end
  return setmetatable({ public_key = key }, PublicKey)
end

local Encryptor, Decryptor = class(), class()
evp.RSAEncryptor, evp.RSADecryptor = Encryptor, Decryptor
local function crypt(self, text, encrypt)
  return native.key_crypt(self.evp_pkey.handle, text, canonical(self.digest_alg), self.padding, encrypt)
end
function Encryptor.new(_, source, padding, digest_alg)
  if type(source) ~= "table" or source.public_key == nil then
    return nil, "You must pass in an key_source for a public key"
  end
  return setmetatable({ evp_pkey = source.public_key, padding = padding or CONST.RSA_PKCS1_OAEP_PADDING,
    digest_alg = digest_alg or CONST.SHA256_DIGEST }, Encryptor)
end
function Encryptor:encrypt(text) return crypt(self, text, true) end
function Decryptor.new(_, text, password, padding, digest_alg)
  if password then
    return nil, "encrypted private keys are not supported"
  end
  local key, err = private_key("RSA", text)
  if not key then
    return nil, err
  end
  return setmetatable({ evp_pkey = key, padding = padding or CONST.RSA_PKCS1_OAEP_PADDING,
    digest_alg = digest_alg or CONST.SHA256_DIGEST }, Decryptor)
end
function Decryptor:decrypt(text) return crypt(self, text, false) end
return evp
