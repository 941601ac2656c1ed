-- kong.node, kong.nginx, kong.cluster, kong.vault, kong.tracing: the node around a request.
local native = ...

kong.node = {
  get_id = native.node_id,
  get_hostname = native.hostname,
  get_memory_stats = function(unit, scale)
    unit = unit or "b"
    local factor = ({ b = 1, k = 1024, m = 1048576, g = 1073741824 })[unit:lower()]
    if not factor then
      error("invalid unit '" .. unit .. "' (expected 'k/K', 'm/M', or 'g/G')", 2)
    end
    local function shown(bytes)
      if factor == 1 then
        return bytes
      end
      return ("%." .. (scale or 2) .. "f %siB"):format(bytes / factor, unit:upper())
    end
    local dicts = {}
    for _, name in ipairs(native.dict_names()) do
      local capacity = native.dict_capacity(name)
      dicts[name] = { capacity = shown(capacity), allocated_slabs = shown(capacity - native.dict_free(name)) }
    end
    return {
      workers_lua_vms = { { pid = native.pid(), http_allocated_gc = shown(collectgarbage("count") * 1024) } },
      lua_shared_dicts = dicts,
    }
  end,
}
kong.nginx = {
  get_subsystem = function() return "http" end,
  get_statistics = function()
    return { connections_active = 0, connections_reading = 0, connections_writing = 0, connections_waiting = 0,
      connections_accepted = 0, connections_handled = 0, total_requests = 0 }
  end,
}
kong.cluster = { get_id = function() return native.node_id() end }

local vault = {}
kong.vault = vault
function vault.is_reference(reference)
  return type(reference) == "string" and reference:sub(1, 9) == "{vault://" and reference:sub(-1) == "}"
end
function vault.parse_reference(reference)
  if not vault.is_reference(reference) then
    return nil, "not a reference [" .. tostring(reference) .. "]"
  end
  local name, rest = reference:sub(10, -2):match("^([^/]+)/(.+)$")
  if not name then
    return nil, "reference is not valid [" .. reference .. "]"
  end
  local resource, key = rest:match("^([^/]+)/(.*)$")
  return { name = name, resource = resource or rest, key = key ~= "" and key or nil }
end
-- Secrets that were read, for as long as asking again would be too often. How many are kept is bounded.
local KEPT, MOST = 60, 1000
local secrets, count = {}, 0

local function from_environment(parsed)
  local value = os.getenv((parsed.resource:gsub("-", "_"):upper()))
  if value and parsed.key then
    local decoded = native.json_decode(value)
    value = type(decoded) == "table" and decoded[parsed.key] or nil
  end
  return value, not value and "it is not there" or nil
end

function vault.get(reference)
  local parsed, err = vault.parse_reference(reference)
  if not parsed then
    return nil, err
  end
  local known, now = secrets[reference], ngx.now()
  if known and known.until_ > now then
    return known.value
  end
  local value
  if native.may_wait() then
    native.secret(reference)
    value, err = native.yield(native.WAIT)
  elseif parsed.name == "env" then
    value, err = from_environment(parsed)
  elseif known then
    return known.value
  else
    err = ("it cannot be read in the %s phase"):format(tostring(native.running.phase))
  end
  if not value then
    return nil, ("unable to load value (%s) from vault (%s): %s [%s]"):format(parsed.resource, parsed.name, err, reference)
  end
  if count >= MOST then
    secrets, count = {}, 0
  end
  count = count + (known and 0 or 1)
  secrets[reference] = { value = value, until_ = now + KEPT }
  return value
end
function vault.update(options) return options end
function vault.try(callback, options) return callback(options) end
function vault.flush() secrets, count = {}, 0 end
function vault.warmup() end
function vault.init_worker() end

-- Spans are made, but nobody collects them.
local Span = {}
Span.__index = Span
for _, name in ipairs({ "finish", "set_attribute", "add_event", "record_error", "set_status" }) do
  Span[name] = function() end
end
kong.tracing = {
  start_span = function(name) return setmetatable({ name = name, attributes = {} }, Span) end,
  active_span = function() return nil end,
  set_active_span = function() end,
  process_span = function() end,
  set_should_sample = function() end,
  get_sampling_decision = function() return false end,
  new = function() return kong.tracing end,
}
kong.telemetry = { log = function() return true end }
kong.dns = {
  toip = function(host, port) return host, port end,
  resolve = function(host) return { { address = host } } end,
}
kong.timer = {
  at = function(_, delay, f, ...) return ngx.timer.at(delay, f, ...) end,
  every = function(_, delay, f, ...) return ngx.timer.every(delay, f, ...) end,
  named_at = function(_, _, delay, f, ...) return ngx.timer.at(delay, f, ...) end,
  named_every = function(_, _, delay, f, ...) return ngx.timer.every(delay, f, ...) end,
}
