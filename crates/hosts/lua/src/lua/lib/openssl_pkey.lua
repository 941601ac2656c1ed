-- resty.openssl.pkey: keys of RSA, elliptic curves and Curve25519.
local native = ...
local digest = require("resty.openssl.digest")
local bn = require("resty.openssl.bn")
local pkey = {
  PADDINGS = { RSA_PKCS1_PADDING = 1, RSA_SSLV23_PADDING = 2, RSA_NO_PADDING = 3, RSA_PKCS1_OAEP_PADDING = 4,
    RSA_X931_PADDING = 5, RSA_PKCS1_PSS_PADDING = 6 },
}
pkey.__index = pkey

local kinds = {
  RSA = { id = 6, nid = 6, sn = "rsaEncryption", ln = "rsaEncryption" },
  EC = { id = 408, nid = 408, sn = "id-ecPublicKey", ln = "id-ecPublicKey" },
  X25519 = { id = 1034, nid = 1034, sn = "X25519", ln = "X25519" },
  Ed25519 = { id = 1087, nid = 1087, sn = "ED25519", ln = "ED25519" },
}

local function wrap(handle)
  local kind, size, group = native.key_kind(handle)
  return setmetatable({ handle = handle, kind = kind, size = size, group = group }, pkey)
end
pkey._wrap = wrap

local function read(text, options)
  options = options or {}
  local handle, err = native.key_read(text, options.passphrase or options.passphrase_cb and options.passphrase_cb())
  if not handle then
    return nil, "pkey.new:load_key: " .. err
  end
  if options.type == "pr" and not native.key_is_private(handle) then
    return nil, "pkey.new:load_key: the key is not private"
  end
  return wrap(handle)
end

function pkey.new(source, options)
  if source == nil then
    source = { type = "RSA", bits = 2048 }
  end
  if type(source) == "string" then
    return read(source, options)
  end
  if type(source) ~= "table" then
    return nil, "pkey.new: unexpected type " .. type(source) .. " at #1"
  end
  if source.kty then
    return read(native.json_encode(source), options)
  end
  local kind = source.type or "RSA"
  local handle, err = native.key_generate(kind, source.bits or 2048, source.curve or "prime256v1")
  if not handle then
    return nil, "pkey.new:generate_key: " .. err
  end
  return wrap(handle)
end
function pkey.istype(value) return getmetatable(value) == pkey end
function pkey.paramgen() return nil, "pkey.paramgen is not supported" end

function pkey:is_private() return native.key_is_private(self.handle) end
function pkey:get_key_type(only_id)
  local kind = kinds[self.kind]
  return only_id and kind.nid or kind
end
function pkey:get_default_digest_type()
  if self.kind == "RSA" or self.kind == "EC" then
    return { id = 672, nid = 672, sn = "SHA256", ln = "sha256" }
  end
  return { id = 0, nid = 0, sn = "UNDEF", ln = "undefined" }
end
function pkey:get_size() return self.size end
function pkey:get_provider_name() return "default" end

--- The numbers of the key; those of Curve25519 as bytes.
function pkey:get_parameters()
  local out = {}
  for name, bytes in pairs(native.key_parameters(self.handle)) do
    out[name] = (self.kind == "RSA" or self.kind == "EC") and bn.from_binary(bytes) or bytes
  end
  if self.kind == "EC" then
    out.group, out.public, out.private = self.group, out.pub_key, out.priv_key
  end
  return out
end

local function message_of(data, name, key)
  if digest.istype(data) then
    return data:message(), name and digest.canonical(name) or data.name
  end
  if type(data) ~= "string" then
    return nil, "expect a digest instance or a string at #1"
  end
  if name == nil then
    -- The digest that goes with the key.
    local by_curve = { [715] = "sha384", [716] = "sha512" }
    name = key.kind == "EC" and by_curve[key.group] or "sha256"
  end
  return data, digest.canonical(name)
end

function pkey:sign(data, name, padding, options)
  local message, known = message_of(data, name, self)
  if not message then
    return nil, "pkey:sign: " .. known
  end
  local signature, err = native.key_sign(self.handle, message, known, padding,
    options and options.ecdsa_use_raw and true or false)
  if not signature then
    return nil, "pkey:sign: " .. err
  end
  return signature
end

function pkey:verify(signature, data, name, padding, options)
  if type(signature) ~= "string" then
    return nil, "pkey:verify: expect a string at #1"
  end
  local message, known = message_of(data, name, self)
  if not message then
    return nil, "pkey:verify: " .. known
  end
  local right, err = native.key_verify(self.handle, signature, message, known, padding,
    options and options.ecdsa_use_raw and true or false)
  if right == nil then
    return nil, "pkey:verify: " .. err
  end
  return right
end

local function crypt(name, encrypt)
  return function(self, text, padding, options)
    local known = digest.canonical(options and (options.oaep_md or options.mgf1_md) or "sha1")
    local out, err = native.key_crypt(self.handle, text, known, padding, encrypt)
    if not out then
      return nil, "pkey:" .. name .. ": " .. err
    end
    return out
  end
end
pkey.encrypt, pkey.decrypt = crypt("encrypt", true), crypt("decrypt", false)

function pkey:derive(peer)
  if not pkey.istype(peer) then
    return nil, "pkey:derive: expect a pkey instance at #1"
  end
  local secret, err = native.key_agree(self.handle, peer.handle)
  if not secret then
    return nil, "pkey:derive: " .. err
  end
  return secret
end

function pkey:tostring(which, format, pkcs1)
  local private = which == "private" or which == "PrivateKey"
  format = (format or "PEM"):upper()
  if pkcs1 and format == "PEM" then
    format = "PKCS1"
  end
  local written = native.key_write(self.handle, (private and "private " or "public ") .. format)
  if not written then
    return nil, "pkey:tostring: the key has no such form"
  end
  return written
end
function pkey:to_PEM(which, pkcs1) return self:tostring(which, "PEM", pkcs1) end
pkey.__tostring = function(self) return (self:tostring("public")) end
return pkey
