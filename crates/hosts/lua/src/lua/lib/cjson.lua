-- cjson: raises what is wrong.
local native = ...
local cjson = {
  null = native.null, array_mt = native.array_mt, empty_array_mt = native.array_mt,
  empty_array = setmetatable({}, native.array_mt), _NAME = "cjson", _VERSION = "2.1.0",
}
local as_arrays = false
function cjson.encode(value)
  local text, err = native.json_encode(value)
  if not text then
    error(err, 2)
  end
  return text
end
function cjson.decode(text)
  if type(text) ~= "string" then
    error("bad argument #1 to 'decode' (string expected, got " .. type(text) .. ")", 2)
  end
  local value, err = native.json_decode(text, as_arrays)
  if err then
    error(err, 2)
  end
  return value
end
function cjson.decode_array_with_array_mt(on)
  if on ~= nil then
    as_arrays = on
  end
  return as_arrays
end
for _, name in ipairs({ "encode_sparse_array", "encode_max_depth", "decode_max_depth", "encode_number_precision",
  "encode_keep_buffer", "encode_invalid_numbers", "decode_invalid_numbers", "encode_empty_table_as_object",
  "encode_escape_forward_slash" }) do
  cjson[name] = function(...) return ... end
end
function cjson.new() return cjson end
return cjson
