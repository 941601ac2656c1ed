-- resty.openssl.mac: new(key, "HMAC", cipher, digest). Of the kinds of OpenSSL, HMAC.
local hmac = require("resty.openssl.hmac")
local mac = { istype = hmac.istype }
function mac.new(key, kind, _, digest)
  if tostring(kind):upper() ~= "HMAC" then
    return nil, 'mac.new: invalid mac type "' .. tostring(kind) .. '"'
  end
  return hmac.new(key, digest)
end
return mac
