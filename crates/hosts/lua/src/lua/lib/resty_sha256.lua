return require("resty.digests")("sha256")
