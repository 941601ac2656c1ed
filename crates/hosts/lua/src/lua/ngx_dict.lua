-- Shared dictionaries.
local native = ...
local Dict = {}
Dict.__index = Dict

ngx.shared = setmetatable({}, {
  __index = function(t, name)
    if not native.dict_exists(name) then
      return nil
    end
    local dict = setmetatable({ name = name }, Dict)
    rawset(t, name, dict)
    return dict
  end,
})
for _, name in ipairs(native.dict_names()) do
  local _ = ngx.shared[name]
end

local function key_of(key)
  if key == nil then
    return nil, "nil key"
  end
  key = tostring(key)
  if key == "" then
    return nil, "empty key"
  end
  if #key > 65535 then
    return nil, "key too long"
  end
  return key
end

function Dict:get(key)
  local text, err = key_of(key)
  if not text then
    return nil, err
  end
  local value, flags = native.dict_get(self.name, text)
  return value, flags
end

function Dict:get_stale(key)
  return native.dict_get(self.name, tostring(key), true)
end

local function store(self, key, value, ttl, flags, when, evict)
  local text, err = key_of(key)
  if not text then
    return nil, err
  end
  if value == nil then
    native.dict_delete(self.name, text)
    return true, nil, false
  end
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
    return nil, "bad value type"
  end
  if (ttl or 0) < 0 then
    error("bad \"exptime\" argument", 3)
  end
  return native.dict_set(self.name, text, value, ttl or 0, flags or 0, when, evict)
end

function Dict:set(key, value, ttl, flags) return store(self, key, value, ttl, flags, "always", true) end
function Dict:safe_set(key, value, ttl, flags) return store(self, key, value, ttl, flags, "always", false) end
function Dict:add(key, value, ttl, flags) return store(self, key, value, ttl, flags, "absent", true) end
function Dict:safe_add(key, value, ttl, flags) return store(self, key, value, ttl, flags, "absent", false) end
function Dict:replace(key, value, ttl, flags) return store(self, key, value, ttl, flags, "present", true) end
function Dict:delete(key) native.dict_delete(self.name, tostring(key)) end

function Dict:incr(key, by, init, ttl)
  local text, err = key_of(key)
  if not text then
    return nil, err
  end
  by = tonumber(by)
  if not by then
    error("bad argument #2 to 'incr' (number expected)", 2)
  end
  return native.dict_incr(self.name, text, by, init and tonumber(init) or nil, ttl or 0)
end

function Dict:ttl(key)
  local ttl = native.dict_ttl(self.name, tostring(key))
  if not ttl then
    return nil, "not found"
  end
  return ttl
end
function Dict:expire(key, ttl)
  if not native.dict_expire(self.name, tostring(key), ttl) then
    return nil, "not found"
  end
  return true
end
function Dict:flush_all() native.dict_clear(self.name) end
function Dict:flush_expired(most) return native.dict_flush_expired(self.name, most or 0) end
function Dict:get_keys(most) return native.dict_keys(self.name, most or 1024) end
function Dict:capacity() return native.dict_capacity(self.name) end
function Dict:free_space() return native.dict_free(self.name) end
function Dict:lpush(key, value) return native.dict_push(self.name, tostring(key), value, true) end
function Dict:rpush(key, value) return native.dict_push(self.name, tostring(key), value, false) end
function Dict:lpop(key) return native.dict_pop(self.name, tostring(key), true) end
function Dict:rpop(key) return native.dict_pop(self.name, tostring(key), false) end
function Dict:llen(key) return native.dict_length(self.name, tostring(key)) end
