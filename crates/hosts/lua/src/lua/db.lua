-- kong.db: the entities of the gateway and of plugins, each kind by its name.
local native = ...
local running = native.running
local Dao = {}

local function strategy()
  return kong.configuration and kong.configuration.database or "off"
end

local function shape_of(self)
  local shape = rawget(self, "_shape")
  if not shape then
    shape = native.entity_shape(self._name)
    rawset(self, "_shape", shape)
  end
  return shape
end

--- Asks the store; the coroutine waits for the answer.
local function ask(verb, self, key, document, options)
  if not native.may_wait() then
    return nil, ("the datastore cannot be asked in the %s phase"):format(tostring(running.phase))
  end
  local workspace = options and options.workspace
  local wrong = native.entity(verb, self._name, type(workspace) == "string" and workspace or nil, key, document or {})
  if wrong then
    return nil, wrong, { code = 1, name = "invalid primary key", message = wrong, strategy = strategy() }
  end
  local value, fault = native.yield(native.WAIT)
  if fault then
    fault.strategy = strategy()
    return nil, ("[%s] %s"):format(fault.strategy, fault.message), fault
  end
  if value == native.null then
    return nil
  end
  return value
end

local function primary(key)
  if type(key) == "table" then
    return { id = key.id }
  end
  return { id = key }
end

local function unique(field)
  return function(value)
    if type(value) == "table" then
      value = value.id
    end
    return { field = field, value = tostring(value) }
  end
end

local function with_ttl(entity, options)
  if options and options.ttl then
    local copy = {}
    for k, v in pairs(entity) do copy[k] = v end
    copy.ttl = options.ttl
    return copy
  end
  return entity
end

local function check_entity(entity)
  if type(entity) ~= "table" then
    error("entity must be a table", 3)
  end
end

function Dao:insert(entity, options)
  check_entity(entity)
  return ask("insert", self, nil, with_ttl(entity, options), options)
end

-- One set of verbs for each way to address an entity.
local function verbs(suffix, address, into)
  into["select" .. suffix] = function(self, key, options)
    return ask("select", self, address(key), nil, options)
  end
  into["update" .. suffix] = function(self, key, entity, options)
    check_entity(entity)
    return ask("update", self, address(key), with_ttl(entity, options), options)
  end
  into["upsert" .. suffix] = function(self, key, entity, options)
    check_entity(entity)
    return ask("upsert", self, address(key), with_ttl(entity, options), options)
  end
  into["delete" .. suffix] = function(self, key, options)
    local done, err, fault = ask("delete", self, address(key), nil, options)
    if done == nil then
      return nil, err, fault
    end
    return true
  end
end
verbs("", primary, Dao)

function Dao:select_by_cache_key(key, options)
  return ask("select", self, { cache = key }, nil, options)
end

local function page(self, field, parent, size, offset, options)
  local document = { size = size or 1000, field = field, parent = parent }
  if offset then
    document.after = ngx.decode_base64(offset)
  end
  local found, err, fault = ask("page", self, nil, document, options)
  if not found then
    return nil, err, fault
  end
  return found.rows, nil, nil, found.next and ngx.encode_base64(found.next, true) or nil
end

local function each(fetch)
  local rows, at, number, offset, over, err, fault = {}, 0, 0, nil, false, nil, nil
  return function()
    while true do
      at = at + 1
      if rows[at] then
        return rows[at], nil, number
      end
      if over then
        return nil
      end
      rows, err, fault, offset = fetch(offset)
      at, number = 0, number + 1
      over = offset == nil
      if not rows then
        rows, over = {}, true
        return false, err, number, fault
      end
    end
  end
end

function Dao:page(size, offset, options) return page(self, nil, nil, size, offset, options) end
function Dao:each(size, options)
  return each(function(offset) return page(self, nil, nil, size or 1000, offset, options) end)
end

--- The name under which an entity, or what it is found by, stands in the cache.
function Dao:cache_key(key, second, third, fourth, fifth, workspace)
  local shape = shape_of(self) or { cache_key = {}, workspaceable = false }
  local parts = { key, second, third, fourth, fifth }
  if type(key) == "table" then
    parts = {}
    local fields = #shape.cache_key > 0 and shape.cache_key or { "id" }
    for i, field in ipairs(fields) do parts[i] = key[field] end
    workspace = workspace or key.ws_id
  end
  local out = { self._name }
  for i = 1, 5 do
    local part = parts[i]
    if type(part) == "table" then
      part = part.id
    end
    out[i + 1] = (part == nil or part == native.null) and "" or tostring(part)
  end
  out[7] = shape.workspaceable and (workspace or native.workspace()) or ""
  return table.concat(out, ":")
end

function Dao:truncate() return nil, "truncate is not supported" end

local dao_metatable = {}
dao_metatable.__index = function(self, name)
  local method = Dao[name]
  if method then
    return method
  end
  if type(name) ~= "string" then
    return nil
  end
  if name == "schema" then
    local shape = shape_of(self) or {}
    local schema = { name = self._name, primary_key = shape.primary_key or { "id" }, endpoint_key = shape.endpoint_key,
      cache_key = shape.cache_key, workspaceable = shape.workspaceable, fields = {} }
    rawset(self, "schema", schema)
    return schema
  end
  local shape = shape_of(self)
  if not shape then
    return nil
  end
  for _, field in ipairs(shape.unique) do
    if name:sub(-#field - 4) == "_by_" .. field then
      verbs("_by_" .. field, unique(field), self)
      return rawget(self, name)
    end
  end
  for _, field in ipairs(shape.foreign) do
    if name == "page_for_" .. field then
      return function(dao, parent, size, offset, options)
        return page(dao, field, parent.id, size, offset, options)
      end
    elseif name == "each_for_" .. field then
      return function(dao, parent, size, options)
        return each(function(offset) return page(dao, field, parent.id, size or 1000, offset, options) end)
      end
    end
  end
end

kong.db = setmetatable({ connector = {}, daos = {} }, {
  __index = function(self, name)
    if name == "strategy" then
      return strategy()
    end
    if type(name) ~= "string" or (native.has_store() and not native.entity_shape(name)) then
      return nil
    end
    local dao = setmetatable({ _name = name }, dao_metatable)
    rawset(self, name, dao)
    self.daos[name] = dao
    return dao
  end,
})
