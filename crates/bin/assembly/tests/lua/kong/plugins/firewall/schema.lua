local typedefs = require "kong.db.schema.typedefs"

return {
  name = "firewall",
  fields = {
    { protocols = typedefs.protocols_http },
    { config = { type = "record", fields = {
      { rules = { type = "array", elements = { type = "record", fields = {
          { name = { type = "string", required = true } },
          { pattern = { type = "string", required = true } },
      } } } },
    } } },
  },
}
