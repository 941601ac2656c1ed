//! Listeners, TLS, headers, and the nginx directives that can be injected.

use super::Default::{Is, Unset};
use super::Effect::{Honoured, NoEffect};
use super::Kind::{Choice, Flag, List, Number, Size, Text, Time};

const NO_DEBUG_LISTENER: &str = "there is no separate debug listener; the Admin API serves /debug";

super::settings! { "NGINX":
    proxy_listen: List, Is("0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl reuseport backlog=16384"), Honoured, "Listeners for HTTP traffic, or off.";
    proxy_url: Text, Unset, NoEffect("only the console of the enterprise edition shows it"), "Address of the proxy as clients see it.";
    stream_listen: List, Is("off"), Honoured, "Listeners for TCP, TLS and UDP traffic, or off.";
    admin_api_uri: Text, Unset, NoEffect("use admin_gui_api_url"), "Former name of admin_gui_api_url.";
    admin_listen: List, Is("127.0.0.1:8001 reuseport backlog=16384, 127.0.0.1:8444 http2 ssl reuseport backlog=16384"), Honoured, "Listeners of the Admin API, or off.";
    status_listen: List, Is("127.0.0.1:8007 reuseport backlog=16384"), Honoured, "Listeners of the Status API, or off.";
    debug_listen: List, Is("off"), NoEffect(NO_DEBUG_LISTENER), "Listeners of the debug API.";
    debug_listen_local: Flag, Is("on"), NoEffect(NO_DEBUG_LISTENER), "Serve the debug API on a Unix socket.";
    nginx_user: Text, Is("kong kong"), Honoured, "User and group to become when started as root.";
    nginx_worker_processes: Text, Is("auto"), Honoured, "Number of workers; auto takes one per core.";
    nginx_daemon: Flag, Is("on"), Honoured, "Whether start goes to the background.";
    mem_cache_size: Size, Is("128m"), NoEffect("the configuration is held whole in memory, so no cache of it needs a size"), "Memory of each of the two entity caches.";
    lru_cache_size: Number, Is("500000"), NoEffect("the configuration is held whole in memory, so no cache of it needs a size"), "Entries of each worker's entity cache.";
    consumers_mem_cache_size: Size, Is("128m"), NoEffect("the configuration is held whole in memory, so no cache of it needs a size"), "Memory of the consumer cache.";
    ssl_cipher_suite: Choice(&["modern", "intermediate", "old", "fips", "custom"]), Is("intermediate"), Honoured, "Named set of protocols and ciphers for client connections.";
    ssl_ciphers: Text, Unset, Honoured, "Ciphers in OpenSSL's names, used when ssl_cipher_suite is custom.";
    ssl_protocols: Text, Is("TLSv1.2 TLSv1.3"), Honoured, "TLS versions for client connections, used when ssl_cipher_suite is custom.";
    ssl_prefer_server_ciphers: Flag, Is("on"), Honoured, "Whether the server's order of ciphers decides, used when ssl_cipher_suite is custom.";
    ssl_dhparam: Text, Unset, NoEffect("key exchange uses elliptic curves only; finite-field Diffie-Hellman is not offered"), "Diffie-Hellman parameters.";
    ssl_session_tickets: Flag, Is("on"), Honoured, "Resume TLS sessions by ticket.";
    ssl_session_timeout: Time, Is("1d"), Honoured, "How long a TLS session may be resumed.";
    ssl_session_cache_size: Size, Is("10m"), Honoured, "Memory for resumable TLS sessions.";
    ssl_cert: List, Unset, Honoured, "Default certificates of the proxy: paths, PEM or base64; self-signed ones are made if unset.";
    ssl_cert_key: List, Unset, Honoured, "Their private keys, in the same order.";
    client_ssl: Flag, Is("off"), Honoured, "Present a client certificate to upstreams.";
    client_ssl_cert: Text, Unset, Honoured, "That certificate: path, PEM or base64.";
    client_ssl_cert_key: Text, Unset, Honoured, "Its private key.";
    admin_ssl_cert: List, Unset, Honoured, "Certificates of the Admin API.";
    admin_ssl_cert_key: List, Unset, Honoured, "Their private keys.";
    status_ssl_cert: List, Unset, Honoured, "Certificates of the Status API.";
    status_ssl_cert_key: List, Unset, Honoured, "Their private keys.";
    debug_ssl_cert: List, Unset, NoEffect(NO_DEBUG_LISTENER), "Certificates of the debug API.";
    debug_ssl_cert_key: List, Unset, NoEffect(NO_DEBUG_LISTENER), "Their private keys.";
    headers: List, Is("server_tokens, latency_tokens, X-Kong-Request-Id"), Honoured, "Response headers the gateway adds: off, groups, or names.";
    headers_upstream: List, Is("X-Kong-Request-Id"), Honoured, "Request headers the gateway adds towards upstreams: off or X-Kong-Request-Id.";
    trusted_ips: List, Unset, Honoured, "Peers whose X-Forwarded-* headers and client address are believed: addresses, CIDR blocks, unix:.";
    real_ip_header: Text, Is("X-Real-IP"), Honoured, "Header (or proxy_protocol) that carries the client address from trusted peers.";
    real_ip_recursive: Flag, Is("off"), Honoured, "Skip trusted addresses from the right in that header.";
    error_default_type: Choice(&["application/json", "application/xml", "text/html", "text/plain"]), Is("text/plain"), Honoured, "Form of generated errors when the client states no preference.";
    upstream_keepalive_pool_size: Number, Is("512"), Honoured, "Idle upstream connections kept per pool and worker; 0 keeps none.";
    upstream_keepalive_max_requests: Number, Is("10000"), Honoured, "Requests over one upstream connection; 0 is unlimited.";
    upstream_keepalive_idle_timeout: Number, Is("60"), Honoured, "Seconds an idle upstream connection is kept; 0 is unlimited.";
    allow_debug_header: Flag, Is("off"), Honoured, "Answer the Kong-Debug request header with the matched route and service.";
}

