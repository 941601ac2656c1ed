return require("gibbon.functions")("post-function", -1000)
