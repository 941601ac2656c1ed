-- Refuses requests whose query, agent or body looks like an attack.
local Firewall = { PRIORITY = 3000, VERSION = "1.0.0" }

local function matches(rules, text)
  for _, rule in ipairs(rules) do
    local found, err = ngx.re.match(text, rule.pattern, "ijo")
    if found then
      return rule.name
    end
    if err then
      kong.log.err("rule ", rule.name, ": ", err)
    end
  end
end

function Firewall:access(conf)
  local hit = matches(conf.rules, ngx.unescape_uri(kong.request.get_raw_query()))
    or matches(conf.rules, kong.request.get_header("user-agent") or "")
  if not hit and kong.request.get_method() == "POST" then
    local body = kong.request.get_raw_body()
    hit = body and matches(conf.rules, body)
  end
  if hit then
    kong.ctx.shared.firewall = hit
    return kong.response.error(403, "refused by rule " .. hit)
  end
end

function Firewall:log()
  if kong.ctx.shared.firewall then
    ngx.shared.kong:incr("firewall", 1, 0)
  end
end

return Firewall
