-- kong.db.schema.typedefs: fields ready made. What they check is done by the gateway's own fields of the same name;
-- here stands the name, and calling one changes it.
local typedefs = {}

local metatable = {}
metatable.__call = function(field, changes)
  local copy = {}
  for k, v in pairs(field) do copy[k] = v end
  for k, v in pairs(changes or {}) do copy[k] = v end
  return setmetatable(copy, metatable)
end

local function define(name, field)
  field.typedef = field.typedef or name
  typedefs[name] = setmetatable(field, metatable)
end

for _, name in ipairs({ "http_method", "protocol", "host", "host_with_optional_port", "wildcard_host", "ip",
  "ip_or_cidr", "path", "url", "cookie_name", "header_name", "utf8_name", "sni", "wildcard_sni", "tag",
  "pem_certificate", "pem_key", "pem_public_key" }) do
  define(name, { type = "string" })
end
-- One that is not given is made.
define("uuid", { type = "string", auto = true })
define("port", { type = "integer" })
define("timeout", { type = "integer" })
define("tags", { type = "set" })
define("protocols", { type = "set" })
define("protocols_http", { type = "set" })
define("auto_timestamp_s", { type = "integer", typedef = "auto_timestamp" })
define("auto_timestamp_ms", { type = "number", typedef = "auto_timestamp_ms" })
define("name", { type = "string", typedef = "utf8_name" })
define("certificate", { type = "string", typedef = "pem_certificate" })
define("key", { type = "string", typedef = "pem_key" })
define("cidr", { type = "string", typedef = "ip_or_cidr" })
define("cidr_v4", { type = "string", typedef = "ip_or_cidr" })
define("router_path", { type = "string", typedef = "path" })
define("http_protocols", { type = "set", typedef = "protocols_http" })

local function plain(name, field)
  typedefs[name] = setmetatable(field, metatable)
end
plain("no_consumer", { type = "foreign", reference = "consumers", eq = ngx.null })
plain("no_consumer_group", { type = "foreign", reference = "consumer_groups", eq = ngx.null })
plain("no_route", { type = "foreign", reference = "routes", eq = ngx.null })
plain("no_service", { type = "foreign", reference = "services", eq = ngx.null })
plain("headers", { type = "map", keys = typedefs.header_name, values = { type = "array", elements = { type = "string" } } })
plain("hosts", { type = "array", elements = typedefs.wildcard_host })
plain("methods", { type = "set", elements = typedefs.http_method })
plain("semantic_version", { type = "string", match_any = {
  patterns = { "^%d+[%.%d]*$", "^%d+[%.%d]*%-?.*$" }, err = "invalid version number: must be in format of X.Y.Z" } })
plain("lua_code", { type = "string" })

return typedefs
