return require("resty.digests")("sha1")
