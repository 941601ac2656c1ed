-- kong.client, kong.router, kong.ip: who asks, and what was matched.
local native = ...

local phases = { "certificate", "rewrite", "access", "header_filter", "response", "body_filter", "log", "preread" }
local known = { "access", "header_filter", "response", "body_filter", "log", "preread" }

local client = native.guarded(phases, {
  get_ip = native.peer_ip, get_forwarded_ip = native.client_ip, get_port = native.peer_port,
  get_forwarded_port = native.client_port,
})
kong.client = client

local in_known = native.only_in(known)

function client.get_credential()
  in_known()
  local given = native.request_table().credential
  if given ~= nil then
    return given or nil
  end
  return native.credential()
end

function client.get_consumer()
  in_known()
  return native.consumer()
end

function client.load_consumer(id, by_username)
  in_known()
  if type(id) ~= "string" then
    error("consumer_id must be a string", 2)
  end
  if not by_username and not native.is_uuid(id) then
    error("cannot load a consumer with an id that is not a uuid", 2)
  end
  return native.load_consumer(id, by_username and true or false)
end

local in_access = native.only_in({ "access" })
function client.authenticate(consumer, credential)
  in_access()
  if consumer ~= nil and type(consumer) ~= "table" then
    error("consumer must be a table or nil", 2)
  end
  if credential ~= nil and type(credential) ~= "table" then
    error("credential must be a table or nil", 2)
  end
  if consumer == nil and credential == nil then
    error("either credential or consumer must be provided", 2)
  end
  native.request_table().credential = credential or false
  native.authenticate(consumer, credential)
end

function client.get_protocol(allow_terminated)
  in_known()
  local protocol = native.protocol()
  if allow_terminated and native.forwarded_scheme() == "https" then
    protocol = ({ http = "https", grpc = "grpcs" })[protocol] or protocol
  end
  return protocol
end

client.tls = {
  get_full_client_certificate_chain = function()
    native.only_in({ "rewrite", "access", "balancer", "header_filter", "body_filter", "log" })()
    return native.client_chain()
  end,
  set_client_verify = function(result)
    native.only_in({ "rewrite", "access", "balancer" })()
    if type(result) ~= "string" then
      error("value must be a string", 2)
    end
    if result ~= "SUCCESS" and result ~= "NONE" and result:sub(1, 7) ~= "FAILED:" then
      error("unknown client verify value: " .. result, 2)
    end
    native.set_client_verify(result)
  end,
  request_client_certificate = function()
    native.only_in({ "certificate" })()
    if not native.request_client_certificate() then
      return nil, "connection is not TLS or TLS support for Nginx not enabled"
    end
    return true
  end,
  disable_session_reuse = function()
    native.only_in({ "certificate" })()
    if not native.disable_session_reuse() then
      return nil, "connection is not TLS or TLS support for Nginx not enabled"
    end
    return true
  end,
}

kong.router = native.guarded(known, { get_route = native.route, get_service = native.service })
-- The networks of trusted_ips, read when first asked for.
local trusted
kong.ip = {
  is_trusted = function(address)
    if type(address) ~= "string" then
      error("address must be a string", 2)
    end
    if not trusted then
      local networks = {}
      for _, network in ipairs(kong.configuration.trusted_ips or {}) do
        if network ~= "unix:" then
          networks[#networks + 1] = network
        end
      end
      trusted = native.networks(networks) or native.networks({})
    end
    return (native.networks_find(trusted, address) or false) ~= false
  end,
}
