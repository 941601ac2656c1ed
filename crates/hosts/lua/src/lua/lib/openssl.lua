-- resty.openssl: its modules under one name.
local openssl = { _VERSION = "1.5.1", version = { BORINGSSL = false, OPENSSL_3X = true, version_num = 0x30000000,
  version_text = "OpenSSL 3 interface" } }
function openssl.load_modules()
  for _, name in ipairs({ "bn", "cipher", "digest", "hmac", "kdf", "mac", "pkey", "rand", "x509" }) do
    openssl[name] = require("resty.openssl." .. name)
  end
end
openssl.load_modules()
function openssl.get_fips_mode() return false end
return openssl
