-- kong.service: where the request goes, as what, and what came back.
local native = ...

local in_access = native.only_in({ "access" })
-- The function that names the next target runs while one is chosen.
local target = native.only_in({ "access", "preread", "balancer" })
local tls = native.only_in({ "rewrite", "access", "balancer", "preread" })
local service = {}
kong.service = service

function service.set_upstream(host)
  in_access()
  if type(host) ~= "string" then
    error("host must be a string", 2)
  end
  if not native.set_upstream(host) then
    return nil, 'could not find an Upstream named "' .. host .. '"'
  end
  return true
end

function service.set_target(host, port)
  target()
  if type(host) ~= "string" then
    error("host must be a string", 2)
  end
  if type(port) ~= "number" or math.floor(port) ~= port then
    error("port must be an integer", 2)
  end
  if port < 0 or port > 65535 then
    error("port must be an integer between 0 and 65535: given " .. port, 2)
  end
  native.set_target(host, port)
end

function service.set_target_retry_callback(callback)
  in_access()
  if type(callback) ~= "function" then
    error("retry_callback must be a function", 2)
  end
  native.set_retry_callback(callback, native.running.plugin)
end

function service.set_retries(retries)
  in_access()
  if type(retries) ~= "number" or math.floor(retries) ~= retries then
    error("retries must be an integer", 2)
  end
  if retries < 0 or retries > 32767 then
    error("retries must be an integer between 0 and 32767: given " .. retries, 2)
  end
  native.set_retries(retries)
end

function service.set_timeouts(connect, write, read)
  in_access()
  for name, value in pairs({ connect_timeout = connect, write_timeout = write, read_timeout = read }) do
    if type(value) ~= "number" or math.floor(value) ~= value then
      error(name .. " must be an integer", 2)
    end
    if value < 1 or value > 2147483646 then
      error(name .. " must be an integer between 1 and 2147483646: given " .. value, 2)
    end
  end
  native.set_timeouts(connect, write, read)
end

function service.set_tls_verify(on)
  tls()
  if type(on) ~= "boolean" then
    error("argument must be a boolean", 2)
  end
  native.set_tls_verify(on)
  return true
end

function service.set_tls_verify_depth(depth)
  tls()
  if type(depth) ~= "number" then
    error("argument must be a number", 2)
  end
  native.set_tls_verify_depth(depth)
  return true
end

function service.set_tls_verify_store(store)
  tls()
  local x509_store = require("resty.openssl.x509.store")
  if not x509_store.istype(store) then
    error("store expects a resty.openssl.x509.store object", 2)
  end
  local parts = {}
  for i, der in ipairs(store.trusted) do parts[i] = native.pem("CERTIFICATE", der) end
  native.set_tls_trusted(table.concat(parts))
  return true
end

function service.set_tls_cert_key(chain, key)
  tls()
  require("ngx.ssl")
  local shown, with = native.certificate_pem(chain), native.key_pem(key)
  if not shown then
    error("chain must be a parsed cdata object", 2)
  end
  if not with then
    error("key must be a parsed cdata object", 2)
  end
  native.set_tls_presented(shown, with)
  return true
end

-- kong.service.request.
local request = {}
service.request = request
local before = native.only_in({ "rewrite", "access" })
local until_sent = native.only_in({ "rewrite", "access", "balancer" })

function request.enable_buffering()
  until_sent()
  native.enable_buffering()
end

function request.set_scheme(scheme)
  until_sent()
  if type(scheme) ~= "string" then
    error("scheme must be a string", 2)
  end
  if scheme ~= "http" and scheme ~= "https" then
    error("invalid scheme: " .. scheme, 2)
  end
  native.set_upstream_scheme(scheme)
end

function request.set_path(path)
  until_sent()
  if type(path) ~= "string" then
    error("path must be a string", 2)
  end
  if path:sub(1, 1) ~= "/" then
    error("path must start with /", 2)
  end
  native.set_upstream_path(path)
end

function request.set_raw_query(query)
  before()
  if type(query) ~= "string" then
    error("query must be a string", 2)
  end
  native.set_query(query)
end

function request.set_method(method)
  before()
  if type(method) ~= "string" then
    error("method must be a string", 2)
  end
  if not method:match("^[A-Z]+$") then
    error("invalid method: " .. method, 2)
  end
  native.set_method(method)
end

