local typedefs = require "kong.db.schema.typedefs"

return {
  name = "circuit-breaker",
  fields = {
    { protocols = typedefs.protocols_http },
    { config = { type = "record", fields = {
      { failures = { type = "integer", default = 3, gt = 0 } },
      { window = { type = "number", default = 30 } },
    } } },
  },
}
