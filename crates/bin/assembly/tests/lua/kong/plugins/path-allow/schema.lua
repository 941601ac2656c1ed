local typedefs = require "kong.db.schema.typedefs"

return {
  name = "path-allow",
  fields = {
    { protocols = typedefs.protocols_http },
    { config = { type = "record", fields = {
      { allow = { type = "array", required = true, elements = { type = "string", is_regex = true } } },
      { status = { type = "integer", default = 403, between = { 400, 499 } } },
    } } },
  },
}
