-- resty.mlcache: a value made once by a callback; a worker's own copy in front of it, one maker at a time per worker.
local lru = require("resty.lrucache")
local semaphore = require("ngx.semaphore")
local cache = {}
cache.__index = cache
local NONE = {}
function cache.new(name, shm, options)
  options = options or {}
  if not ngx.shared[shm] then
    return nil, "no such lua_shared_dict: " .. tostring(shm)
  end
  return setmetatable({ name = name, dict = ngx.shared[shm], lru = lru.new(options.lru_size or 100),
    ttl = options.ttl or 30, neg_ttl = options.neg_ttl or 5, making = {} }, cache)
end
local function version(self, key) return self.dict:get(self.name .. "\0" .. key) or 0 end
local function look(self, key)
  local kept = self.lru:get(key)
  if kept and kept.version == version(self, key) then
    return kept
  end
end
function cache:get(key, options, callback, ...)
  local kept = look(self, key)
  if kept then
    return kept.value ~= NONE and kept.value or nil, nil, 1
  end
  if not callback then
    return nil, nil, -1
  end
  local gate = self.making[key]
  if gate then
    gate:wait(options and options.resty_lock_opts and options.resty_lock_opts.timeout or 5)
    gate:post(1)
    kept = look(self, key)
    if kept then
      return kept.value ~= NONE and kept.value or nil, nil, 2
    end
  end
  gate = semaphore.new(0)
  self.making[key] = gate
  local seen = version(self, key)
  local ok, value, err, ttl = pcall(callback, ...)
  self.making[key] = nil
  gate:post(1)
  if not ok then
    return nil, "callback threw an error: " .. tostring(value)
  end
  if err then
    return nil, err
  end
  options = options or {}
  local life = ttl or (value == nil and (options.neg_ttl or self.neg_ttl)) or options.ttl or self.ttl
  if life >= 0 then
    local stored = value
    if stored == nil then stored = NONE end
    self.lru:set(key, { value = stored, version = seen }, life > 0 and life or nil)
  end
  return value, nil, 3
end
function cache:peek(key)
  local kept = look(self, key)
  if kept then
    return 0, nil, kept.value ~= NONE and kept.value or nil
  end
end
function cache:set(key, options, value)
  self.dict:incr(self.name .. "\0" .. key, 1, 0)
  self.lru:set(key, { value = value, version = version(self, key) }, options and options.ttl or self.ttl)
  return true
end
function cache:delete(key)
  self.dict:incr(self.name .. "\0" .. key, 1, 0)
  self.lru:delete(key)
  return true
end
function cache:update() return true end
function cache:purge() self.lru:flush_all() return true end
return cache
