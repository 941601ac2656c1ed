-- kong.tools.time.
local tools = {}
function tools.get_start_time_ms() return kong.request.get_start_time() end
function tools.get_now_ms() return math.floor(ngx.now() * 1000) end
tools.get_updated_now_ms = tools.get_now_ms
function tools.get_updated_now() return ngx.now() end
function tools.time_ns() return ngx.now() * 1e9 end
function tools.get_timestamps(now)
  local t = os.date("!*t", math.floor((now or ngx.now() * 1000) / 1000))
  local function at(fields) return fields end
  return at({ second = now, year = t.year, month = t.month, day = t.day })
end
return tools
