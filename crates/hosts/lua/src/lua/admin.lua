-- Paths that plugins add to the Admin API (api.lua): which one a call means, and how its function is called.
local native = ...
local routes = {}
local helpers = { yield_error = error }

local function split(path)
  local parts = {}
  for part in path:gmatch("[^/]+") do parts[#parts + 1] = part end
  return parts
end

local verbs = { GET = true, POST = true, PUT = true, PATCH = true, DELETE = true, OPTIONS = true, HEAD = true }

--- Loads the api.lua of a plugin; returns the first segments of its paths.
function native.load_admin(plugin)
  local firsts = {}
  for path, route in pairs(require("kong.plugins." .. plugin .. ".api")) do
    if type(path) == "string" and path:sub(1, 1) == "/" then
      local methods = {}
      for name, f in pairs(route.methods or route) do
        if (verbs[name] or name == "before") and type(f) == "function" then
          methods[name] = f
        end
      end
      local parts = split(path)
      routes[#routes + 1] = { parts = parts, methods = methods, before = route.before or methods.before }
      firsts[#firsts + 1] = parts[1]
    end
  end
  -- Fixed parts win over parameters.
  table.sort(routes, function(a, b)
    for i = 1, math.max(#a.parts, #b.parts) do
      local x, y = a.parts[i] or "", b.parts[i] or ""
      local fixed, other = x:sub(1, 1) ~= ":", y:sub(1, 1) ~= ":"
      if fixed ~= other then
        return fixed
      end
      if x ~= y then
        return x < y
      end
    end
    return false
  end)
  return firsts
end

local function match(route, path)
  if #route.parts ~= #path then
    return nil
  end
  local params = {}
  for i, part in ipairs(route.parts) do
    if part:sub(1, 1) == ":" then
      params[part:sub(2)] = path[i]
    elseif part ~= path[i] then
      return nil
    end
  end
  return params
end

--- Answers a call; false if no path fits.
function native.call_admin(method, path, query, body)
  for _, route in ipairs(routes) do
    local params = match(route, path)
    if params then
      local f = route.methods[method] or (method == "HEAD" and route.methods.GET)
      if not f then
        return kong.response.exit(405, { message = "Method not allowed" })
      end
      local all = {}
      for _, part in ipairs({ query, type(body) == "table" and body or {}, params }) do
        for k, v in pairs(part) do all[k] = v end
      end
      local post = type(body) == "table" and body or {}
      local self = {
        params = all, args = { uri = query, post = post, json = post }, GET = query, POST = post,
        req = { method = method, cmd_mth = method }, route_name = "",
      }
      if route.before then
        route.before(self, kong.db, helpers)
      end
      local result = f(self, kong.db, helpers)
      if type(result) == "table" and result.json ~= nil then
        return kong.response.exit(result.status or 200, result.json)
      end
      return kong.response.exit(204)
    end
  end
  return false
end
