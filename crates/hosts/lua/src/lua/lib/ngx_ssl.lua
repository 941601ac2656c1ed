-- ngx.ssl: certificates and keys in the form in which other functions take them.
local native = ...
local x509 = require("resty.openssl.x509")
local chain = require("resty.openssl.x509.chain")
local pkey = require("resty.openssl.pkey")
local ssl = { SSL3_VERSION = 0x0300, TLS1_VERSION = 0x0301, TLS1_1_VERSION = 0x0302, TLS1_2_VERSION = 0x0303,
  TLS1_3_VERSION = 0x0304 }

local function certificates(ders)
  local found = chain.new()
  for _, der in ipairs(ders) do
    local certificate, err = x509.new(der)
    if not certificate then
      return nil, err
    end
    found:add(certificate)
  end
  if found:count() == 0 then
    return nil, "no certificate found"
  end
  return found
end

function ssl.parse_pem_cert(pem) return certificates(native.certificates_of(pem)) end
function ssl.parse_der_cert(der) return certificates({ der }) end
function ssl.parse_pem_priv_key(pem) return pkey.new(pem, { type = "pr" }) end
ssl.parse_der_priv_key = ssl.parse_pem_priv_key
function ssl.cert_pem_to_der(pem)
  local found = native.certificates_of(pem)
  if #found == 0 then
    return nil, "no certificate found"
  end
  return table.concat(found)
end
function ssl.priv_key_pem_to_der(pem)
  local key, err = ssl.parse_pem_priv_key(pem)
  if not key then
    return nil, err
  end
  return native.key_write(key.handle, "private DER")
end
function ssl.server_name() return ngx.var.ssl_server_name end

--- PEM of a certificate or a chain of this module or of resty.openssl; nil for anything else.
function native.certificate_pem(value)
  if x509.istype(value) then
    return value:to_PEM()
  end
  if type(value) ~= "table" or not (chain.istype(value) or x509.istype(value[1])) then
    return nil
  end
  local parts = {}
  for i, certificate in ipairs(value.list or value) do parts[i] = certificate:to_PEM() end
  return table.concat(parts)
end

--- PEM of a private key; nil for anything else.
function native.key_pem(value)
  if not pkey.istype(value) or not native.key_is_private(value.handle) then
    return nil
  end
  return native.key_write(value.handle, "private PEM")
end
return ssl
