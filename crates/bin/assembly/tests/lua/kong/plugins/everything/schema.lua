local typedefs = require "kong.db.schema.typedefs"

return {
  name = "everything",
  fields = {
    { consumer = typedefs.no_consumer },
    { protocols = typedefs.protocols_http },
    { config = {
      type = "record",
      fields = {
        { text = { type = "string", len_min = 2, len_max = 10, match = "^%l+$", default = "abc" } },
        { number = { type = "number", gt = 0, default = 1.5 } },
        { whole = { type = "integer", between = { 1, 5 }, default = 2 } },
        { flag = { type = "boolean", default = true } },
        { choice = { type = "string", one_of = { "red", "green" }, default = "red" } },
        { list = { type = "array", elements = { type = "string" }, default = { "x" } } },
        { set = { type = "set", elements = { type = "string", one_of = { "a", "b", "c" } }, default = { "a" } } },
        { map = { type = "map", keys = { type = "string" }, values = { type = "integer" }, default = { one = 1 } } },
        { record = { type = "record", fields = { { inner = { type = "string", default = "in" } } } } },
        { address = typedefs.host { default = "h.test" } },
        { place = typedefs.url },
        { secret = { type = "string", encrypted = true, referenceable = true } },
        { even = { type = "integer", custom_validator = function(value)
          if value % 2 == 0 then
            return true
          end
          return nil, "must be even"
        end } },
        { first = { type = "string" } },
        { second = { type = "string" } },
      },
      shorthand_fields = {
        { old_inner = { type = "string", func = function(value) return { record = { inner = value } } end } },
      },
      entity_checks = {
        { mutually_exclusive = { "first", "second" } },
        { custom_entity_check = { field_sources = { "whole", "number" }, fn = function(config)
          if config.whole and config.number and config.number > config.whole then
            return nil, "number must not be above whole"
          end
          return true
        end } },
      },
    } },
  },
}
