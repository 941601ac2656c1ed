-- resty.openssl.cipher: AES in CBC, CTR, ECB, GCM and key wrap, and ChaCha20-Poly1305.
local native = ...
local canonical = require("resty.openssl.digest").canonical
local cipher = {}
cipher.__index = cipher
local keys = { ["128"] = 16, ["192"] = 24, ["256"] = 32 }

function cipher.new(name)
  if type(name) ~= "string" then
    return nil, "cipher.new: expect a string at #1"
  end
  name = name:lower():gsub("^id%-", ""):gsub("^aes(%d%d%d)%-", "aes-%1-")
  local bits, mode = name:match("^aes%-(%d+)%-(%a+)$")
  local known = name == "chacha20-poly1305" or (keys[bits] and (mode == "cbc" or mode == "ctr" or mode == "ecb" or
    mode == "gcm" or mode == "wrap"))
  if not known then
    return nil, ('cipher.new: invalid cipher type "%s"'):format(name)
  end
  local aead = mode == "gcm" or mode == nil
  return setmetatable({ name = name, key_size = keys[bits] or 32, aead = aead, block_size = aead and 1 or 16,
    iv_size = aead and 12 or (mode == "ecb" and 0) or (mode == "wrap" and 8) or 16 }, cipher)
end
function cipher.istype(value) return getmetatable(value) == cipher end
function cipher:get_provider_name() return "default" end

local function run(self, encrypt, key, iv, text, no_padding, aad, tag)
  if type(key) ~= "string" or #key ~= self.key_size then
    return nil, ("incorrect key size, expect %d"):format(self.key_size)
  end
  if self.iv_size > 0 and self.name:sub(-4) ~= "wrap" and (type(iv) ~= "string" or #iv ~= self.iv_size) then
    return nil, ("incorrect iv size, expect %d"):format(self.iv_size)
  end
  local out, extra = native.cipher(self.name, encrypt, key, iv, text, no_padding and true or false, aad, tag)
  if not out then
    return nil, extra
  end
  self.tag = encrypt and extra or self.tag
  return out
end
function cipher:encrypt(key, iv, text, no_padding, aad)
  local out, err = run(self, true, key, iv, text, no_padding, aad)
  if not out then
    return nil, "cipher:encrypt: " .. err
  end
  return out
end
function cipher:decrypt(key, iv, text, no_padding, aad, tag)
  local out, err = run(self, false, key, iv, text, no_padding, aad, tag)
  if not out then
    return nil, "cipher:decrypt: " .. err
  end
  return out
end

-- Step by step: what was put in comes out at the end.
function cipher:init(key, iv, options)
  options = options or {}
  self.state = { key = key, iv = iv, encrypt = options.is_encrypt and true or false, bare = options.no_padding,
    parts = {}, aad = {} }
  return true
end
function cipher:update_aead_aad(aad) table.insert(self.state.aad, aad) return true end
function cipher:set_aead_tag(tag) self.state.tag = tag return true end
function cipher:get_aead_tag(size)
  if not self.tag then
    return nil, "cipher:get_aead_tag: there is no tag yet"
  end
  return self.tag:sub(1, size or 16)
end
function cipher:update(...)
  for i = 1, select("#", ...) do table.insert(self.state.parts, (select(i, ...))) end
  return ""
end
function cipher:final(text)
  local state = self.state
  if not state then
    return nil, "cipher:final: cipher not initialized, call cipher:init first"
  end
  if text then
    table.insert(state.parts, text)
  end
  local out, err = run(self, state.encrypt, state.key, state.iv, table.concat(state.parts), state.bare,
    table.concat(state.aad), state.tag)
  if not out then
    return nil, "cipher:final: " .. err
  end
  return out
end

--- Key and iv from a password, as `openssl enc` makes them.
function cipher:derive(password, salt, count, algorithm)
  algorithm = canonical(algorithm or "sha1")
  if not native.digest(algorithm, "") then
    return nil, "cipher:derive: invalid digest type"
  end
  local wanted, made, last = self.key_size + self.iv_size, "", ""
  while #made < wanted do
    last = native.digest(algorithm, last .. password .. (salt or ""):sub(1, 8))
    for _ = 2, count or 1 do last = native.digest(algorithm, last) end
    made = made .. last
  end
  return made:sub(1, self.key_size), made:sub(self.key_size + 1, wanted)
end
return cipher
