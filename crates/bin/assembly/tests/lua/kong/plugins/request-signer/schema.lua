local typedefs = require "kong.db.schema.typedefs"

return {
  name = "request-signer",
  fields = {
    { protocols = typedefs.protocols_http },
    { config = { type = "record", fields = {
      { secret = { type = "string", required = true, encrypted = true } },
    } } },
  },
}
