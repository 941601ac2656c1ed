-- Tells the nodes of a cluster, and counts what this one was told.
local Crier = { PRIORITY = 900, VERSION = "1.0.0" }
local heard = ngx.shared.kong

function Crier:init_worker()
  kong.cluster_events:subscribe("town", function(data)
    heard:incr("heard:" .. data, 1, 0)
  end)
end

function Crier:access()
  local say = kong.request.get_query_arg("say")
  if say then
    local ok, err = kong.cluster_events:broadcast("town", say)
    return kong.response.exit(ok and 200 or 500, { err = err })
  end
  return kong.response.exit(200, { heard = heard:get("heard:" .. (kong.request.get_query_arg("of") or "")) or 0 })
end

return Crier
