-- resty.openssl.x509.store: certificates that are trusted, and whether another leads to one.
local native = ...
local x509 = require("resty.openssl.x509")
local chain = require("resty.openssl.x509.chain")
local store = { verify_flags = { X509_V_FLAG_PARTIAL_CHAIN = 0x80000 } }
store.__index = store
function store.new() return setmetatable({ trusted = {}, depth = 10 }, store) end
function store.istype(value) return getmetatable(value) == store end
function store:add(item)
  if not x509.istype(item) then
    return false, "x509.store:add: expect an x509 instance at #1"
  end
  table.insert(self.trusted, item.read.der)
  return true
end
local function load_text(self, text)
  local found = native.certificates_of(text)
  for _, der in ipairs(found) do
    if native.certificate_read(der) then
      table.insert(self.trusted, der)
    end
  end
  return #found > 0
end
function store:load_file(path)
  local file, err = io.open(path, "rb")
  if not file then
    return false, "x509.store:load_file: " .. err
  end
  local text = file:read("*a")
  file:close()
  if not load_text(self, text) then
    return false, "x509.store:load_file: no certificate found"
  end
  return true
end
function store:use_default()
  for _, path in ipairs({ "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem" }) do
    if self:load_file(path) then
      return true
    end
  end
  return false, "x509.store:use_default: the system has no list of authorities"
end
function store:set_depth(depth) self.depth = depth return true end
function store:set_purpose() return true end
function store:set_flags() return true end
function store:verify(certificate, others, return_chain)
  if not x509.istype(certificate) then
    return nil, "x509.store:verify: expect a x509 instance at #1"
  end
  local between = {}
  for i, other in ipairs(others and (others.list or others) or {}) do between[i] = other.read.der end
  local found, err = native.certificate_verify(certificate.read.der, between, self.trusted, ngx.time(), self.depth)
  if not found then
    return nil, err
  end
  if not return_chain then
    return true
  end
  local out = chain.new()
  for _, der in ipairs(found) do out:add(x509.new(der)) end
  return out
end
function store:check_revocation() return nil, "x509.store:check_revocation is not supported" end
return store
