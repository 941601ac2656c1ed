-- The ngx API of a request: variables, headers, arguments, body, answer.
local native = ...
local running = native.running

local function disabled()
  error("API disabled in the current context", 3)
end

-- ngx.ctx: a table of the request, shared by all phases.
local function request_table()
  local request = running.request
  if not request then
    if request == nil then
      error("no request found", 3)
    end
    -- Nobody asked before.
    request = {}
    running.request = request
  end
  return request
end
native.request_table = request_table

local function ctx()
  local request = request_table()
  local ctx = request.ctx
  if not ctx then
    ctx = {}
    request.ctx = ctx
  end
  return ctx
end
native.ctx = ctx

-- Answers are made in rewrite, access and preread; in the filters the answer is there already.
local before_answer = { rewrite = true, access = true, preread = true, certificate = true }
native.before_answer = before_answer

--- Headers as ngx.req.get_headers and ngx.resp.get_headers give them.
local header_lookup = {
  __index = function(t, name)
    if type(name) ~= "string" then
      return nil
    end
    return rawget(t, (name:gsub("_", "-"):lower()))
  end,
}
native.header_lookup = header_lookup

ngx.req = {}

function ngx.req.get_headers(max, raw)
  local headers, err = native.request_headers(max == 0 and 0 or max or 100)
  if not raw then
    setmetatable(headers, header_lookup)
  end
  return headers, err
end

function ngx.req.set_header(name, value)
  if value == nil then
    return native.request_clear_header(name)
  end
  if type(value) == "table" then
    native.request_clear_header(name)
    for _, one in ipairs(value) do
      native.request_add_header(name, tostring(one))
    end
    return
  end
  native.request_set_header(name, tostring(value))
end

function ngx.req.clear_header(name) native.request_clear_header(name) end
function ngx.req.get_method() return native.method() end
function ngx.req.set_method(id)
  for _, name in ipairs({ "GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "MKCOL", "COPY", "MOVE", "PROPFIND",
    "PROPPATCH", "LOCK", "UNLOCK", "PATCH", "TRACE" }) do
    if ngx["HTTP_" .. name] == id then
      return native.set_method(name)
    end
  end
  error("unsupported HTTP method: " .. tostring(id), 2)
end
function ngx.req.http_version() return native.http_version() end
function ngx.req.start_time() return native.start_time() end
function ngx.req.is_internal() return false end
function ngx.req.raw_header(no_request_line) return native.raw_header(no_request_line) end

function ngx.req.get_uri_args(max)
  return native.decode_args(native.query(), max or 100)
end

function ngx.req.set_uri_args(arguments)
  if type(arguments) == "table" then
    arguments = ngx.encode_args(arguments)
  end
  native.set_query(tostring(arguments))
end

function ngx.req.set_uri(uri)
  if type(uri) ~= "string" or uri == "" then
    error("attempt to use zero-length uri", 2)
  end
  native.set_upstream_path(uri)
end

--- Has the body read; the phases that may not wait find what was read before.
function ngx.req.read_body()
  if native.body_unread() then
    if not before_answer[running.phase] then
      disabled()
    end
    native.yield(native.READ_BODY)
  end
end

function ngx.req.discard_body() end
function ngx.req.get_body_data() return (native.body()) end
function ngx.req.get_body_file() return nil end

function ngx.req.get_post_args(max)
  local body = native.body()
  if not body then
    return {}
  end
  return native.decode_args(body, max or 100)
end

function ngx.req.set_body_data(data) native.set_body(data) end
function ngx.req.set_body_file(path, clean)
  local file, err = io.open(path, "rb")
  if not file then
    error(err, 2)
  end
  native.set_body(file:read("*a"))
  file:close()
  if clean then
    os.remove(path)
  end
end
function ngx.req.init_body() request_table().new_body = {} end
function ngx.req.append_body(data) table.insert(request_table().new_body, data) end
function ngx.req.finish_body() native.set_body(table.concat(request_table().new_body)) end
function ngx.req.socket() return nil, "not supported" end

ngx.resp = {}
function ngx.resp.get_headers(max, raw)
  local headers, err = native.response_headers(max == 0 and 0 or max or 100)
  if not raw then
    setmetatable(headers, header_lookup)
  end
  return headers, err
end
function ngx.resp.add_header(name, value)
  for _, one in ipairs(type(value) == "table" and value or { value }) do
    native.response_add_header(name, tostring(one))
  end
