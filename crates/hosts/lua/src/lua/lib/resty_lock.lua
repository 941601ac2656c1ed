-- resty.lock: one holder per key, in a shared dictionary.
local lock = {}
lock.__index = lock
function lock.new(_, name, options)
  local dict = ngx.shared[name]
  if not dict then
    return nil, "dictionary not found"
  end
  options = options or {}
  return setmetatable({ dict = dict, exptime = options.exptime or 30, timeout = options.timeout or 5,
    step = options.step or 0.001, ratio = options.ratio or 2, max_step = options.max_step or 0.5 }, lock)
end
function lock:lock(key)
  if self.key then
    return nil, "locked"
  end
  if key == nil then
    return nil, "nil key"
  end
  local waited, step = 0, self.step
  while true do
    local ok, err = self.dict:add(key, true, self.exptime)
    if ok then
      self.key = key
      return waited
    end
    if err ~= "exists" then
      return nil, err
    end
    if waited >= self.timeout then
      return nil, "timeout"
    end
    step = math.min(step, self.timeout - waited, self.max_step)
    ngx.sleep(step)
    waited = waited + step
    step = math.max(step * self.ratio, 0.001)
  end
end
function lock:unlock()
  if not self.key then
    return nil, "unlocked"
  end
  self.dict:delete(self.key)
  self.key = nil
  return 1
end
function lock:expire(time)
  if not self.key then
    return nil, "unlocked"
  end
  return self.dict:expire(self.key, time or self.exptime)
end
return lock
