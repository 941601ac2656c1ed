local endpoints = require "kong.api.endpoints"

local keys_schema = kong.db.ring_keys.schema
local consumers_schema = kong.db.consumers.schema

return {
  ["/key-ring/count"] = {
    schema = keys_schema,
    methods = {
      GET = function(self, db)
        local count = 0
        for _, err in db.ring_keys:each() do
          if err then
            return kong.response.exit(500, { message = err })
          end
          count = count + 1
        end
        return kong.response.exit(200, { count = count })
      end,
      POST = function(self, db)
        return kong.response.exit(201, { said = self.params.word, twice = self.args.uri.twice })
      end,
    },
  },

  ["/key-ring/of/:consumers"] = {
    schema = consumers_schema,
    methods = {
      GET = endpoints.get_entity_endpoint(consumers_schema),
      DELETE = function(self, db)
        local consumer, err = db.consumers:select_by_username(self.params.consumers)
        if not consumer then
          return kong.response.exit(404, { message = err or "Not found" })
        end
        for key in db.ring_keys:each_for_consumer({ id = consumer.id }) do
          db.ring_keys:delete({ id = key.id })
        end
        return kong.response.exit(204)
      end,
    },
  },
}
