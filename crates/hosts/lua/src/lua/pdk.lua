-- The plugin kit: the table `kong`, phase checks, contexts and the log.
local native = ...
local running = native.running

kong = {
  version = native.kong_version(), version_num = 0, pdk_major_version = 2, pdk_version = "2.0.0",
  configuration = native.configuration(), default_workspace = "0dc6f45b-8f8d-40d2-a504-473544ee190b",
}
do
  local major, minor, patch = kong.version:match("(%d+)%.(%d+)%.(%d+)")
  if major then
    kong.version_num = tonumber(major .. ("%03d"):format(minor) .. ("%03d"):format(patch))
  end
end
package.loaded["kong.globalpatches"] = function() end

local request_phases = { "rewrite", "access", "header_filter", "response", "body_filter", "log", "admin_api" }
native.REQUEST = request_phases

--- A check that the running phase is one of these; it raises at the caller of the function that checks.
function native.only_in(names)
  local allowed = {}
  for _, name in ipairs(names) do
    allowed[name] = true
  end
  local list = table.concat(names, ", ")
  return function()
    local phase = running.phase
    if not allowed[phase] then
      error(("function cannot be called in %s phase (only in: %s)"):format(tostring(phase), list), 3)
    end
  end
end

--- Wraps every function of a table so that it checks its phase first.
function native.guarded(names, functions)
  local check = native.only_in(names)
  local out = {}
  for name, f in pairs(functions) do
    out[name] = function(...)
      check()
      return f(...)
    end
  end
  return out
end

-- Contexts: shared by all plugins of a request, or of one configuration alone.
local function slot(name, key)
  local request = native.request_table()
  local tables = request[name]
  if not tables then
    tables = {}
    request[name] = tables
  end
  local own = tables[key]
  if not own then
    own = {}
    tables[key] = own
  end
  return own
end

kong.ctx = setmetatable({}, {
  __index = function(_, name)
    if name == "shared" then
      local shared = slot("contexts", "shared")
      native.take_shared(shared)
      return shared
    elseif name == "core" then
      return slot("contexts", "core")
    elseif name == "plugin" then
      local plugin = running.plugin
      return slot("plugins", plugin and plugin.id or "none")
    end
  end,
  __newindex = function()
    error("cannot set a field of kong.ctx; use kong.ctx.shared or kong.ctx.plugin", 2)
  end,
})

kong.table = {
  new = function(arrays, records) return table.new(arrays, records) end,
  clear = function(t) table.clear(t) end,
  merge = function(first, second)
    local merged = {}
    for k, v in pairs(first or {}) do merged[k] = v end
    for k, v in pairs(second or {}) do merged[k] = v end
    return merged
  end,
}

kong.plugin = {
  get_id = function()
    native.only_in({ "rewrite", "access", "header_filter", "response", "body_filter", "log" })()
    return running.plugin and running.plugin.id
  end,
}

-- The log. A line says where it was written, and by which plugin.
local levels = {
  debug = ngx.DEBUG, info = ngx.INFO, notice = ngx.NOTICE, warn = ngx.WARN, err = ngx.ERR, crit = ngx.CRIT,
  alert = ngx.ALERT, emerg = ngx.EMERG,
}
local inspecting = true

local function new_log(namespace)
  local log = { }
  local format = nil
  local function line(depth, ...)
    local info = debug.getinfo(depth, "Sln") or {}
    local file = (info.short_src or "?"):match("[^/]*$")
    local plugin = running.plugin
    local tag = namespace or (plugin and plugin.name)
    if format then
      local values = {
        file_src = file, line_src = tostring(info.currentline or "?"), func_name = info.name or "?",
        message = native.show(...), namespace = namespace or "",
      }
      return (format:gsub("%%([%a_]+)", values))
    end
    return ("[kong] %s:%s %s%s"):format(file, info.currentline or "?", tag and "[" .. tag .. "] " or "",
      native.show(...))
  end
  for name, level in pairs(levels) do
    log[name] = function(...)
      native.log(level, line(3, ...))
    end
  end
  local inspect = {}
  setmetatable(inspect, { __call = function(_, ...)
    if not inspecting then
      return
    end
    local show = require("inspect")
    local parts = {}
    for i = 1, select("#", ...) do
      parts[i] = show((select(i, ...)))
    end
    native.log(ngx.DEBUG, line(3, table.concat(parts, " ")))
  end })
  function inspect.on() inspecting = true end
  function inspect.off() inspecting = false end
  log.inspect = inspect
  function log.set_format(text)
    if type(text) ~= "string" then
      error("format must be a string if specified", 2)
    end
    format = text
  end
  function log.deprecation(text, options)
    options = options or {}
    local tail = ""
    if options.after then
      tail = (" (deprecated after %s%s)"):format(options.after,
        options.removal and ", scheduled for removal in " .. options.removal or "")
    end
    native.log(ngx.WARN, line(3, text .. tail))
  end
  function log.new(name)
    if type(name) ~= "string" or name == "" then
      error("namespace must be a string", 2)
    end
    return new_log(name)
  end
  return setmetatable(log, { __call = function(_, ...) native.log(ngx.NOTICE, line(3, ...)) end })
end
kong.log = new_log()

local serialize_check = native.only_in({ "log" })
function kong.log.serialize()
  serialize_check()
  return native.serialize()
end

local value_check = native.only_in({ "certificate", "rewrite", "access", "header_filter", "response", "body_filter",
  "log" })
function kong.log.set_serialize_value(key, value, options)
  value_check()
  if type(key) ~= "string" then
    error("key must be a string", 2)
  end
  local mode = options and options.mode or "set"
  if mode ~= "set" and mode ~= "add" and mode ~= "replace" then
    error("mode must be 'set', 'add' or 'replace'", 2)
  end
  local kind = type(value)
  if value ~= nil and kind ~= "string" and kind ~= "number" and kind ~= "boolean" and kind ~= "table" then
    error("value must be nil, a number, string, boolean or a non-self-referencial table containing numbers, " ..
      "string and booleans", 2)
  end
  local ok, err = native.set_log_value(key, value, mode)
  if not ok then
    error(err, 2)
  end
end