end

-- ngx.header: of the answer; underscores in names stand for dashes.
ngx.header = setmetatable({}, {
  __index = function(_, name)
    return native.response_header((name:gsub("_", "-")))
  end,
  __newindex = function(_, name, value)
    name = name:gsub("_", "-")
    native.response_clear_header(name)
    if value == nil or (type(value) == "table" and #value == 0) then
      return
    end
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      native.response_add_header(name, tostring(one))
    end
  end,
})

-- ngx.var.
local writable = {
  upstream_uri = native.set_upstream_path, upstream_host = function(v) native.request_set_header("host", v) end,
  upstream_scheme = native.set_upstream_scheme, args = native.set_query,
}
ngx.var = setmetatable({}, {
  __index = function(_, name)
    local own = request_table().variables
    if own and own[name] ~= nil then
      return own[name]
    end
    return native.variable(name)
  end,
  __newindex = function(_, name, value)
    local set = writable[name]
    if set then
      return set(value == nil and "" or tostring(value))
    end
    local request = request_table()
    request.variables = request.variables or {}
    request.variables[name] = value ~= nil and tostring(value) or nil
  end,
})

-- What a handler prints becomes the body of an answer.
local function flatten(value, out)
  if type(value) == "table" then
    for _, one in ipairs(value) do
      flatten(one, out)
    end
  else
    out[#out + 1] = value == native.null and "null" or tostring(value)
  end
end

local function write(ending, ...)
  if not before_answer[running.phase] then
    disabled()
  end
  local request = request_table()
  local out = request.out or {}
  request.out = out
  for i = 1, select("#", ...) do
    flatten((select(i, ...)), out)
  end
  out[#out + 1] = ending
  return 1
end

function ngx.print(...) return write("", ...) end
function ngx.say(...) return write("\n", ...) end
function ngx.flush() return 1 end
function ngx.send_headers() return 1 end

--- Ends the handler with an answer: what was printed, or a page of the status.
local function answer(status, body)
  native.reply(status, body, request_table().error_status == status)
  native.yield(native.EXIT)
end

function ngx.eof()
  answer(request_table().status or 200, table.concat(request_table().out or {}))
end

function ngx.exit(status)
  local request = request_table()
  if not before_answer[running.phase] then
    if status >= 200 and running.phase == "header_filter" then
      native.set_status(status)
    end
    native.yield(native.EXIT)
  end
  local out = request.out
  if out then
    return answer(request.status or (status >= 200 and status) or 200, table.concat(out))
  end
  if status >= 200 then
    return answer(request.status or status, nil)
  end
  -- OK, DECLINED: the handler ends, the request goes on.
  native.yield(native.EXIT)
end

function ngx.redirect(uri, status)
  native.response_clear_header("Location")
  native.response_add_header("Location", uri)
  answer(status or 302, nil)
end

function ngx.exec() error("internal redirects do not exist here", 2) end
local function no_subrequests() error("subrequests do not exist here", 2) end
ngx.location = { capture = no_subrequests, capture_multi = no_subrequests }
function ngx.on_abort() return nil, "lua_check_client_abort is off" end

-- ngx.arg in the body filter: the piece and whether it is the last.
ngx.arg = setmetatable({}, {
  __index = function(_, index)
    if index == 1 then
      return native.chunk()
    elseif index == 2 then
      return native.chunk_is_last()
    end
  end,
  __newindex = function(_, index, value)
    if index == 1 then
      if type(value) == "table" then
        local out = {}
        flatten(value, out)
        value = table.concat(out)
      end
      native.set_chunk(value)
    end
  end,
})

-- What lies directly on ngx but depends on the request.
setmetatable(ngx, {
  __index = function(_, name)
    if name == "ctx" then
      return ctx()
    elseif name == "status" then
      if before_answer[running.phase] then
        return request_table().status or 0
      end
      return native.status()
    elseif name == "headers_sent" then
      return running.phase == "body_filter" or running.phase == "log"
    elseif name == "is_subrequest" then
      return false
    end
  end,
  __newindex = function(_, name, value)
    if name == "ctx" then
      request_table().ctx = value
    elseif name == "status" then
      if before_answer[running.phase] then
        request_table().status = tonumber(value)
      else
        native.set_status(tonumber(value))
      end
    else
      rawset(ngx, name, value)
    end
  end,
})
