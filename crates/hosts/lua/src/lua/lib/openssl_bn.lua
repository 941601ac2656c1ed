-- resty.openssl.bn: whole numbers of any length.
local native = ...
local bn = {}
bn.__index = bn

local function wrap(handle)
  return setmetatable({ handle = handle }, bn)
end
local function of(value)
  if getmetatable(value) == bn then
    return value
  end
  return wrap(assert(native.bn_from_text(("%.0f"):format(value), 10)))
end

function bn.new(value, base)
  if value == nil then
    return wrap(native.bn_from_text("0", 10))
  end
  if type(value) == "number" then
    return of(value)
  end
  if type(value) ~= "string" then
    return nil, "bn.new: expect nil, a string or number at #1"
  end
  if base and base ~= 2 then
    local handle = native.bn_from_text(value, base)
    if not handle then
      return nil, "bn.new: not a number"
    end
    return wrap(handle)
  end
  return wrap(native.bn_from_bytes(value))
end
function bn.istype(value) return getmetatable(value) == bn end
function bn.dup(value) return wrap(value.handle) end
function bn.from_binary(text) return wrap(native.bn_from_bytes(text)) end
local function from(base)
  return function(text)
    local handle = native.bn_from_text(text, base)
    if not handle then
      return nil, "bn.from: not a number"
    end
    return wrap(handle)
  end
end
bn.from_hex, bn.from_dec = from(16), from(10)

function bn:to_binary(pad)
  local bytes = native.bn_bytes(self.handle)
  if pad then
    if pad < #bytes then
      return nil, "bn:to_binary: the number is longer than the padding"
    end
    bytes = ("\0"):rep(pad - #bytes) .. bytes
  end
  return bytes
end
function bn:to_hex()
  local hex = native.bn_text(self.handle, 16):upper()
  return #hex % 2 == 1 and "0" .. hex or hex
end
function bn:to_dec() return native.bn_text(self.handle, 10) end
bn.tostring, bn.__tostring, bn.tohex, bn.todec = bn.to_dec, bn.to_dec, bn.to_hex, bn.to_dec
function bn:to_number() return tonumber(self:to_dec()) end
bn.tonumber = bn.to_number

local function operation(name)
  return function(a, b)
    local handle, err = native.bn_operate(name, of(a).handle, of(b).handle)
    if not handle then
      return nil, "bn: " .. err
    end
    return wrap(handle)
  end
end
bn.add, bn.sub, bn.mul, bn.mod, bn.exp = operation("add"), operation("sub"), operation("mul"), operation("mod"),
  operation("exp")
bn.div, bn.idiv, bn.pow = operation("div"), operation("div"), bn.exp
bn.__add, bn.__sub, bn.__mul, bn.__mod, bn.__div, bn.__pow = bn.add, bn.sub, bn.mul, bn.mod, bn.div, bn.exp
function bn.__unm(a) return bn.sub(0, a) end
function bn.sqr(a) return bn.mul(a, a) end
function bn.mod_exp(a, exponent, modulus)
  local handle = native.bn_mod_exp(of(a).handle, of(exponent).handle, of(modulus).handle)
  if not handle then
    return nil, "bn.mod_exp: negative or too large"
  end
  return wrap(handle)
end
bn.mod_pow = bn.mod_exp
local function modular(name)
  return function(a, b, modulus)
    local result, err = bn[name](a, b)
    if not result then
      return nil, err
    end
    return bn.mod(bn.add(bn.mod(result, modulus), modulus), modulus)
  end
end
bn.mod_add, bn.mod_sub, bn.mod_mul = modular("add"), modular("sub"), modular("mul")
function bn.cmp(a, b) return native.bn_compare(of(a).handle, of(b).handle) end
function bn.__eq(a, b) return bn.cmp(a, b) == 0 end
function bn.__lt(a, b) return bn.cmp(a, b) < 0 end
function bn.__le(a, b) return bn.cmp(a, b) <= 0 end
function bn:is_zero() return bn.cmp(self, 0) == 0 end
function bn:is_one() return bn.cmp(self, 1) == 0 end
function bn:is_odd() return tonumber(self:to_dec():sub(-1)) % 2 == 1 end
function bn:num_bits() return native.bn_bits(self.handle) end
function bn:num_bytes() return math.ceil(self:num_bits() / 8) end
return bn
