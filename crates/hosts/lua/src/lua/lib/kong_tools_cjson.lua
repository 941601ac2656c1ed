-- kong.tools.cjson.
local cjson = require("cjson.safe")
return { decode_with_array_mt = function(text) return cjson.decode(text) end, encode = cjson.encode, array_mt = cjson.array_mt }
