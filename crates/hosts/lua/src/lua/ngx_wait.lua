-- What waits: sleep, sockets, timers, semaphores. A wait is begun on the native side and awaited by the driver.
local native = ...
local running = native.running

local function await(err)
  if err then
    return nil, err
  end
  return native.yield(native.WAIT)
end
native.await = await

local function check_phase(what)
  if not native.may_wait() then
    error("API disabled in the context of " .. tostring(running.phase) .. "_by_lua*: " .. what, 3)
  end
end
native.check_wait = check_phase

function ngx.sleep(seconds)
  seconds = tonumber(seconds)
  if not seconds or seconds < 0 then
    error("invalid sleep duration \"" .. tostring(seconds) .. "\"", 2)
  end
  check_phase("ngx.sleep")
  native.sleep(seconds)
  native.yield(native.WAIT)
end

-- Timers run on the worker that made them, without a request.
ngx.timer = {}

local function timer(delay, every, f, ...)
  if type(delay) ~= "number" or delay < 0 then
    return nil, "delay cannot be negative"
  end
  if type(f) ~= "function" then
    error("bad argument #2 to 'timer' (function expected, got " .. type(f) .. ")", 3)
  end
  local arguments, n = { ... }, select("#", ...)
  return native.timer(delay, every, function(premature)
    return f(premature, unpack(arguments, 1, n))
  end)
end

function ngx.timer.at(delay, f, ...) return timer(delay, false, f, ...) end
function ngx.timer.every(delay, f, ...)
  if delay == 0 then
    return nil, "delay cannot be zero"
  end
  return timer(delay, true, f, ...)
end
function ngx.timer.running_count() return native.timers() end
function ngx.timer.pending_count() return native.timers() end

-- Sockets.
ngx.socket = {}
local Socket = {}
Socket.__index = Socket

local function new_socket(datagram)
  return setmetatable({ datagram = datagram, buffer = "", timeouts = { connect = 60, send = 60, read = 60 } }, Socket)
end

function ngx.socket.tcp() return new_socket(false) end
function ngx.socket.udp() return new_socket(true) end
ngx.socket.stream = ngx.socket.tcp
function ngx.socket.connect(...)
  local socket = new_socket(false)
  local ok, err = socket:connect(...)
  if not ok then
    return nil, err
  end
  return socket
end

function Socket:settimeout(ms)
  local seconds = ms and ms / 1000 or 60
  self.timeouts = { connect = seconds, send = seconds, read = seconds }
end
function Socket:settimeouts(connect, send, read)
  self.timeouts = { connect = (connect or 60000) / 1000, send = (send or 60000) / 1000, read = (read or 60000) / 1000 }
end
function Socket:setoption() return true end
function Socket:getoption() return nil, "unsupported option" end
function Socket:bind() return nil, "not supported" end

function Socket:connect(host, port, options)
  check_phase("socket connect")
  if type(port) == "table" then
    port, options = nil, port
  end
  if self.handle then
    native.socket_close(self.handle)
  end
  self.buffer, self.closed = "", false
  self.pool = options and options.pool or (tostring(host) .. ":" .. tostring(port or ""))
  local handle = not self.datagram and native.socket_pooled(self.pool) or nil
  if handle then
    self.handle, self.reused = handle, native.socket_reused(handle)
    return 1
  end
  self.reused = 0
  local err = native.socket_connect(tostring(host), port and tonumber(port) or nil, self.datagram, self.timeouts.connect)
  local connected, why = await(err)
  if not connected then
    return nil, why
  end
  self.handle = connected
  return 1
end
Socket.setpeername = Socket.connect

function Socket:sslhandshake(_, name, verify)
  check_phase("sslhandshake")
  if not self.handle then
    return nil, "closed"
  end
  if native.socket_is_tls(self.handle) then
    return true
  end
  local ok, err = await(native.socket_tls(self.handle, name, verify and true or false, self.timeouts.connect,
    self.certificate, self.key))
  if not ok then
    self.handle = nil
    return nil, err
  end
  return true
end

--- What is shown to a peer that asks, from the next handshake on; without arguments, nothing.
function Socket:setclientcert(certificate, key)
  require("ngx.ssl")
  local shown, with = native.certificate_pem(certificate), native.key_pem(key)
  if certificate ~= nil and not shown then
    return nil, "bad client cert type"
  end
  if (shown == nil) ~= (with == nil) then
    return nil, "client certificate and private key must come together"
  end
  self.certificate, self.key = shown, with
  return true
end

