-- Coroutines of plugins. What waits inside of one gives up control of the whole stack of them: the wait is handed up
-- to the driver, and its answer down again, so that a plugin's own resume and yield see nothing of it.
local native = ...
local raw_create, raw_resume, raw_yield = coroutine.create, coroutine.resume, coroutine.yield
local raw_status, raw_running = coroutine.status, coroutine.running
local SYSTEM = native.system

native.raw_resume = raw_resume
native.raw_create = raw_create
native.WAIT, native.READ_BODY, native.EXIT = 1, 2, 3
local DONE = 4

--- The body of a coroutine that runs one phase after another: making coroutines is what a short phase would cost most.
local running = native.running
local function again(run, request)
  run(request)
  request = running.request
  return again(raw_yield(SYSTEM, DONE, request, request and request.out ~= nil))
end
native.again = again

--- The function that runs one phase of one configuration. The table of the request is made by who asks for it.
function native.starter(f, module, conf, phase, about)
  return function(request)
    running.request, running.phase, running.plugin = request, phase, about
    f(module, conf)
  end
end

--- Gives control to the driver; returns what it answers.
function native.yield(kind)
  return raw_yield(SYSTEM, kind)
end

local function relay(co, ok, ...)
  if ok and (...) == SYSTEM then
    local _, kind = ...
    return relay(co, raw_resume(co, raw_yield(SYSTEM, kind)))
  end
  return ok, ...
end

function coroutine.resume(co, ...)
  return relay(co, raw_resume(co, ...))
end

local function unwrap(ok, ...)
  if ok then
    return ...
  end
  error((...), 0)
end

function coroutine.wrap(f)
  local co = raw_create(f)
  return function(...)
    return unwrap(relay(co, raw_resume(co, ...)))
  end
end

-- Light threads: coroutines that the driver resumes itself.
local ended = native.threads
setmetatable(ended, { __mode = "k" })

ngx = {}
ngx.thread = {}

function ngx.thread.spawn(f, ...)
  local co = raw_create(f)
  local function after(ok, ...)
    if ok and raw_status(co) == "suspended" then
      local kind = select(2, ...)
      if (...) == SYSTEM and kind ~= native.WAIT then
        -- It asks for the body, or ends the request: through this coroutine, which the driver knows.
        return after(raw_resume(co, raw_yield(SYSTEM, kind)))
      end
      native.started(co)
    else
      ended[co] = { ok = ok, n = select("#", ...), ... }
    end
    return co
  end
  return after(raw_resume(co, ...))
end

function ngx.thread.wait(...)
  while true do
    for i = 1, select("#", ...) do
      local co = select(i, ...)
      local outcome = ended[co]
      if outcome then
        return outcome.ok, unpack(outcome, 1, outcome.n)
      end
    end
    native.join(...)
    native.yield(native.WAIT)
  end
end

function ngx.thread.kill(co)
  if ended[co] then
    return nil, "already waited or killed"
  end
  ended[co] = { ok = false, n = 1, "killed" }
  native.kill(co)
  return true
end

coroutine._running = raw_running
