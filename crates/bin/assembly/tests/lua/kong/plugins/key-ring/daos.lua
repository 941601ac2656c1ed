local typedefs = require "kong.db.schema.typedefs"

return {
  {
    name = "ring_keys",
    primary_key = { "id" },
    endpoint_key = "key",
    cache_key = { "key" },
    workspaceable = true,
    admin_api_name = "ring-keys",
    admin_api_nested_name = "ring-key",
    fields = {
      { id = typedefs.uuid },
      { created_at = typedefs.auto_timestamp_s },
      { consumer = { type = "foreign", reference = "consumers", required = true, on_delete = "cascade" } },
      { key = { type = "string", required = true, unique = true, len_min = 3 } },
      { uses = { type = "integer", default = 0 } },
    },
  },
}
