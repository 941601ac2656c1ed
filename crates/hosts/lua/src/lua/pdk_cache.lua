-- kong.cache: a value by key, made by a callback when it is absent. Each worker keeps its own copies; what one worker
-- invalidates, all see, because the copies carry the number of the last invalidation.
local native = ...

local Cache = {}
Cache.__index = Cache
local VERSIONS = "kong_db_cache_miss"

local function new(name)
  return setmetatable({ name = name, items = {}, count = 0 }, Cache)
end

local MOST = 10000

local function version(self, key)
  return native.dict_get(VERSIONS, self.name .. ":" .. key) or 0
end

function Cache:get(key, options, callback, ...)
  if type(key) ~= "string" then
    error("key must be a string", 2)
  end
  local now = ngx.now()
  local item = self.items[key]
  if item and (item.expires == 0 or item.expires > now) and item.version == version(self, key) then
    return item.value, nil, 1
  end
  if not callback then
    return nil, nil, -1
  end
  local seen = version(self, key)
  local ok, value, err, ttl = pcall(callback, ...)
  if not ok then
    return nil, "callback threw an error: " .. tostring(value)
  end
  if err then
    return nil, err
  end
  options = options or {}
  local life = ttl or (value == nil and options.neg_ttl) or options.ttl or (value == nil and 300 or 3600)
  if self.count >= MOST then
    self.items, self.count = {}, 0
  end
  if not self.items[key] then
    self.count = self.count + 1
  end
  self.items[key] = { value = value, expires = life == 0 and 0 or now + life, version = seen }
  return value, nil, 3
end

function Cache:probe(key)
  local item = self.items[key]
  if not item or item.version ~= version(self, key) then
    return nil
  end
  return item.expires == 0 and 0 or item.expires - ngx.now(), nil, item.value
end

function Cache:invalidate_local(key)
  if self.items[key] then
    self.items[key] = nil
    self.count = self.count - 1
  end
end

function Cache:invalidate(key)
  native.dict_incr(VERSIONS, self.name .. ":" .. key, 1, 0, 0)
  self:invalidate_local(key)
end
Cache.delete = Cache.invalidate

function Cache:safe_set(key, value, ttl)
  self.items[key] = { value = value, expires = ttl and ttl > 0 and ngx.now() + ttl or 0, version = version(self, key) }
  return true
end
function Cache:renew(key, options, callback, ...)
  self:invalidate(key)
  return self:get(key, options, callback, ...)
end
function Cache:purge() self.items, self.count = {}, 0 end
function Cache:get_bulk(bulk, options)
  local out = { n = 0 }
  for i = 1, bulk.n or #bulk / 4, 1 do
    local at = (i - 1) * 4
    local value, err, level = self:get(bulk[at + 1], bulk[at + 2] or options, bulk[at + 3], bulk[at + 4])
    out[#out + 1], out[#out + 2], out[#out + 3] = value, err, level
    out.n = out.n + 3
  end
  return out
end

kong.cache = new("cache")
kong.core_cache = new("core")
