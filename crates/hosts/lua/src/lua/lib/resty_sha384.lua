return require("resty.digests")("sha384")
