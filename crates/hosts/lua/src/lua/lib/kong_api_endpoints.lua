-- kong.api.endpoints: functions for api.lua that do what the gateway's own paths do.
local native = ...
local endpoints = {}

local statuses = { ["schema violation"] = 400, ["invalid primary key"] = 400, ["foreign key violation"] = 400,
  ["foreign keys unresolved"] = 400, ["primary key violation"] = 409, ["unique constraint violation"] = 409,
  ["not found"] = 404, ["operation unsupported"] = 405 }

function endpoints.handle_error(fault)
  local status = fault and statuses[fault.name]
  if not status then
    kong.log.err(fault and fault.message or "unknown error")
    return kong.response.exit(500, { message = "An unexpected error occurred" })
  end
  return kong.response.exit(status, { code = fault.code, name = fault.name, message = fault.message,
    fields = fault.fields })
end

function endpoints.get_page_size(args)
  local size = tonumber(args and args.size)
  if args and args.size and (not size or size < 1 or size > 1000 or size % 1 ~= 0) then
    return nil, "size must be an integer between 1 and 1000"
  end
  return size
end

local function address(verb, dao, schema, id)
  if native.is_uuid(id) then
    return dao[verb], { id = id }
  end
  if schema.endpoint_key then
    return dao[verb .. "_by_" .. schema.endpoint_key], id
  end
end

local function operate(verb, self, db, schema, ...)
  local dao, id = db[schema.name], self.params[schema.name]
  local f, key = address(verb, dao, schema, id)
  if not f then
    return nil, nil, { code = 1, name = "invalid primary key", message = "invalid primary key", fields = { id = id } }
  end
  return f(dao, key, ...)
end
function endpoints.select_entity(self, db, schema) return operate("select", self, db, schema) end
function endpoints.delete_entity(self, db, schema) return operate("delete", self, db, schema) end
function endpoints.update_entity(self, db, schema) return operate("update", self, db, schema, self.args.post) end
function endpoints.upsert_entity(self, db, schema) return operate("upsert", self, db, schema, self.args.post) end
function endpoints.insert_entity(self, db, schema) return db[schema.name]:insert(self.args.post) end
function endpoints.page_collection(self, db, schema, method)
  local size, err = endpoints.get_page_size(self.args.uri)
  if err then
    return nil, err, { code = 9, name = "schema violation", message = err }
  end
  local dao = db[schema.name]
  if method and method ~= "page" then
    return dao[method](dao, { id = self.params.parent_id }, size, self.args.uri.offset)
  end
  return dao:page(size, self.args.uri.offset)
end

local function not_found() return kong.response.exit(404, { message = "Not found" }) end

local function parent(self, db, foreign)
  local found, _, fault = operate("select", self, db, foreign)
  if fault then
    return endpoints.handle_error(fault)
  end
  if not found then
    return not_found()
  end
  return found
end

-- What an endpoint of one entity does, and how it answers when that went well.
local of_one = {
  get_entity_endpoint = { operation = "select_entity", status = 200, shows = true, must_exist = true },
  patch_entity_endpoint = { operation = "update_entity", status = 200, shows = true },
  put_entity_endpoint = { operation = "upsert_entity", status = 200, shows = true },
  delete_entity_endpoint = { operation = "delete_entity", status = 204 },
}
for name, endpoint in pairs(of_one) do
  endpoints[name] = function(schema)
    return function(self, db)
      local entity, _, fault = endpoints[endpoint.operation](self, db, schema)
      if fault then
        return endpoints.handle_error(fault)
      end
      if endpoint.must_exist and not entity then
        return not_found()
      end
      return kong.response.exit(endpoint.status, endpoint.shows and entity or nil)
    end
  end
end

function endpoints.get_collection_endpoint(schema, foreign, field)
  return function(self, db)
    local method
    if foreign then
      self.params.parent_id = parent(self, db, foreign).id
      method = "page_for_" .. field
    end
    local rows, _, fault, offset = endpoints.page_collection(self, db, schema, method)
    if not rows then
      return endpoints.handle_error(fault)
    end
    return kong.response.exit(200, { data = setmetatable(rows, native.array_mt), offset = offset,
      next = offset and ("%s?offset=%s"):format("/" .. schema.name, ngx.escape_uri(offset)) or native.null })
  end
end

function endpoints.post_collection_endpoint(schema, foreign, field)
  return function(self, db)
    if foreign then
      self.args.post[field] = { id = parent(self, db, foreign).id }
    end
    local made, _, fault = endpoints.insert_entity(self, db, schema)
    if fault then
      return endpoints.handle_error(fault)
    end
    return kong.response.exit(201, made)
  end
end

endpoints.not_found, endpoints.Endpoints = not_found, {}
return endpoints
