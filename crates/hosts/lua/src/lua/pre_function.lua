return require("gibbon.functions")("pre-function", 1000000)
