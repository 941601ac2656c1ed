-- Signs what goes upstream.
local hmac = require "resty.hmac"
local RequestSigner = { PRIORITY = 50, VERSION = "1.0.0" }

function RequestSigner:access(conf)
  local digest = hmac:new(conf.secret, hmac.ALGOS.SHA256)
  digest:update(kong.request.get_method() .. "\n" .. kong.request.get_path() .. "\n")
  digest:update(kong.request.get_raw_body() or "")
  kong.service.request.set_header("X-Signature", ngx.encode_base64(digest:final()))
end

return RequestSigner
