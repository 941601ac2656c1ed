-- Loads Lua that came with configuration. In the sandbox it sees copies of tables, so that it cannot change what other
-- code uses, and nothing that reaches files, processes, the debugger, other code's environments or byte code.
local native = ...

local plain = {
  "assert", "error", "ipairs", "next", "pairs", "pcall", "select", "tonumber", "tostring", "type", "unpack", "xpcall",
  "_VERSION", "print",
}
local tables = {
  string = { "byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "rep", "reverse", "sub",
    "upper" },
  table = { "concat", "insert", "maxn", "remove", "sort", "unpack", "new", "clear", "nkeys", "isempty", "isarray",
    "clone" },
  coroutine = { "create", "resume", "running", "status", "wrap", "yield" },
  os = { "clock", "date", "difftime", "time" },
}
local ngx_fields = {
  "OK", "ERROR", "AGAIN", "DONE", "DECLINED", "null", "STDERR", "EMERG", "ALERT", "CRIT", "ERR", "WARN", "NOTICE",
  "INFO", "DEBUG", "arg", "var", "header", "req", "resp", "re", "log", "print", "say", "exit", "eof", "flush",
  "redirect", "send_headers", "get_phase", "now", "time", "update_time", "today", "localtime", "utctime",
  "http_time", "cookie_time", "parse_http_time", "encode_base64", "decode_base64", "escape_uri", "unescape_uri",
  "encode_args", "decode_args", "md5", "md5_bin", "sha1_bin", "hmac_sha1", "crc32_short", "crc32_long",
  "quote_sql_str", "sleep", "thread", "worker",
}
local kong_fields = {
  "client", "ctx", "ip", "log", "nginx", "node", "plugin", "request", "response", "router", "service", "table",
  "telemetry", "tracing", "version", "version_num", "pdk_major_version", "pdk_version", "default_workspace",
}

local function copy(value, depth)
  if type(value) ~= "table" or getmetatable(value) ~= nil or depth > 4 then
    return value
  end
  local out = {}
  for k, v in pairs(value) do
    out[k] = copy(v, depth + 1)
  end
  return out
end

--- A copy of kong.log that can still be called.
local function callable_copy(log)
  return setmetatable(copy(setmetatable(log, nil), 0), { __call = function(_, ...) return log.notice(...) end,
    __metatable = false })
end

local function ngx_copy()
  local out = {}
  for _, name in ipairs(ngx_fields) do
    out[name] = copy(rawget(ngx, name), 0)
  end
  for name, value in pairs(ngx) do
    if type(name) == "string" and name:sub(1, 5) == "HTTP_" then
      out[name] = value
    end
  end
  -- ctx, status and headers_sent are of the request.
  return setmetatable(out, {
    __index = function(_, name)
      if name == "ctx" or name == "status" or name == "headers_sent" then
        return ngx[name]
      end
    end,
    __newindex = function(t, name, value)
      if name == "ctx" or name == "status" then
        ngx[name] = value
      else
        rawset(t, name, value)
      end
    end,
    __metatable = false,
  })
end

local function at(path)
  local value = _G
  for name in path:gmatch("[^.]+") do
    if type(value) ~= "table" then
      return nil
    end
    value = value[name]
  end
  return value
end

local function put(env, path, value)
  local names = {}
  for name in path:gmatch("[^.]+") do
    names[#names + 1] = name
  end
  local into = env
  for i = 1, #names - 1 do
    if type(rawget(into, names[i])) ~= "table" then
      rawset(into, names[i], {})
    end
    into = rawget(into, names[i])
  end
  rawset(into, names[#names], copy(value, 0))
end

local MAX_REPEAT = 16 * 1024 * 1024

local function environment()
  local env = {}
  for _, name in ipairs(plain) do
    env[name] = _G[name]
  end
  for name, fields in pairs(tables) do
    env[name] = {}
    for _, field in ipairs(fields) do
      env[name][field] = _G[name][field]
    end
  end
  env.math = copy(math, 0)
  env.math.randomseed = nil
  env.string.rep = function(text, n, separator)
    if #text * n > MAX_REPEAT then
      error("resulting string too large", 2)
    end
    return string.rep(text, n, separator)
  end
  env.bit = copy(bit, 0)
  env.ngx = ngx_copy()
  env.kong = {}
  for _, name in ipairs(kong_fields) do
    local value = kong[name]
    if name == "log" then
      local metatable = getmetatable(value)
      env.kong.log = callable_copy(value)
      setmetatable(value, metatable)
    else
      env.kong[name] = copy(value, 0)
    end
  end
  local allowed = {}
  for _, name in ipairs(native.sandbox_requires) do
    allowed[name] = true
  end
  function env.require(name)
    if not allowed[name] then
      error("require '" .. tostring(name) .. "' not allowed within sandbox", 2)
    end
    return require(name)
  end
  for _, path in ipairs(native.sandbox_environment) do
    put(env, path, at(path))
  end
  env._G = env
  return env
end

local sandbox = {}

--- A function of the source, in the environment that the settings grant.
function sandbox.load(source, plugin)
  if native.untrusted == "off" then
    error("loading of untrusted Lua code disabled because 'untrusted_lua' config option is set to 'off'", 0)
  end
  -- Byte code could do anything: text only.
  local chunk, err = load(source, nil, "t", native.untrusted == "on" and _G or environment())
  if not chunk then
    error("error parsing " .. plugin .. ": " .. err, 0)
  end
  return chunk
end

return sandbox
