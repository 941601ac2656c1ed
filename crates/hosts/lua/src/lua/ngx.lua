-- The ngx API without requests and waits: constants, time, text, digests, the log.
local native = ...
local running = native.running

ngx.null = native.null
ngx.OK, ngx.ERROR, ngx.AGAIN, ngx.DONE, ngx.DECLINED = 0, -1, -2, -4, -5
ngx.STDERR, ngx.EMERG, ngx.ALERT, ngx.CRIT, ngx.ERR = 0, 1, 2, 3, 4
ngx.WARN, ngx.NOTICE, ngx.INFO, ngx.DEBUG = 5, 6, 7, 8

for status, names in pairs({
  [100] = "CONTINUE", [101] = "SWITCHING_PROTOCOLS", [200] = "OK", [201] = "CREATED", [202] = "ACCEPTED",
  [204] = "NO_CONTENT", [206] = "PARTIAL_CONTENT", [300] = "SPECIAL_RESPONSE", [301] = "MOVED_PERMANENTLY",
  [302] = "MOVED_TEMPORARILY", [303] = "SEE_OTHER", [304] = "NOT_MODIFIED", [307] = "TEMPORARY_REDIRECT",
  [308] = "PERMANENT_REDIRECT", [400] = "BAD_REQUEST", [401] = "UNAUTHORIZED", [402] = "PAYMENT_REQUIRED",
  [403] = "FORBIDDEN", [404] = "NOT_FOUND", [405] = "NOT_ALLOWED", [406] = "NOT_ACCEPTABLE",
  [408] = "REQUEST_TIMEOUT", [409] = "CONFLICT", [410] = "GONE", [426] = "UPGRADE_REQUIRED",
  [429] = "TOO_MANY_REQUESTS", [444] = "CLOSE", [451] = "ILLEGAL", [500] = "INTERNAL_SERVER_ERROR",
  [501] = "METHOD_NOT_IMPLEMENTED", [502] = "BAD_GATEWAY", [503] = "SERVICE_UNAVAILABLE",
  [504] = "GATEWAY_TIMEOUT", [505] = "VERSION_NOT_SUPPORTED", [507] = "INSUFFICIENT_STORAGE",
}) do
  ngx["HTTP_" .. names] = status
end
for number, name in ipairs({ "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "MKCOL", "COPY", "MOVE", "PROPFIND",
  "PROPPATCH", "LOCK", "UNLOCK", "PATCH", "TRACE" }) do
  ngx["HTTP_" .. name] = 2 ^ number
end
ngx.HTTP_GET = 2

ngx.config = {
  subsystem = "http", debug = false, nginx_version = 1027004, ngx_lua_version = 10028,
  prefix = function() return native.prefix() end, nginx_configure = function() return "" end,
}

local phases = {
  init_worker = "init_worker", configure = "init_worker", certificate = "ssl_cert", rewrite = "rewrite",
  access = "access", response = "access", header_filter = "header_filter", body_filter = "body_filter", log = "log",
  preread = "preread", timer = "timer", admin_api = "content",
}

function ngx.get_phase()
  return phases[running.phase] or "init"
end

-- Time. It stands still while Lua runs, as in nginx, but for update_time, which has nothing to do here.
ngx.now, ngx.update_time = native.now, function() end
function ngx.time()
  return math.floor(native.now())
end
function ngx.localtime() return os.date("%Y-%m-%d %H:%M:%S", ngx.time()) end
function ngx.utctime() return os.date("!%Y-%m-%d %H:%M:%S", ngx.time()) end
function ngx.today() return os.date("%Y-%m-%d", ngx.time()) end
function ngx.http_time(seconds) return os.date("!%a, %d %b %Y %H:%M:%S GMT", seconds) end
function ngx.cookie_time(seconds) return os.date("!%a, %d-%b-%y %H:%M:%S GMT", seconds) end
ngx.parse_http_time = native.parse_http_time

ngx.encode_base64, ngx.decode_base64 = native.encode_base64, native.decode_base64
ngx.escape_uri, ngx.unescape_uri = native.escape_uri, native.unescape_uri
ngx.md5, ngx.md5_bin, ngx.sha1_bin = native.md5, native.md5_bin, native.sha1_bin
ngx.hmac_sha1 = function(key, text) return native.hmac("sha1", key, text) end
ngx.crc32_short, ngx.crc32_long = native.crc32, native.crc32

function ngx.quote_sql_str(text)
  local escapes = { ["\0"] = "\\0", ["\n"] = "\\n", ["\r"] = "\\r", ["\\"] = "\\\\", ["'"] = "\\'", ['"'] = '\\"',
    ["\26"] = "\\Z" }
  return "'" .. text:gsub("[%z\n\r\\'\"\26]", escapes) .. "'"
end

function ngx.decode_args(text, max)
  return native.decode_args(text, max or 100)
end

local function encode(value)
  return native.escape_uri(tostring(value))
end

--- Arguments as a query; a value may be text, number, true (a name alone) or a list of those.
function ngx.encode_args(arguments, sorted)
  local names = {}
  for name in pairs(arguments) do
    names[#names + 1] = name
  end
  if sorted then
    table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  end
  local parts = {}
  local function add(name, value)
    local shown = encode(name)
    if value == true then
      parts[#parts + 1] = shown
    elseif value ~= false and value ~= nil then
      parts[#parts + 1] = shown .. "=" .. encode(value)
    end
  end
  for _, name in ipairs(names) do
    local value = arguments[name]
    if type(value) == "table" then
      for _, one in ipairs(value) do
        add(name, one)
      end
    else
      add(name, value)
    end
  end
  return table.concat(parts, "&")
end

package.loaded["ngx.base64"] = {
  encode_base64url = function(text) return native.encode_base64url(text) end,
  decode_base64url = function(text)
    if type(text) ~= "string" then
      return nil, "must provide a string"
    end
    local decoded = native.decode_base64url(text)
    if not decoded then
      return nil, "invalid input"
    end
    return decoded
  end,
}
package.loaded["ngx.process"] = { type = function() return "worker" end, get_master_pid = native.pid }
package.loaded["ngx.errlog"] = {
  raw_log = function(level, message) native.log(level, message) end,
  get_sys_filter_level = function() return ngx.NOTICE end,
  set_filter_level = function() return true end,
}

ngx.worker = {
  id = native.worker_id, pid = native.pid, count = native.worker_count, exiting = function() return false end,
  pids = function() return { native.pid() } end,
}

-- The log.
local function where(level)
  local info = debug.getinfo(level, "Sl")
  if not info then
    return "?"
  end
  return info.short_src:match("[^/]*$") .. ":" .. info.currentline
end
native.where = where

local function show(...)
  local parts = {}
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    parts[i] = value == native.null and "null" or tostring(value)
  end
  return table.concat(parts)
end
native.show = show

function ngx.log(level, ...)
  native.log(level, "[lua] " .. where(3) .. ": " .. show(...))
end

function print(...)
  native.log(ngx.NOTICE, "[lua] " .. where(3) .. ": " .. show(...))
end
