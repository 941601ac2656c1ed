-- Collects log entries and ships them in batches from a timer.
local cjson = require "cjson.safe"
local http = require "resty.http"
local LogShipper = { PRIORITY = 5, VERSION = "1.0.0" }
local queues = {}

local function ship(premature, conf, key)
  local queue = queues[key]
  queues[key] = nil
  if premature or not queue then
    return
  end
  for first = 1, #queue, conf.batch do
    local batch = {}
    for i = first, math.min(first + conf.batch - 1, #queue) do
      batch[#batch + 1] = queue[i]
    end
    local res, err = http.new():request_uri(conf.url, {
      method = "POST", body = cjson.encode(batch), headers = { ["Content-Type"] = "application/json" } })
    if not res then
      kong.log.err("could not ship: ", err)
    end
  end
end

function LogShipper:log(conf)
  local key = conf.__plugin_id
  local queue = queues[key]
  if not queue then
    queue = {}
    queues[key] = queue
    local ok, err = ngx.timer.at(conf.delay, ship, conf, key)
    if not ok then
      kong.log.err("no timer: ", err)
    end
  end
  local entry = kong.log.serialize()
  queue[#queue + 1] = { path = entry.request.uri, status = entry.response.status, took = entry.latencies.request }
end

return LogShipper
