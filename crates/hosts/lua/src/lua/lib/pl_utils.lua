-- pl.utils.
local stringx = require("pl.stringx")
return {
  split = stringx.split, unpack = unpack, pack = function(...) return { n = select("#", ...), ... } end,
  choose = function(c, a, b) if c then return a end return b end,
  readfile = function(path) local f, e = io.open(path) if not f then return nil, e end local s = f:read("*a") f:close() return s end,
  is_callable = function(f) return type(f) == "function" end,
}
