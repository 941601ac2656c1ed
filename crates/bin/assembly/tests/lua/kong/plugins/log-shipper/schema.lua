local typedefs = require "kong.db.schema.typedefs"

return {
  name = "log-shipper",
  fields = {
    { protocols = typedefs.protocols_http },
    { config = { type = "record", fields = {
      { url = typedefs.url { required = true } },
      { batch = { type = "integer", default = 10 } },
      { delay = { type = "number", default = 0.05 } },
    } } },
  },
}
