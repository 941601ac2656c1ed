return require("resty.digests")("md5")
