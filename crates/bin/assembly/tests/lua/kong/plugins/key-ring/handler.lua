-- Keys kept in a table of the plugin's own; who is called by one is looked up once and remembered.
local KeyRing = { PRIORITY = 1245, VERSION = "1.0.0" }

local function load_key(key)
  local found, err = kong.db.ring_keys:select_by_key(key)
  if err then
    return nil, err
  end
  return found
end

function KeyRing:access(conf)
  local key = kong.request.get_header(conf.header)
  if not key then
    return kong.response.exit(401, { message = "no key" })
  end
  local cache_key = kong.db.ring_keys:cache_key(key)
  local found, err, level = kong.cache:get(cache_key, nil, load_key, key)
  if err then
    kong.log.err(err)
    return kong.response.exit(500, { message = "An unexpected error occurred" })
  end
  if not found then
    return kong.response.exit(401, { message = "wrong key" })
  end
  kong.service.request.set_header("X-Key-Owner", found.consumer.id)
  kong.response.set_header("X-Key-Level", tostring(level))
end

return KeyRing
