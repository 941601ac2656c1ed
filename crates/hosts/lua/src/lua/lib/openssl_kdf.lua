-- resty.openssl.kdf: PBKDF2 and HKDF.
local native = ...
local canonical = require("resty.openssl.digest").canonical
local kdf = { HKDF = 1036, PBKDF2 = 69, SCRYPT = 973, TLS1_PRF = 1021, HKDEF_MODE_EXTRACT_AND_EXPAND = 0,
  HKDEF_MODE_EXTRACT_ONLY = 1, HKDEF_MODE_EXPAND_ONLY = 2 }
function kdf.derive(options)
  local algorithm = canonical(options.md or "sha1")
  local out, err
  if options.type == kdf.PBKDF2 then
    out, err = native.derive("pbkdf2", algorithm, options.pass, options.salt or "", options.pbkdf2_iter or 1,
      options.outlen)
  elseif options.type == kdf.HKDF and (options.hkdf_mode or 0) == 0 then
    out, err = native.hkdf(algorithm, options.hkdf_key, options.salt or "", options.hkdf_info or "", options.outlen)
  else
    return nil, "kdf.derive: unsupported type"
  end
  if not out then
    return nil, "kdf.derive: " .. err
  end
  return out
end
kdf.derive_legacy = kdf.derive
return kdf
