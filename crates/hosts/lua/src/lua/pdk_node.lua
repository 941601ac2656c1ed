-- kong.node, kong.nginx, kong.cluster, kong.vault, kong.dns: the node around a request.
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

-- Names: asked where connections ask, so that what one finds the other finds.
kong.dns = {}
function kong.dns.toip(host, port)
  if type(host) ~= "string" then
    return nil, "host must be a string"
  end
  if not native.may_wait() then
    return nil, "names cannot be resolved in the " .. tostring(native.running.phase) .. " phase"
  end
  return native.await(native.resolve(host, port or 0))
end
function kong.dns.resolve(host)
  local ip, port = kong.dns.toip(host)
  if not ip then
    return nil, port
  end
  return { { name = host, address = ip, type = ip:find(":", 1, true) and 28 or 1, class = 1, ttl = 1,
    port = port ~= 0 and port or nil } }
end
kong.timer = {
  at = function(_, delay, f, ...) return ngx.timer.at(delay, f, ...) end,
  every = function(_, delay, f, ...) return ngx.timer.every(delay, f, ...) end,
  named_at = function(_, _, delay, f, ...) return ngx.timer.at(delay, f, ...) end,
  named_every = function(_, _, delay, f, ...) return ngx.timer.every(delay, f, ...) end,
}
