local typedefs = require "kong.db.schema.typedefs"

return {
  name = "response-cache",
  fields = {
    { protocols = typedefs.protocols_http },
    { config = { type = "record", fields = {
      { ttl = { type = "number", default = 60 } },
    } } },
  },
}
