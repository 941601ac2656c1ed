local typedefs = require "kong.db.schema.typedefs"

return {
  name = "redis-key",
  fields = {
    { protocols = typedefs.protocols_http },
    { config = { type = "record", fields = {
      { host = typedefs.host { required = true } },
      { port = typedefs.port { default = 6379 } },
      { header = typedefs.header_name { default = "X-Api-Key" } },
    } } },
  },
}
