return require("resty.digests")("sha512")