function Socket:tlshandshake(options)
  options = options or {}
  if options.client_cert then
    local ok, err = self:setclientcert(options.client_cert, options.client_priv_key)
    if not ok then
      return nil, err
    end
  end
  return self:sslhandshake(options.reused_session, options.server_name, options.ssl_verify)
end

local function joined(data)
  if type(data) ~= "table" then
    return tostring(data)
  end
  local parts = {}
  for i, one in ipairs(data) do
    parts[i] = joined(one)
  end
  return table.concat(parts)
end

function Socket:send(data)
  check_phase("socket send")
  if not self.handle then
    return nil, "closed"
  end
  data = joined(data)
  local ok, err = await(native.socket_send(self.handle, data, self.timeouts.send))
  if not ok then
    return nil, err
  end
  return #data
end

-- Reads more into the buffer; nil and why when nothing comes.
local function fill(self)
  if not self.handle then
    return nil, "closed"
  end
  local data, err = await(native.socket_read(self.handle, self.timeouts.read))
  if not data then
    if err == "closed" then
      native.socket_close(self.handle)
      self.handle = nil
    end
    return nil, err
  end
  self.buffer = self.buffer .. data
  return true
end

local function take(self, n, skip)
  local data = self.buffer:sub(1, n)
  self.buffer = self.buffer:sub(n + 1 + (skip or 0))
  return data
end

function Socket:receive(what)
  check_phase("socket receive")
  if self.datagram then
    local data, err = await(native.socket_read(self.handle, self.timeouts.read))
    return data, err
  end
  if what == nil then
    what = "*l"
  end
  local size = tonumber(what)
  if size then
    while #self.buffer < size do
      local ok, err = fill(self)
      if not ok then
        return nil, err, take(self, #self.buffer)
      end
    end
    return take(self, size)
  end
  if what == "*a" then
    while true do
      local ok, err = fill(self)
      if not ok then
        if err == "closed" then
          return take(self, #self.buffer)
        end
        return nil, err, take(self, #self.buffer)
      end
    end
  end
  if what ~= "*l" then
    error("bad argument #1 to 'receive' (invalid pattern)", 2)
  end
  while true do
    local newline = self.buffer:find("\n", 1, true)
    if newline then
      local line = take(self, newline - 1, 1)
      return (line:gsub("\r", ""))
    end
    local ok, err = fill(self)
    if not ok then
      return nil, err, take(self, #self.buffer)
    end
  end
end

function Socket:receiveany(max)
  check_phase("socket receive")
  if self.buffer == "" then
    local ok, err = fill(self)
    if not ok then
      return nil, err
    end
  end
  return take(self, max or #self.buffer)
end

function Socket:receiveuntil(pattern, options)
  local inclusive = options and options.inclusive
  local done = false
  return function(size)
    if done then
      done = false
      return nil, nil, nil
    end
    while true do
      local from, to = self.buffer:find(pattern, 1, true)
      if from and (not size or from - 1 <= size) then
        done = size ~= nil
        local data = take(self, inclusive and to or from - 1, inclusive and 0 or #pattern)
        return data
      end
      if size and #self.buffer >= size + #pattern then
        return take(self, size)
      end
      local ok, err = fill(self)
      if not ok then
        return nil, err, take(self, #self.buffer)
      end
    end
  end
end

function Socket:setkeepalive(timeout, _)
  if not self.handle then
    return nil, "closed"
  end
  if self.buffer ~= "" then
    native.socket_close(self.handle)
    self.handle = nil
    return nil, "unread data in buffer"
  end
  native.socket_keep(self.handle, self.pool, (timeout or 60000) / 1000)
  self.handle = nil
  return 1
end

function Socket:getreusedtimes()
  if not self.handle then
    return nil, "closed"
  end
  return self.reused or 0
end

function Socket:close()
  if not self.handle then
    return nil, "closed"
  end
  native.socket_close(self.handle)
  self.handle = nil
  return 1
end

-- Semaphores: a count, and light threads that wait for it.
local Semaphore = {}
Semaphore.__index = Semaphore
package.loaded["ngx.semaphore"] = {
  new = function(n)
    return setmetatable({ handle = native.semaphore(n or 0) }, Semaphore)
  end,
}
function Semaphore:wait(seconds)
  if native.semaphore_take(self.handle) then
    return true
  end
  if not seconds or seconds <= 0 then
    return nil, "timeout"
  end
  check_phase("semaphore wait")
  native.semaphore_wait(self.handle, seconds)
  local ok = native.yield(native.WAIT)
  if not ok then
    return nil, "timeout"
  end
  return true
end
function Semaphore:post(n) native.semaphore_post(self.handle, n or 1) return true end
function Semaphore:count() return native.semaphore_count(self.handle) end
