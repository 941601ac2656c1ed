-- resty.aes: AES with a password, or with a key of its own and an iv.
local native = ...
local openssl = require("resty.openssl.cipher")
local aes = { hash = { md5 = "md5", sha1 = "sha1", sha224 = "sha224", sha256 = "sha256", sha384 = "sha384",
  sha512 = "sha512" } }
aes.__index = aes
function aes.cipher(size, mode)
  local name = ("aes-%d-%s"):format(size or 128, mode or "cbc")
  if not openssl.new(name) then
    return nil
  end
  return { name = name, size = size or 128, cipher = mode or "cbc" }
end
function aes.new(_, key, salt, cipher, hash, rounds)
  cipher, hash = cipher or aes.cipher(128, "cbc"), hash or "md5"
  local own = openssl.new(cipher.name)
  local size, secret, iv = cipher.size / 8, nil, nil
  if type(hash) == "table" then
    if not hash.iv then
      return nil, "no iv in the table"
    end
    secret, iv = hash.method and hash.method(key) or key, hash.iv
    if #secret ~= size then
      return nil, "bad key length"
    end
    if own.iv_size > 0 and #iv ~= own.iv_size then
      return nil, "bad iv length"
    end
  else
    if salt and #salt ~= 8 then
      return nil, "salt must be 8 characters or nil"
    end
    secret, iv = own:derive(key, salt, rounds or 1, hash)
  end
  return setmetatable({ secret = secret, iv = iv, name = cipher.name, aead = own.aead }, aes)
end
function aes:encrypt(text)
  local own = openssl.new(self.name)
  local out, err = own:encrypt(self.secret, self.iv, text)
  if not out then
    return nil, err
  end
  if self.aead then
    return { out, own:get_aead_tag(16) }
  end
  return out
end
function aes:decrypt(text, tag) return openssl.new(self.name):decrypt(self.secret, self.iv, text, false, nil, tag) end
return aes
