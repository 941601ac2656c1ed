local typedefs = require "kong.db.schema.typedefs"

return {
  name = "jwt-claims",
  fields = {
    { protocols = typedefs.protocols_http },
    { config = { type = "record", fields = {
      { claims = { type = "map", keys = { type = "string" }, values = typedefs.header_name, default = { sub = "X-Subject" } } },
    } } },
  },
}
