return require("resty.digests")("sha224")
