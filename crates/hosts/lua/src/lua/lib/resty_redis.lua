-- resty.redis: the Redis protocol over a socket; every command is a method.
local redis = { _VERSION = "0.30" }
local Client = {}

local function encode(...)
  local n = select("#", ...)
  local parts = { "*", n, "\r\n" }
  for i = 1, n do
    local text = tostring((select(i, ...)))
    parts[#parts + 1] = "$" .. #text .. "\r\n" .. text .. "\r\n"
  end
  return table.concat(parts)
end

local function read(sock)
  local line, err = sock:receive("*l")
  if not line then
    return nil, err
  end
  local kind, rest = line:sub(1, 1), line:sub(2)
  if kind == "$" then
    local size = tonumber(rest)
    if size < 0 then
      return ngx.null
    end
    local data
    data, err = sock:receive(size)
    if not data then
      return nil, err
    end
    sock:receive(2)
    return data
  elseif kind == "+" then
    return rest
  elseif kind == ":" then
    return tonumber(rest)
  elseif kind == "*" then
    local n = tonumber(rest)
    if n < 0 then
      return ngx.null
    end
    local list = {}
    for i = 1, n do
      local value
      value, err = read(sock)
      if value == nil then
        return nil, err
      elseif value == false then
        value = { false, err }
      end
      list[i] = value
    end
    return list
  elseif kind == "-" then
    return false, rest
  end
  return nil, 'unknown prefix: "' .. tostring(kind) .. '"'
end

local function command(self, ...)
  if self.pipeline then
    table.insert(self.pipeline, encode(...))
    return
  end
  local ok, err = self.sock:send(encode(...))
  if not ok then
    return nil, err
  end
  return read(self.sock)
end

Client.__index = function(_, name)
  local method = rawget(Client, name)
  if method then
    return method
  end
  return function(self, ...)
    return command(self, name, ...)
  end
end

function redis.new()
  -- Every other name is a command, so what may be absent has to be there as false.
  return setmetatable({ sock = ngx.socket.tcp(), pipeline = false }, Client)
end
function Client:set_timeout(ms) self.sock:settimeout(ms) end
function Client:set_timeouts(connect, send, receive) self.sock:settimeouts(connect, send, receive) end
function Client:connect(host, port, options)
  if type(port) == "table" then
    port, options = nil, port
  end
  local ok, err = self.sock:connect(host, port, options and options.pool and { pool = options.pool } or nil)
  if not ok then
    return nil, err
  end
  if options and options.ssl then
    ok, err = self.sock:sslhandshake(false, options.server_name, options.ssl_verify)
    if not ok then
      return nil, "failed to do ssl handshake: " .. tostring(err)
    end
  end
  return 1
end
function Client:set_keepalive(...) return self.sock:setkeepalive(...) end
function Client:get_reused_times() return self.sock:getreusedtimes() end
function Client:close() return self.sock:close() end
function Client:init_pipeline() self.pipeline = {} end
function Client:cancel_pipeline() self.pipeline = false end
function Client:commit_pipeline()
  local requests = self.pipeline
  if not requests then
    return nil, "no pipeline"
  end
  self.pipeline = false
  local ok, err = self.sock:send(requests)
  if not ok then
    return nil, err
  end
  local answers = {}
  for i = 1, #requests do
    local value
    value, err = read(self.sock)
    if value == nil then
      return nil, err
    end
    answers[i] = value == false and { false, err } or value
  end
  return answers
end
function Client:array_to_hash(list)
  local hash = {}
  for i = 1, #list, 2 do hash[list[i]] = list[i + 1] end
  return hash
end
function Client:hmset(key, ...)
  local first = ...
  if type(first) ~= "table" then
    return command(self, "hmset", key, ...)
  end
  local flat = {}
  for k, v in pairs(first) do
    flat[#flat + 1], flat[#flat + 2] = k, v
  end
  return command(self, "hmset", key, unpack(flat))
end
return redis
