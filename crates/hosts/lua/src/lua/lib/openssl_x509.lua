-- resty.openssl.x509: certificates, to be read.
local native = ...
local bn = require("resty.openssl.bn")
local pkey = require("resty.openssl.pkey")
local name = require("resty.openssl.x509.name")
local altname = require("resty.openssl.x509.altname")
local canonical = require("resty.openssl.digest").canonical
local x509 = {}
x509.__index = x509

local extensions = {
  subjectAltName = "2.5.29.17", basicConstraints = "2.5.29.19", keyUsage = "2.5.29.15", extendedKeyUsage = "2.5.29.37",
  subjectKeyIdentifier = "2.5.29.14", authorityKeyIdentifier = "2.5.29.35", crlDistributionPoints = "2.5.29.31",
  authorityInfoAccess = "1.3.6.1.5.5.7.1.1", certificatePolicies = "2.5.29.32",
}
local signatures = {
  ["1.2.840.113549.1.1.5"] = "RSA-SHA1", ["1.2.840.113549.1.1.11"] = "RSA-SHA256",
  ["1.2.840.113549.1.1.12"] = "RSA-SHA384", ["1.2.840.113549.1.1.13"] = "RSA-SHA512",
  ["1.2.840.113549.1.1.10"] = "RSASSA-PSS", ["1.2.840.10045.4.3.2"] = "ecdsa-with-SHA256",
  ["1.2.840.10045.4.3.3"] = "ecdsa-with-SHA384", ["1.2.840.10045.4.3.4"] = "ecdsa-with-SHA512",
  ["1.3.101.112"] = "ED25519",
}

function x509.new(source)
  if type(source) ~= "string" then
    return nil, "x509.new: expect nil or a string at #1"
  end
  local read = native.certificate_read(source)
  if not read then
    return nil, "x509.new: the certificate is malformed"
  end
  return setmetatable({ read = read }, x509)
end
function x509.istype(value) return getmetatable(value) == x509 end
function x509.dup(value) return x509.new(value.read.der) end

function x509:tostring(format)
  if (format or "PEM"):upper() == "DER" then
    return self.read.der
  end
  return native.pem("CERTIFICATE", self.read.der)
end
function x509:to_PEM() return self:tostring("PEM") end
x509.__tostring = function(self) return self:tostring("PEM") end
function x509.__eq(a, b) return a.read.der == b.read.der end

function x509:get_subject_name() return name._wrap(self.read.subject) end
function x509:get_issuer_name() return name._wrap(self.read.issuer) end
function x509:get_not_before() return self.read.not_before end
function x509:get_not_after() return self.read.not_after end
function x509:get_lifetime() return self.read.not_before, self.read.not_after end
function x509:get_serial_number() return bn.from_binary(self.read.serial) end
function x509:get_version() return self.read.version end
function x509:get_subject_alt_name()
  if not self.read.extensions[extensions.subjectAltName] then
    return nil
  end
  return altname._wrap(self.read.names)
end
function x509:get_pubkey()
  local handle, err = native.certificate_key(self.read.spki)
  if not handle then
    return nil, "x509:get_pubkey: " .. err
  end
  return pkey._wrap(handle)
end
function x509:get_signature_name() return signatures[self.read.signature_oid] or self.read.signature_oid end
function x509:get_signature_digest_name()
  return (self:get_signature_name():match("[Ss][Hh][Aa]%d+"))
end
function x509:get_basic_constraints(field)
  if not self.read.extensions[extensions.basicConstraints] then
    return nil
  end
  local all = { ca = self.read.ca or false, pathlen = self.read.path_length }
  if field then
    return all[field:lower()]
  end
  return all
end
function x509:get_ca() return self.read.ca or false end
local function urls(field)
  return function(self, all)
    local list = self.read[field]
    if not list then
      return nil
    end
    return all and list or list[1]
  end
end
x509.get_ocsp_url, x509.get_crl_url = urls("ocsp"), urls("crl")
function x509:get_extension(id)
  local found = self.read.extensions[extensions[id] or id]
  if not found then
    return nil
  end
  local text = found.value
  return { get_critical = function() return found.critical end, text = function() return text end,
    to_der = function() return text end, tostring = function() return text end }
end
function x509:get_critical(id)
  local found = self.read.extensions[extensions[id] or id]
  return found and found.critical
end

function x509:digest(algorithm)
  local out = native.digest(canonical(algorithm or "sha1"), self.read.der)
  if not out then
    return nil, "x509:digest: invalid digest type"
  end
  return out
end
function x509:pubkey_digest(algorithm) return native.digest(canonical(algorithm or "sha1"), self.read.spki) end
function x509:verify(key)
  if not pkey.istype(key) then
    return false, "x509:verify: expect a pkey instance at #1"
  end
  return native.certificate_signed_by(self.read.der, key.handle)
end
function x509:check_private_key(key)
  local own, err = self:get_pubkey()
  if not own then
    return false, err
  end
  if not key:is_private() or not native.key_public_equals(own.handle, key.handle) then
    return false, "x509:check_private_key: key values mismatch"
  end
  return true
end
return x509
