-- kong.tools.queue: entries of log plugins, handed out in batches behind the requests, and again if that fails.
local Queue = {}
Queue.__index = Queue

local defaults = { max_batch_size = 1, max_coalescing_delay = 1, max_entries = 10000, max_bytes = nil,
  initial_retry_delay = 0.01, max_retry_time = 60, max_retry_delay = 60, concurrency_limit = 1 }
-- By workspace and name; a queue goes when it is empty.
local queues = {}

local function handed_out(queue, batch)
  local began, delay = ngx.now(), queue.initial_retry_delay
  while true do
    local called, ok, err = pcall(queue.handler, queue.handler_conf, batch)
    if called and ok then
      return
    end
    err = called and err or ok
    if ngx.now() - began + delay > queue.max_retry_time then
      kong.log.err(("[queue %s] could not send entries, giving up: %s. %d queue entries were lost"):format(queue.name,
        tostring(err), #batch))
      return
    end
    kong.log.warn(("[queue %s] handler could not process entries: %s"):format(queue.name, tostring(err)))
    ngx.sleep(delay)
    delay = math.min(delay * 2, queue.max_retry_delay)
  end
end

local function drained(premature, queue)
  while #queue.entries > 0 do
    local deadline = ngx.now() + queue.max_coalescing_delay
    while not premature and #queue.entries < queue.max_batch_size and ngx.now() < deadline do
      ngx.sleep(math.min(0.05, math.max(deadline - ngx.now(), 0)))
    end
    local batch = {}
    for i = 1, math.min(queue.max_batch_size, #queue.entries) do batch[i] = queue.entries[i] end
    local rest = {}
    for i = #batch + 1, #queue.entries do rest[#rest + 1] = queue.entries[i] end
    queue.entries = rest
    handed_out(queue, batch)
  end
  queue.running = false
  if #queue.entries == 0 then
    queues[queue.key] = nil
  end
end

--- Adds an entry to the queue of a name; the first one makes it.
function Queue.enqueue(conf, handler, handler_conf, value)
  if type(conf) ~= "table" or type(conf.name) ~= "string" or type(handler) ~= "function" then
    error("arguments must be a table with a name, a function, and its configuration", 2)
  end
  if value == nil then
    error("the entry must not be nil", 2)
  end
  local key = tostring(kong.plugin and handler_conf and handler_conf.__plugin_id or "") .. ":" .. conf.name
  local queue = queues[key]
  if not queue then
    queue = setmetatable({ key = key, entries = {} }, Queue)
    queues[key] = queue
  end
  for name, default in pairs(defaults) do
    queue[name] = conf[name] ~= nil and conf[name] or default
  end
  queue.name, queue.handler, queue.handler_conf = conf.name, handler, handler_conf
  if #queue.entries >= queue.max_entries then
    kong.log.err(("[queue %s] queue full, dropping old entries until there is room"):format(conf.name))
    table.remove(queue.entries, 1)
  end
  queue.entries[#queue.entries + 1] = value
  if not queue.running then
    queue.running = true
    local ok, err = ngx.timer.at(0, drained, queue)
    if not ok then
      queue.running = false
      return nil, err
    end
  end
  return true
end

--- The settings of a queue in a plugin's configuration.
function Queue.get_plugin_params(plugin_name, config, queue_name)
  local params = {}
  for name, value in pairs(config.queue or {}) do params[name] = value end
  params.name = queue_name or params.name or plugin_name .. ":" .. tostring(config.__plugin_id or "")
  return params
end

function Queue.is_full(conf)
  local queue = queues[":" .. conf.name]
  return queue ~= nil and #queue.entries >= queue.max_entries
end
function Queue.can_enqueue(conf) return not Queue.is_full(conf) end
return Queue
