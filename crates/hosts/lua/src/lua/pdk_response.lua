-- kong.response: the answer to the client, the upstream's or one of our own.
local native = ...
local running = native.running

local reading = native.only_in({ "header_filter", "response", "body_filter", "log", "admin_api" })
local writing = native.only_in({ "rewrite", "access", "header_filter", "response", "admin_api" })
local ending = native.only_in({ "preread", "rewrite", "access", "admin_api", "header_filter" })
local in_body_filter = native.only_in({ "body_filter" })

local response = {}
kong.response = response

local function check_name(name)
  if type(name) ~= "string" then
    error(("invalid header name %q: got %s, expected string"):format(tostring(name), type(name)), 3)
  end
end

local scalar = { string = true, number = true, boolean = true }
local function check_value(name, value)
  local kind = type(value)
  if kind == "table" then
    for _, one in ipairs(value) do
      if not scalar[type(one)] then
        error(("invalid header value in array %q: got %s, expected string, number or boolean")
          :format(name, type(one)), 3)
      end
    end
  elseif not scalar[kind] then
    error(("invalid header value for %q: got %s, expected array of string, string, number or boolean")
      :format(name, kind), 3)
  end
end

local function check_headers(headers)
  if type(headers) ~= "table" then
    error("headers must be a table", 3)
  end
  for name, value in pairs(headers) do
    if type(name) ~= "string" then
      error(("invalid name %q: got %s, expected string"):format(tostring(name), type(name)), 3)
    end
    if type(value) ~= "table" and not scalar[type(value)] then
      error(("invalid value in %q: got %s, expected array of string, string, number or boolean")
        :format(name, type(value)), 3)
    end
  end
end
native.check_header_name, native.check_header_value, native.check_headers = check_name, check_value, check_headers

--- Names may be written with underscores; fields never have one.
local function dashed(name)
  if name:find("_", 1, true) then
    return (name:gsub("_", "-"))
  end
  return name
end

local function add(name, value)
  name = dashed(name)
  if type(value) ~= "table" then
    return native.response_add_header(name, tostring(value))
  end
  for _, one in ipairs(value) do
    native.response_add_header(name, tostring(one))
  end
end

function response.get_status()
  reading()
  return native.status()
end

function response.get_header(name)
  reading()
  if type(name) ~= "string" then
    error("header name must be a string", 2)
  end
  return native.response_header(name)
end

function response.get_headers(max)
  reading()
  if max ~= nil and type(max) ~= "number" then
    error("max_headers must be a number", 2)
  end
  if max and (max < 1 or max > 1000) then
    error(max < 1 and "max_headers must be >= 1" or "max_headers must be <= 1000", 2)
  end
  local headers, err = native.response_headers(max or 100)
  return setmetatable(headers, native.header_lookup), err
end

function response.get_source()
  reading()
  return native.source()
end

function response.set_status(status)
  writing()
  if type(status) ~= "number" then
    error("code must be a number", 2)
  end
  if status < 100 or status > 599 then
    error("code must be a number between 100 and 599", 2)
  end
  ngx.status = status
end

function response.set_header(name, value)
  writing()
  check_name(name)
  check_value(name, value)
  native.response_clear_header(dashed(name))
  add(name, value)
end

function response.add_header(name, value)
  writing()
  check_name(name)
  check_value(name, value)
  add(name, value)
end

function response.clear_header(name)
  writing()
  if type(name) ~= "string" then
    error("header name must be a string", 2)
  end
  native.response_clear_header(dashed(name))
end

function response.set_headers(headers)
  writing()
  check_headers(headers)
  local names = {}
  for name in pairs(headers) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    native.response_clear_header(dashed(name))
    add(name, headers[name])
  end
end

-- The body filter: pieces are kept back until the last, then the plugin sees the whole.
function response.get_raw_body()
  in_body_filter()
  local request = native.request_table()
  local key = running.plugin and running.plugin.id or "none"
  request.bodies = request.bodies or {}
  local kept = request.bodies[key]
  if kept == true then
    return native.chunk()
  end
  if not native.chunk_is_last() then
    kept = kept or {}
    kept[#kept + 1] = native.chunk()
    request.bodies[key] = kept
    native.set_chunk(nil)
    return nil
  end
  request.bodies[key] = true
  local body = (kept and table.concat(kept) or "") .. (native.chunk() or "")
  native.set_chunk(body)
  return body
end

function response.set_raw_body(body)
  in_body_filter()
  if type(body) ~= "string" then
    error("body must be a string", 2)
  end
  native.set_chunk(body)
end

--- Ends the request with this answer; the later phases of collected plugins still run.
function response.exit(status, body, headers)
  ending()
  if running.phase == "header_filter" and body ~= nil then
    error("function cannot be called in header_filter phase (only in: preread, rewrite, access, admin_api, " ..
      "header_filter (only if `body` is nil))", 2)
  end
  if type(status) ~= "number" then
    error("code must be a number", 2)
  end
  if status < 100 or status > 599 then
    error("code must be a number between 100 and 599", 2)
  end
  if body ~= nil and type(body) ~= "string" and type(body) ~= "table" then
    error("body must be a nil, string or table", 2)
  end
  if headers ~= nil and type(headers) ~= "table" then
    error("headers must be a nil or table", 2)
  end
  if headers then
    check_headers(headers)
  end
  if running.phase == "header_filter" then
    native.set_status(status)
    if headers then
      response.set_headers(headers)
    end
    native.replace_body("")
    return native.yield(native.EXIT)
  end
  local is_json = type(body) == "table"
  if is_json then
    local text, err = native.json_encode(body)
    if not text then
      error("body encoding failed while flushing response: " .. tostring(err), 2)
    end
    body = text
  end
  local flat = {}
  local has_type = false
  for name, value in pairs(headers or {}) do
    local shown = name:gsub("_", "-")
    has_type = has_type or shown:lower() == "content-type"
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      flat[#flat + 1] = { shown, tostring(one) }
    end
  end
  table.sort(flat, function(a, b) return a[1] < b[1] end)
  if is_json and not has_type then
    flat[#flat + 1] = { "Content-Type", "application/json; charset=utf-8" }
  end
  native.exit(status, body, flat)
  native.yield(native.EXIT)
end

--- Ends the request with an error page in the form that the client accepts.
function response.error(status, message, headers)
  ending()
  if type(status) ~= "number" then
    error("code must be a number", 2)
  end
  if status < 100 or status > 599 then
    error("code must be a number between 100 and 599", 2)
  end
  if message ~= nil and type(message) ~= "string" then
    error("message must be a nil or string", 2)
  end
  if headers ~= nil and type(headers) ~= "table" then
    error("headers must be a nil or table", 2)
  end
  local flat = {}
  for name, value in pairs(headers or {}) do
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      flat[#flat + 1] = { name, tostring(one) }
    end
  end
  native.error_page(status, message, flat)
  native.yield(native.EXIT)
end
