-- Regular expressions with Perl's semantics. Compiled ones are kept by the native side.
local native = ...
ngx.re = {}

local function check(subject, pattern)
  if type(subject) ~= "string" then
    subject = tostring(subject)
  end
  return subject, tostring(pattern)
end

--- The captures, numbered from 0 and by name; false for a group that took no part.
function ngx.re.match(subject, pattern, options, ctx, into)
  subject, pattern = check(subject, pattern)
  local captures, from, to = native.re_match(subject, pattern, options or "", ctx and ctx.pos or 1)
  if captures == nil then
    return nil, from
  end
  if ctx then
    ctx.pos = to + 1
  end
  if into then
    for k in pairs(into) do into[k] = nil end
    for k, v in pairs(captures) do into[k] = v end
    return into
  end
  return captures
end

function ngx.re.find(subject, pattern, options, ctx, nth)
  subject, pattern = check(subject, pattern)
  local captures, from, to = native.re_match(subject, pattern, options or "", ctx and ctx.pos or 1, nth or 0)
  if captures == nil then
    return nil, nil, from
  end
  if ctx then
    ctx.pos = to + 1
  end
  return from, to
end

function ngx.re.gmatch(subject, pattern, options)
  subject, pattern = check(subject, pattern)
  local ok, err = native.re_check(pattern, options or "")
  if not ok then
    return nil, err
  end
  local at = 1
  return function()
    if at > #subject + 1 then
      return nil
    end
    local captures, from, to = native.re_match(subject, pattern, options or "", at)
    if captures == nil then
      at = #subject + 2
      return nil, from
    end
    at = to < from and from + 1 or to + 1
    return captures
  end
end

-- A replacement: $0, $1, ${1}, $name are captures, $$ is a dollar.
local function replacement(template, captures)
  local out, at = {}, 1
  while true do
    local dollar = template:find("$", at, true)
    if not dollar then
      out[#out + 1] = template:sub(at)
      return table.concat(out)
    end
    out[#out + 1] = template:sub(at, dollar - 1)
    local rest = template:sub(dollar + 1)
    local name = rest:match("^{([%w_]+)}")
    if name then
      at = dollar + #name + 3
    elseif rest:sub(1, 1) == "$" then
      out[#out + 1] = "$"
      at = dollar + 2
    else
      name = rest:match("^%d+") or rest:match("^[%a_][%w_]*")
      if not name then
        return nil, "invalid capturing variable name found in the replacement string"
      end
      at = dollar + #name + 1
    end
    if name then
      local value = captures[tonumber(name) or name]
      out[#out + 1] = value or ""
    end
  end
end

local function substitute(subject, pattern, replace, options, all)
  subject, pattern = check(subject, pattern)
  local out, at, count = {}, 1, 0
  while at <= #subject + 1 do
    local captures, from, to = native.re_match(subject, pattern, options or "", at)
    if captures == nil then
      if from then
        return nil, nil, from
      end
      break
    end
    out[#out + 1] = subject:sub(at, from - 1)
    local text, err
    if type(replace) == "function" then
      text = tostring(replace(captures))
    else
      text, err = replacement(tostring(replace), captures)
      if not text then
        return nil, nil, err
      end
    end
    out[#out + 1] = text
    count = count + 1
    if to < from then
      -- An empty match: one character further.
      out[#out + 1] = subject:sub(from, from)
      at = from + 1
    else
      at = to + 1
    end
    if not all then
      break
    end
  end
  out[#out + 1] = subject:sub(at)
  return table.concat(out), count
end

function ngx.re.sub(subject, pattern, replace, options)
  return substitute(subject, pattern, replace, options, false)
end

function ngx.re.gsub(subject, pattern, replace, options)
  return substitute(subject, pattern, replace, options, true)
end

package.loaded["ngx.re"] = {
  split = function(subject, pattern, options, ctx, max, into)
    local parts = into or {}
    local at, n = ctx and ctx.pos or 1, 0
    local limit = max and max > 0 and max or math.huge
    while n + 1 < limit do
      local captures, from, to = native.re_match(subject, pattern, options or "", at)
      if captures == nil then
        if from then
          return nil, from
        end
        break
      end
      if to < from then
        if from >= #subject then
          break
        end
        from, to = from + 1, from
      end
      n = n + 1
      parts[n] = subject:sub(at, from - 1)
      for i = 1, #captures do
        n = n + 1
        parts[n] = captures[i]
      end
      at = to + 1
    end
    local rest = subject:sub(at)
    if rest ~= "" or n == 0 then
      parts[n + 1] = rest
    end
    return parts
  end,
  opt = function() end,
}
