-- resty.http: an HTTP/1.1 client over sockets, with the interface of lua-resty-http.
local native = ...
local http = { _VERSION = "0.17.2" }
local Client = {}
Client.__index = Client

function http.new()
  return setmetatable({ sock = ngx.socket.tcp(), keepalive = true }, Client)
end

function http.parse_uri(_, uri, query_in_path)
  if query_in_path == nil then
    query_in_path = true
  end
  local scheme, host, port, rest = uri:match("^(https?)://(%[[^%]]+%]):?(%d*)(.*)$")
  if not scheme then
    scheme, host, port, rest = uri:match("^(https?)://([^/:?#]+):?(%d*)(.*)$")
  end
  if not scheme then
    return nil, "bad uri: " .. tostring(uri)
  end
  rest = rest:gsub("#.*$", "")
  local path, query = rest:match("^([^?]*)%??(.*)$")
  if path == "" then
    path = "/"
  end
  port = tonumber(port) or (scheme == "https" and 443 or 80)
  if query_in_path and query ~= "" then
    return { scheme, host, port, path .. "?" .. query, "" }
  end
  return { scheme, host, port, path, query }
end
Client.parse_uri = http.parse_uri

function Client:set_timeout(ms) self.sock:settimeout(ms) return true end
function Client:set_timeouts(connect, send, read) self.sock:settimeouts(connect, send, read) return true end
function Client:set_keepalive(...)
  if self.keepalive then
    return self.sock:setkeepalive(...)
  end
  self.sock:close()
  return 2, "connection must be closed"
end
function Client:get_reused_times() return self.sock:getreusedtimes() end
function Client:close() return self.sock:close() end
function Client:set_proxy_options() end
function Client:get_client_ip() return ngx.var.remote_addr end

function Client:connect(options, port, ...)
  if type(options) ~= "table" then
    self.host, self.port = options, port
    return self.sock:connect(options, port, ...)
  end
  local tls = options.scheme == "https"
  local at = options.port or (tls and 443 or 80)
  self.host, self.port, self.ssl = options.host, at, tls
  local pool = options.pool or table.concat({ tls and "https" or "http", options.host, at,
    options.ssl_server_name or "", tostring(options.ssl_verify), tostring(options.ssl_client_cert or "") }, ":")
  local ok, err
  if options.host:sub(1, 5) == "unix:" then
    ok, err = self.sock:connect(options.host, { pool = pool })
  else
    ok, err = self.sock:connect(options.host, at, { pool = pool })
  end
  if not ok then
    return nil, err
  end
  if tls then
    if options.ssl_client_cert then
      ok, err = self.sock:setclientcert(options.ssl_client_cert, options.ssl_client_priv_key)
      if not ok then
        return nil, err
      end
    end
    return self:ssl_handshake(nil, options.ssl_server_name or options.host, options.ssl_verify ~= false)
  end
  return 1
end

function Client:ssl_handshake(session, name, verify)
  self.ssl = true
  return self.sock:sslhandshake(session, name, verify)
end

-- Header tables whose names are found whatever their case.
local function header_table()
  local lower = {}
  return setmetatable({}, {
    __index = function(t, name)
      return rawget(t, lower[tostring(name):lower()] or name)
    end,
    __newindex = function(t, name, value)
      lower[tostring(name):lower()] = name
      rawset(t, name, value)
    end,
  })
end

