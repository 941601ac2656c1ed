-- kong.tools.ip.
local native = ...
local tools = {}
function tools.is_valid_ip(text) return type(text) == "string" and native.address_family(text) ~= nil end
function tools.is_valid_ip_or_cidr(text) return type(text) == "string" and native.networks({ text }) ~= nil end
tools.is_valid_cidr_v4 = function(text) return tools.is_valid_ip_or_cidr(text) and not text:find(":", 1, true) end
tools.is_valid_cidr_v6 = function(text) return tools.is_valid_ip_or_cidr(text) and text:find(":", 1, true) ~= nil end
function tools.hostname_type(name)
  local bare = name:match("^%[(.+)%]") or name:match("^([^:]+):%d+$") or name
  local family = native.address_family(bare)
  return family == 4 and "ipv4" or family == 6 and "ipv6" or "name"
end
return tools
