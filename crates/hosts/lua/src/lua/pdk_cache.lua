-- kong.cache: a value by key, made by a callback when it is absent. Each worker keeps its own copies; what one worker, the
-- Admin API or another node invalidates, all see, because copies carry the number at which they began to be made.
local native = ...

local Cache = {}
Cache.__index = Cache

local function new(name)
  return setmetatable({ name = name, items = {}, count = 0 }, Cache)
end

local MOST = 10000

local function holds(self, key, item)
  return native.cache_holds(self.name .. ":" .. key, item.begun)
end

function Cache:get(key, options, callback, ...)
  if type(key) ~= "string" then
    error("key must be a string", 2)
  end
  local now = ngx.now()
  local item = self.items[key]
  if item and (item.expires == 0 or item.expires > now) and holds(self, key, item) then
    return item.value, nil, 1
  end
  if not callback then
    return nil, nil, -1
  end
  local begun = native.cache_count()
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
  self.items[key] = { value = value, expires = life == 0 and 0 or now + life, begun = begun }
  return value, nil, 3
end

function Cache:probe(key)
  local item = self.items[key]
  if not item or not holds(self, key, item) then
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
  native.cache_invalidate(self.name .. ":" .. key)
  self:invalidate_local(key)
end
Cache.delete = Cache.invalidate

function Cache:safe_set(key, value, ttl)
  self.items[key] = { value = value, expires = ttl and ttl > 0 and ngx.now() + ttl or 0, begun = native.cache_count() }
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
