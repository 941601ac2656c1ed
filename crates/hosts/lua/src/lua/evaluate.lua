-- Code in the configuration of native plugins, such as custom_fields_by_lua: compiled once, in the sandbox. How many pieces
-- are kept is bounded, since configurations come and go.
local native = ...
local MOST = 1000
local compiled, count = {}, 0

function native.evaluate(code, plugin)
  local f = compiled[code]
  if not f then
    f = require("gibbon.sandbox").load(code, plugin)
    if count >= MOST then
      compiled, count = {}, 0
    end
    compiled[code], count = f, count + 1
  end
  local result = f()
  if type(result) == "function" then
    result = result()
  end
  return result
end
