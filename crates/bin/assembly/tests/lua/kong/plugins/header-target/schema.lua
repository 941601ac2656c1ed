local typedefs = require "kong.db.schema.typedefs"

return {
  name = "header-target",
  fields = {
    { protocols = typedefs.protocols_http },
    { config = { type = "record", fields = {
      { header = typedefs.header_name { default = "X-Target" } },
      { targets = { type = "map", required = true, keys = { type = "string" }, values = { type = "record", fields = {
        { host = typedefs.host { required = true } }, { port = typedefs.port { required = true } } } } } },
    } } },
  },
}
