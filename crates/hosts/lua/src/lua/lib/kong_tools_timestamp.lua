-- kong.tools.timestamp: the time, and the beginnings of the periods it lies in, in milliseconds.
local tools = {}
function tools.get_utc() return math.floor(ngx.now()) * 1000 end
function tools.get_utc_ms() return math.floor(ngx.now() * 1000) end

--- By name of the period; `now` is in milliseconds.
function tools.get_timestamps(now)
  local seconds = math.floor((now or tools.get_utc()) / 1000)
  local date = os.date("!*t", seconds)
  local day = seconds - seconds % 86400
  local month = day - (date.day - 1) * 86400
  return { second = seconds * 1000, minute = (seconds - seconds % 60) * 1000, hour = (seconds - seconds % 3600) * 1000,
    day = day * 1000, month = month * 1000, year = (day - (date.yday - 1) * 86400) * 1000 }
end
return tools
