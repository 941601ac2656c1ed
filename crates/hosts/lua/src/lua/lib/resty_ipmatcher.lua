-- resty.ipmatcher: whether an address is in one of many networks.
local native = ...
local ipmatcher = {}
ipmatcher.__index = ipmatcher

local function matcher(networks, values)
  local handle, wrong = native.networks(networks)
  if not handle then
    return nil, "invalid ip address: " .. tostring(wrong)
  end
  return setmetatable({ handle = handle, values = values }, ipmatcher)
end

function ipmatcher.new(networks)
  if type(networks) ~= "table" then
    error("missing valid ip argument", 2)
  end
  return matcher(networks)
end

--- A table from network to value.
function ipmatcher.new_with_value(by_network)
  if type(by_network) ~= "table" then
    error("missing valid ip argument", 2)
  end
  local networks, values = {}, {}
  for network, value in pairs(by_network) do
    networks[#networks + 1], values[#values + 1] = network, value
  end
  return matcher(networks, values)
end

function ipmatcher:match(address)
  local found = type(address) == "string" and native.networks_find(self.handle, address)
  if found == nil or type(address) ~= "string" then
    return false, "invalid ip address, not ipv4 and ipv6"
  end
  if not found then
    return false
  end
  return not self.values or self.values[found]
end

function ipmatcher:match_bin(bytes)
  local address = type(bytes) == "string" and native.address_of_bytes(bytes)
  if not address then
    return false, "invalid ip address, not ipv4 and ipv6"
  end
  return self:match(address)
end

function ipmatcher.parse_ipv4(address) return native.address_family(address) == 4 end
function ipmatcher.parse_ipv6(address) return native.address_family(address) == 6 end
return ipmatcher
