-- pre-function and post-function: Lua in the configuration, compiled once per configuration and worker.
local native = ...

local phases = { "certificate", "rewrite", "access", "header_filter", "body_filter", "log", "preread" }
local sandbox = require("gibbon.sandbox")

--- The functions of a phase of a configuration.
local compiled = setmetatable({}, { __mode = "k" })

local function load_phase(conf, phase, plugin)
  local list = {}
  for i, source in ipairs(conf[phase] or {}) do
    list[i] = sandbox.load(source, plugin)
  end
  return list
end

local function functions_of(conf, phase, plugin)
  local of = compiled[conf]
  if not of then
    of = {}
    compiled[conf] = of
  end
  local list = of[phase]
  if not list then
    list = load_phase(conf, phase, plugin)
    of[phase] = list
  end
  return list
end

--- A handler whose methods run what the configuration says.
return function(plugin, priority)
  local handler = { PRIORITY = priority, VERSION = "3.10.0" }
  for _, phase in ipairs(phases) do
    handler[phase] = function(_, conf)
      local list = functions_of(conf, phase, plugin)
      for i = 1, #list do
        -- A chunk that returns a function is run once; from then on that function is.
        local result = list[i]()
        if type(result) == "function" then
          list[i] = result
          result()
        end
      end
    end
  end
  return handler
end