local function encode_checked(arguments)
  if type(arguments) ~= "table" then
    error("args must be a table", 3)
  end
  for name, value in pairs(arguments) do
    if type(name) ~= "string" and type(name) ~= "number" then
      error("arg keys must be strings", 3)
    end
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      local kind = type(one)
      if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
        error("invalid value for arg '" .. tostring(name) .. "': got " .. kind, 3)
      end
    end
  end
  return ngx.encode_args(arguments, true)
end

function request.set_query(arguments)
  before()
  native.set_query(encode_checked(arguments))
end

function request.clear_query_arg(name)
  before()
  if type(name) ~= "string" then
    error("query argument name must be a string", 2)
  end
  local kept = {}
  for part in (native.query() or ""):gmatch("[^&]+") do
    if native.unescape_uri(part:match("^[^=]*")) ~= name then
      kept[#kept + 1] = part
    end
  end
  native.set_query(table.concat(kept, "&"))
end

local function add(name, value)
  if type(value) ~= "table" then
    return native.request_add_header(name, tostring(value))
  end
  for _, one in ipairs(value) do
    native.request_add_header(name, tostring(one))
  end
end

local function set(name, value)
  if type(value) ~= "table" then
    return native.request_set_header(name, tostring(value))
  end
  native.request_clear_header(name)
  add(name, value)
end

function request.set_header(name, value)
  until_sent()
  if type(name) ~= "string" then
    error("header must be a string", 2)
  end
  native.check_header_value(name, value)
  set(name, value)
end

function request.add_header(name, value)
  before()
  if type(name) ~= "string" then
    error("header must be a string", 2)
  end
  native.check_header_value(name, value)
  add(name, value)
end

function request.clear_header(name)
  before()
  if type(name) ~= "string" then
    error("header must be a string", 2)
  end
  native.request_clear_header(name)
end

function request.set_headers(headers)
  before()
  native.check_headers(headers)
  for name, value in pairs(headers) do
    set(name, value)
  end
end

function request.set_raw_body(body)
  until_sent()
  if type(body) ~= "string" then
    error("body must be a string", 2)
  end
  native.set_body(body)
end

function request.set_body(arguments, mime)
  until_sent()
  if type(arguments) ~= "table" then
    error("args must be a table", 2)
  end
  if mime ~= nil and type(mime) ~= "string" then
    error("mime must be a string", 2)
  end
  local given = mime or native.request_header("content-type") or ""
  local kind = given:match("^%s*([^;%s]+)")
  local body, header
  if kind == "application/json" then
    local err
    body, err = native.json_encode(arguments)
    if not body then
      return nil, err
    end
    header = "application/json"
  elseif kind == "application/x-www-form-urlencoded" or kind == nil then
    body, header = encode_checked(arguments), "application/x-www-form-urlencoded"
  elseif kind == "multipart/form-data" then
    local boundary = given:match('boundary="?([^";]+)"?') or native.random_hex(16)
    local parts = {}
    for name, value in pairs(arguments) do
      parts[#parts + 1] = ('--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n')
        :format(boundary, name, tostring(value))
    end
    body = table.concat(parts) .. "--" .. boundary .. "--\r\n"
    header = "multipart/form-data; boundary=" .. boundary
  else
    return nil, "unsupported content type '" .. tostring(kind) .. "'"
  end
  native.set_body(body)
  native.request_set_header("content-type", header)
  return true
end

function request.disable_tls()
  native.only_in({ "preread", "balancer" })()
  native.set_upstream_scheme("tcp")
  return true
end

-- kong.service.response.
local response = {}
service.response = response
local answered = native.only_in({ "header_filter", "response", "body_filter", "log" })

function response.get_status()
  answered()
  return native.upstream_status()
end

function response.get_headers(max)
  answered()
  if native.upstream_status() == nil then
    return {}
  end
  local headers, err = native.response_headers(max or 100)
  return setmetatable(headers, native.header_lookup), err
end

function response.get_header(name)
  answered()
  if type(name) ~= "string" then
    error("name must be a string", 2)
  end
  if native.upstream_status() == nil then
    return nil
  end
  return native.response_header(name)
end

function response.get_raw_body()
  answered()
  return native.upstream_body() or ""
end

function response.get_body(mimetype, max_args)
  answered()
  local kind = mimetype or (native.response_header("content-type") or ""):match("^%s*([^;%s]+)")
  local body = native.upstream_body() or ""
  if kind == "application/json" then
    return native.json_decode(body, true)
  elseif kind == "application/x-www-form-urlencoded" then
    return native.decode_args(body, max_args or 100)
  end
  return nil, "unsupported content type '" .. tostring(kind) .. "'"
end
