-- kong.worker_events and kong.cluster_events, and the libraries by which plugins know the former.
local native = ...

-- source → event → list of callbacks; the event "*" stands for all.
local handlers = {}

local function register(callback, source, ...)
  local events = { ... }
  if #events == 0 then
    events[1] = "*"
  end
  if source == "crud" then
    native.want_crud()
  end
  handlers[source] = handlers[source] or {}
  for _, event in ipairs(events) do
    local list = handlers[source][event] or {}
    handlers[source][event] = list
    list[#list + 1] = callback
  end
  return true
end

local function unregister(callback, source, ...)
  local events = { ... }
  for event, list in pairs(handlers[source] or {}) do
    local meant = #events == 0
    for _, one in ipairs(events) do meant = meant or one == event end
    for i = #list, 1, -1 do
      if meant and list[i] == callback then
        table.remove(list, i)
      end
    end
  end
  return true
end

--- Calls whoever registered for it; one that fails keeps no other from it.
function native.deliver(source, event, data, worker)
  if data == native.null then
    data = nil
  end
  local of = handlers[source]
  if not of then
    return
  end
  for _, list in ipairs({ of[event] or {}, event ~= "*" and of["*"] or {} }) do
    for _, callback in ipairs({ unpack(list) }) do
      local ok, err = pcall(callback, data, event, source, worker)
      if not ok then
        native.log(ngx.ERR, ("[events] a callback of %s, %s failed: %s"):format(source, event, tostring(err)))
      end
    end
  end
end

local worker_events = { register = register, register_weak = register, unregister = unregister }
function worker_events.post(source, event, data, unique)
  return native.post_event(source, event, data, unique ~= nil and unique ~= false)
end
function worker_events.post_local(source, event, data)
  native.deliver(source, event, data, native.worker_id())
  return true
end
function worker_events.poll() return "done" end
function worker_events.configure() return true end
function worker_events.configured() return true end
function worker_events.event_list(source, ...)
  local list = { _source = source }
  for _, event in ipairs({ ... }) do list[event] = event end
  return list
end
kong.worker_events = worker_events
package.loaded["resty.worker.events"] = worker_events
package.loaded["resty.events.compat"] = worker_events

-- The newer library, whose functions are methods.
local events = {}
events.__index = events
function events.new() return setmetatable({}, events) end
function events:init_worker() return true end
function events:run() return true end
function events:is_ready() return true end
function events:subscribe(source, event, callback) return register(callback, source, event) end
function events:unsubscribe(source, event)
  if handlers[source] then
    handlers[source][event] = nil
  end
  return true
end
function events:publish(target, source, event, data)
  if target == "current" then
    return worker_events.post_local(source, event, data)
  end
  return worker_events.post(source, event, data, target ~= "all")
end
package.loaded["resty.events"] = events

-- Between nodes: a row that every node sees, and that ends by itself.
local CHANNELS = "gibbon.cluster"
local cluster = {}
function cluster.subscribe(_, channel, callback)
  return register(function(data) callback(data) end, CHANNELS, channel)
end
function cluster.broadcast(_, channel, data, delay)
  if type(channel) ~= "string" or type(data) ~= "string" then
    return nil, "channel and data must be strings"
  end
  if not native.has_store() or kong.db.strategy == "off" then
    return true
  end
  local function send()
    local _, err = kong.db.cluster_events:insert({ channel = channel, data = data, node_id = native.node_id() },
      { ttl = 60 })
    if err then
      native.log(ngx.ERR, "[cluster_events] not broadcast: " .. err)
    end
    return not err, err
  end
  if native.may_wait() and not (delay and delay > 0) then
    return send()
  end
  return ngx.timer.at(delay or 0, send)
end
kong.cluster_events = cluster
