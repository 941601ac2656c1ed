-- kong.request: what the client sent.
local native = ...

local MAX = 1000

local function limit(value, what)
  if value == nil then
    return 100
  end
  if type(value) ~= "number" then
    error(what .. " must be a number", 3)
  end
  if value < 1 then
    error(what .. " must be >= 1", 3)
  end
  if value > MAX then
    error(what .. " must be <= " .. MAX, 3)
  end
  return value
end

local request = {}
kong.request = request

local anywhere = native.only_in(native.REQUEST)
local body_phases = native.only_in({ "rewrite", "access", "response", "admin_api" })
local port_phases = native.only_in({ "certificate", "rewrite", "access", "header_filter", "response", "body_filter",
  "log", "admin_api", "preread" })

-- Functions without arguments that only look.
for name, look in pairs({
  get_scheme = native.scheme, get_host = native.host, get_forwarded_scheme = native.forwarded_scheme,
  get_forwarded_host = native.forwarded_host, get_forwarded_port = native.forwarded_port,
  get_forwarded_path = native.forwarded_path, get_forwarded_prefix = native.forwarded_prefix,
  get_http_version = native.http_version, get_method = native.method, get_path = native.path,
  get_raw_path = native.raw_path, get_path_with_query = native.path_with_query, get_raw_query = native.query,
  get_start_time = native.start_time_ms, get_uri_captures = native.captures,
}) do
  request[name] = function()
    anywhere()
    return look()
  end
end

function request.get_port()
  port_phases()
  return native.port()
end

function request.get_query_arg(name)
  anywhere()
  if type(name) ~= "string" then
    error("query argument name must be a string", 2)
  end
  local value = native.decode_args(native.query(), 100)[name]
  if type(value) == "table" then
    return value[1]
  end
  return value
end

function request.get_query(max_args)
  anywhere()
  return native.decode_args(native.query(), limit(max_args, "max_args"))
end

function request.get_header(name)
  anywhere()
  if type(name) ~= "string" then
    error("header name must be a string", 2)
  end
  return native.request_header(name)
end

function request.get_headers(max_headers)
  anywhere()
  return setmetatable(native.request_headers(limit(max_headers, "max_headers")), native.header_lookup)
end

local function read_body()
  if native.body_unread() then
    native.yield(native.READ_BODY)
  end
end

function request.get_raw_body(max_size)
  body_phases()
  read_body()
  return native.body(max_size)
end

--- The fields of a form in parts; files are given as text.
local function parts_of(body, content_type)
  local boundary = content_type:match('boundary="?([^";]+)"?')
  if not boundary then
    return nil, "missing boundary in Content-Type"
  end
  local fields = {}
  for part in (body .. "\r\n"):gsub("%-%-" .. boundary:gsub("%p", "%%%0"), "\0"):gmatch("%z([^%z]*)") do
    local head, text = part:match("^\r\n(.-)\r\n\r\n(.*)\r\n$")
    local name = head and head:match('[Nn][Aa][Mm][Ee]="([^"]*)"')
    if name then
      fields[name] = text
    end
  end
  return fields
end

function request.get_body(mimetype, max_args, max_size)
  body_phases()
  if mimetype ~= nil and type(mimetype) ~= "string" then
    error("mimetype must be a string", 2)
  end
  local wanted = max_args and limit(max_args, "max_args") or 100
  local content_type = native.request_header("content-type") or ""
  local kind = mimetype or content_type:match("^%s*([^;%s]+)")
  if not kind then
    return nil, "missing content type"
  end
  kind = kind:lower()
  read_body()
  local body, err = native.body(max_size)
  if kind == "application/x-www-form-urlencoded" then
    if not body then
      return nil, err, kind
    end
    return native.decode_args(body, wanted), nil, kind
  elseif kind == "application/json" then
    if not body then
      return nil, err, kind
    end
    local value = native.json_decode(body, true)
    if type(value) ~= "table" then
      return nil, "invalid json body", kind
    end
    return value, nil, kind
  elseif kind == "multipart/form-data" then
    if not body then
      return nil, err, kind
    end
    local fields, why = parts_of(body, content_type)
    return fields, why, kind
  end
  return nil, "unsupported content type '" .. kind .. "'", kind
end
