local typedefs = require "kong.db.schema.typedefs"

return {
  name = "relying-party",
  fields = {
    { protocols = typedefs.protocols_http },
    { config = { type = "record", fields = {
      { jwks_uri = typedefs.url { required = true } },
      { issuer = { type = "string", required = true } },
      { algorithms = { type = "set", elements = { type = "string" }, default = { "RS256", "PS256", "ES256", "EdDSA" } } },
    } } },
  },
}