pub(super) mod injected {
    //! Directives that Kong passes on to nginx and that have defaults of their own.
    use super::super::Default::Is;
    use super::super::Effect::{Honoured, NoEffect, Pending};
    use super::super::Kind::{Number, Size, Text};
    use super::super::reason;
    super::super::settings! { "NGINX injected directives":
        nginx_main_worker_rlimit_nofile: Text, Is("auto"), Honoured, "Open files the process may hold; auto raises the limit as far as allowed.";
        nginx_events_worker_connections: Text, Is("auto"), Honoured, "Connections per worker; auto follows the limit of open files.";
        nginx_http_client_header_buffer_size: Size, Is("1k"), Honoured, "First buffer for a request head.";
        nginx_http_large_client_header_buffers: Text, Is("4 8k"), Honoured, "Number and size of the buffers for large heads; larger heads are refused.";
        nginx_http_client_max_body_size: Size, Is("0"), Honoured, "Largest request body of the proxy; 0 is unlimited.";
        nginx_admin_client_max_body_size: Size, Is("10m"), Honoured, "Largest request body of the Admin API.";
        nginx_http_charset: Text, Is("UTF-8"), Honoured, "Character set named in generated text answers.";
        nginx_http_client_body_buffer_size: Size, Is("8k"), Honoured, "Request body kept in memory before it goes to a temporary file.";
        nginx_admin_client_body_buffer_size: Size, Is("10m"), Pending("bodies of the Admin API are always held in memory"), "The same for the Admin API.";
        nginx_http_lua_regex_match_limit: Number, Is("100000"), Pending(reason::LUA), "Backtracking steps a Lua regular expression may take.";
        nginx_http_lua_regex_cache_max_entries: Number, Is("8192"), NoEffect("compiled expressions are cached per worker with a bound of its own"), "Compiled Lua regular expressions kept.";
        nginx_http_keepalive_requests: Number, Is("10000"), Honoured, "Requests over one client connection.";
    }
}
