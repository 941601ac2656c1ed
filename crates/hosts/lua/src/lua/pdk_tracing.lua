-- kong.tracing: spans of plugins, part of the trace of their request; kong.telemetry.
local native = ...

local Span = {}
Span.__index = Span

--- Ends the span; what is called on it afterwards changes nothing.
function Span:finish(end_time_ns)
  if self.ended then
    return
  end
  if end_time_ns ~= nil and type(end_time_ns) ~= "number" then
    error("end_time_ns must be a number", 2)
  end
  self.ended = true
  if self.number then
    native.span_end(self.number, end_time_ns)
  end
end

function Span:set_attribute(key, value)
  if type(key) ~= "string" then
    error("invalid key", 2)
  end
  local kind = type(value)
  if value ~= nil and kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
    error("invalid type of attribute '" .. key .. "': " .. kind, 2)
  end
  self.attributes[key] = value
  if self.number then
    native.span_attribute(self.number, key, value)
  end
end

function Span:add_event(name, attributes, time_ns)
  if type(name) ~= "string" then
    error("invalid name of an event", 2)
  end
  if self.number then
    native.span_event(self.number, name, attributes or {}, time_ns)
  end
end

function Span:record_error(err)
  self:add_event("exception", { ["exception.message"] = tostring(err) })
end

--- 0 is unset, 1 fine, 2 an error.
function Span:set_status(status)
  if type(status) ~= "number" or status < 0 or status > 2 or status % 1 ~= 0 then
    error("invalid status", 2)
  end
  self.status = status
  if self.number then
    native.span_failed(self.number, status == 2)
  end
end

local function new()
  local tracing = {}

  local function spans()
    local request = native.request_table()
    request.spans = request.spans or {}
    return request.spans
  end

  function tracing.start_span(name, options)
    if type(name) ~= "string" then
      error("invalid span name", 2)
    end
    options = options or {}
    local parent = options.parent or tracing.active_span()
    local span = setmetatable({ name = name, attributes = {}, parent = parent }, Span)
    if native.running.request ~= nil and native.is_traced() then
      span.number = native.span_begin(name, parent and parent.number, options.start_time_ns)
    end
    span.is_recording = span.number ~= nil
    for key, value in pairs(options.attributes or {}) do
      span:set_attribute(key, value)
    end
    if span.number then
      local list = spans()
      list[#list + 1] = span
    end
    return span
  end

  function tracing.active_span()
    local request = native.running.request
    return request and request.active_span or nil
  end

  function tracing.set_active_span(span)
    if span ~= nil and getmetatable(span) ~= Span then
      error("invalid span", 2)
    end
    native.request_table().active_span = span
  end

  --- Calls a function with every span that was begun and has ended.
  function tracing.process_span(processor, ...)
    if type(processor) ~= "function" then
      error("processor must be a function", 2)
    end
    for _, span in ipairs(native.running.request and native.running.request.spans or {}) do
      if span.ended then
        processor(span, ...)
      end
    end
  end

  --- Whether the trace is kept is decided before plugins run, by the settings and by who calls.
  function tracing:set_should_sample(should_sample) native.request_table().should_sample = should_sample end

  function tracing:get_sampling_decision(parent_should_sample, sampling_rate)
    local request = native.running.request
    local said = request and request.should_sample
    if said ~= nil then
      return said
    end
    local decided = native.is_sampled()
    if decided ~= nil then
      return decided
    end
    if parent_should_sample ~= nil then
      return parent_should_sample
    end
    return (sampling_rate or 0) > math.random()
  end

  tracing.new = new
  return tracing
end
kong.tracing = new()

kong.telemetry = {
  log = function(plugin_name, plugin_config, message_type, message, attributes)
    if type(plugin_name) ~= "string" then
      return nil, "plugin_name must be a string"
    end
    if type(plugin_config) ~= "table" then
      return nil, "plugin_config must be a table"
    end
    if type(message_type) ~= "string" then
      return nil, "message_type must be a string"
    end
    if message ~= nil and type(message) ~= "string" then
      return nil, "message must be a string"
    end
    if attributes ~= nil and type(attributes) ~= "table" then
      return nil, "attributes must be a table"
    end
    -- No plugin sends log lines of others yet.
    return nil, "Telemetry logging is disabled: log entry will not be recorded. Ensure the OpenTelemetry plugin is " ..
      "correctly configured to report logs in order to use this feature."
  end,
}