local function write_request(self, params)
  local headers, seen = {}, {}
  for name, value in pairs(params.headers or {}) do
    seen[tostring(name):lower()] = true
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      one = tostring(one)
      if (tostring(name) .. one):find("[\r\n%z]") then
        return nil, "header contains a line break"
      end
      headers[#headers + 1] = name .. ": " .. one
    end
  end
  local body = params.body
  if type(body) == "table" then
    body = table.concat(body)
  end
  if type(body) == "function" then
    local parts = {}
    repeat
      local part, err = body()
      if err then
        return nil, err
      end
      parts[#parts + 1] = part
    until part == nil
    body = table.concat(parts)
  end
  if not seen["host"] then
    local default = self.ssl and 443 or 80
    local host = self.host or "localhost"
    headers[#headers + 1] = "Host: " .. ((self.port and self.port ~= default) and host .. ":" .. self.port or host)
  end
  if not seen["user-agent"] then
    headers[#headers + 1] = "User-Agent: lua-resty-http/" .. http._VERSION
  end
  if body and not seen["content-length"] and not seen["transfer-encoding"] then
    headers[#headers + 1] = "Content-Length: " .. #body
  elseif not body and not seen["content-length"] and (params.method == "POST" or params.method == "PUT") then
    headers[#headers + 1] = "Content-Length: 0"
  end
  local path = params.path or "/"
  if params.query and params.query ~= "" then
    local query = type(params.query) == "table" and ngx.encode_args(params.query) or params.query
    if query:sub(1, 1) ~= "?" then
      query = "?" .. query
    end
    path = path .. query
  end
  local version = params.version == 1.0 and "1.0" or "1.1"
  local line = (params.method or "GET") .. " " .. path .. " HTTP/" .. version
  if line:find("[\r\n%z]") then
    return nil, "request line contains a line break"
  end
  table.sort(headers)
  return line .. "\r\n" .. table.concat(headers, "\r\n") .. "\r\n\r\n" .. (body or "")
end

local function read_headers(sock)
  local headers = header_table()
  while true do
    local line, err = sock:receive("*l")
    if not line then
      return nil, err
    end
    if line == "" then
      return headers
    end
    local name, value = line:match("^([^:%s]+):%s*(.-)%s*$")
    if name then
      local before = headers[name]
      if before == nil then
        headers[name] = value
      elseif type(before) == "table" then
        table.insert(before, value)
      else
        headers[name] = { before, value }
      end
    end
  end
end

-- Readers of bodies: coroutines, as the original has them; each call gives a piece, and nil at the end.
local function chunked_reader(sock)
  return coroutine.wrap(function()
    while true do
      local line, err = sock:receive("*l")
      if not line then
        return nil, err
      end
      local size = tonumber(line:match("^%x+") or "", 16)
      if not size then
        return nil, "unable to read chunksize"
      end
      if size == 0 then
        break
      end
      local data
      data, err = sock:receive(size)
      if not data then
        return nil, err
      end
      sock:receive(2)
      coroutine.yield(data)
    end
    repeat
      local line = sock:receive("*l")
    until not line or line == ""
    return nil
  end)
end

local function length_reader(sock, length)
  return coroutine.wrap(function(max)
    local left = length
    while left > 0 do
      local data, err = sock:receive(math.min(left, max or 65536))
      if not data then
        return nil, err
      end
      left = left - #data
      max = coroutine.yield(data)
    end
    return nil
  end)
end

local function close_reader(sock)
  return coroutine.wrap(function(max)
    while true do
      local data, err = sock:receiveany(max or 65536)
      if not data then
        return nil, err ~= "closed" and err or nil
      end
      max = coroutine.yield(data)
    end
  end)
end

local function read_body(response)
  local reader = response.body_reader
  if not reader then
    return nil, "no body to be read"
  end
  local parts = {}
  while true do
    local ok, part, err = pcall(reader)
    if not ok or (part == nil and err) then
      return nil, ok and err or part, table.concat(parts)
    end
    if part == nil then
      return table.concat(parts)
    end
    parts[#parts + 1] = part
  end
end

function Client:send_request(params)
  local text, err = write_request(self, params)
  if not text then
    return nil, err
  end
  return self.sock:send(text)
end

function Client:read_response(params)
  local line, err = self.sock:receive("*l")
  if not line then
    return nil, err
  end
  local version, status, reason = line:match("^HTTP/(%d%.%d) (%d%d%d) ?(.*)$")
  if not status then
    return nil, "couldn't parse HTTP response status line"
  end
  status = tonumber(status)
  local headers
  headers, err = read_headers(self.sock)
  if not headers then
    return nil, err
  end
  if status == 100 then
    return self:read_response(params)
  end
  local connection = tostring(headers["Connection"] or ""):lower()
  self.keepalive = connection ~= "close" and (version ~= "1.0" or connection == "keep-alive")
  local reader, has_body = nil, false
  local encoding = tostring(headers["Transfer-Encoding"] or ""):lower()
  local length = tonumber(headers["Content-Length"])
  if params.method ~= "HEAD" and status ~= 204 and status ~= 304 then
    if encoding:find("chunked", 1, true) then
      reader = chunked_reader(self.sock)
    elseif length then
      reader = length_reader(self.sock, length)
    else
      reader = close_reader(self.sock)
      self.keepalive = false
    end
    has_body = true
  end
  return {
    status = status, reason = reason, headers = headers, has_body = has_body, body_reader = reader,
    read_body = read_body, trailers = {}, read_trailers = function() return {} end,
  }
end

function Client:request(params)
  params.method = params.method or "GET"
  local ok, err = self:send_request(params)
  if not ok then
    return nil, err
  end
  return self:read_response(params)
end

function Client:request_pipeline(requests)
  local responses = {}
  for i, params in ipairs(requests) do
    local response, err = self:request(params)
    if not response then
      return nil, err
    end
    if response.has_body then
      response.body = response:read_body()
      response.read_body = function(self) return self.body end
    end
    responses[i] = response
  end
  return responses
end

function Client:request_uri(uri, params)
  params = params or {}
  local copy = {}
  for k, v in pairs(params) do copy[k] = v end
  local parts, err = http.parse_uri(nil, uri, false)
  if not parts then
    return nil, err
  end
  local scheme, host, port, path, query = unpack(parts)
  copy.path = copy.path or path
  copy.query = copy.query or query
  local ok
  ok, err = self:connect({
    scheme = scheme, host = host, port = port, ssl_verify = params.ssl_verify,
    ssl_server_name = params.ssl_server_name, pool = params.pool, ssl_client_cert = params.ssl_client_cert,
    ssl_client_priv_key = params.ssl_client_priv_key,
  })
  if not ok then
    return nil, err
  end
  local response
  response, err = self:request(copy)
  if not response then
    self:close()
    return nil, err
  end
  local body
  if response.has_body then
    body, err = response:read_body()
    if not body then
      self:close()
      return nil, err
    end
  end
  response.body = body
  if params.keepalive == false then
    self:close()
  else
    self:set_keepalive(params.keepalive_timeout, params.keepalive_pool)
  end
  return response
end

return http
