-- resty.lrucache: a bounded table of a worker; the least recently used go first.
local lru = {}
lru.__index = lru
function lru.new(size)
  if size < 1 then
    return nil, "size too small"
  end
  local head = {}
  head.next, head.prev = head, head
  return setmetatable({ size = size, count_ = 0, nodes = {}, head = head }, lru)
end
local function unlink(node)
  node.prev.next, node.next.prev = node.next, node.prev
end
local function first(head, node)
  node.next, node.prev = head.next, head
  head.next.prev, head.next = node, node
end
function lru:get(key)
  local node = self.nodes[key]
  if not node then
    return nil
  end
  unlink(node)
  first(self.head, node)
  if node.expires and node.expires <= ngx.now() then
    return nil, node.value, node.flags
  end
  return node.value, nil, node.flags
end
function lru:set(key, value, ttl, flags)
  local node = self.nodes[key]
  if node then
    unlink(node)
  else
    if self.count_ >= self.size then
      local last = self.head.prev
      unlink(last)
      self.nodes[last.key] = nil
    else
      self.count_ = self.count_ + 1
    end
    node = { key = key }
    self.nodes[key] = node
  end
  node.value, node.flags, node.expires = value, flags or 0, ttl and ngx.now() + ttl or nil
  first(self.head, node)
end
function lru:delete(key)
  local node = self.nodes[key]
  if node then
    unlink(node)
    self.nodes[key] = nil
    self.count_ = self.count_ - 1
  end
end
function lru:count() return self.count_ end
function lru:capacity() return self.size end
function lru:flush_all()
  self.nodes, self.count_ = {}, 0
  self.head.next, self.head.prev = self.head, self.head
end
function lru:get_keys(max)
  local keys, node = {}, self.head.next
  while node ~= self.head and (not max or max == 0 or #keys < max) do
    keys[#keys + 1] = node.key
    node = node.next
  end
  return keys
end
return lru
