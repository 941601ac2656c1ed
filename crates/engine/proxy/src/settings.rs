//! What the request path needs of the node's settings, in the units it computes with. The binary
//! fills it in from `conf`; nothing here reads a file or an environment.

use std::path::PathBuf;
use std::time::Duration;

use gibbon_pdk::TlsFacts;
use uuid::Uuid;

use crate::error_body::Templates;
use crate::real_ip::RealIp;
use crate::request_headers::RequestHeaderRules;
use crate::response_headers::ResponseHeaderRules;

/// A text that is not to be shown, not even among settings.
#[derive(Clone)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Settings of the HTTP request path.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// The default workspace, to which a request belongs until it has a route.
    pub workspace: Uuid,
    /// As in Server and Via.
    pub server_token: String,
    pub request_headers: RequestHeaderRules,
    pub response_headers: ResponseHeaderRules,
    pub real_ip: RealIp,
    pub templates: Templates,
    /// `error_default_type`.
    pub error_default: crate::error_body::Form,
    /// `nginx_http_charset`.
    pub charset: Option<String>,
    /// Published port by listening port (`port_maps`).
    pub port_maps: Vec<(u16, u16)>,
    /// Largest request body, 0 for any (`client_max_body_size`).
    pub max_body: u64,
    /// Bytes of a request body kept in memory before it goes to a file (`client_body_buffer_size`).
    pub body_buffer: usize,
    /// Where such files lie; they have no name and vanish with their descriptor.
    pub body_dir: PathBuf,
    /// Largest upstream answer that is buffered for a `response` phase.
    pub max_buffered_response: usize,
    /// Whether stream upstreams are sent a PROXY protocol header (`nginx_sproxy_proxy_protocol`).
    pub stream_proxy_protocol: bool,
    /// Whether Kong-Debug is honoured (`allow_debug_header`).
    pub debug_header: bool,
    /// What clients elsewhere must show to learn where their request's time went (`request_debug_token`); `None` where
    /// nobody learns it (`request_debug`).
    pub request_debug: Option<Secret>,
    pub upstream: UpstreamSettings,
}

/// Settings of the upstream side.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    pub pool_size: usize,
    pub pool_requests: u64,
    pub pool_idle: Duration,
    /// Largest answer head (`proxy_buffer_size`, with room as nginx's larger buffers give).
    pub max_head: usize,
    /// PEM bundle to verify upstreams with; `None` is the system's.
    pub trusted_authorities: Option<String>,
    /// Default of `tls_verify`.
    pub tls_verify: bool,
    pub tls_verify_depth: u8,
    /// Certificate and key (PEM) presented where an entity names none (`client_ssl`).
    pub client_certificate: Option<(String, String)>,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        UpstreamSettings {
            pool_size: 512,
            pool_requests: 10_000,
            pool_idle: Duration::from_secs(60),
            max_head: 64 * 1024,
            trusted_authorities: None,
            tls_verify: false,
            tls_verify_depth: 1,
            client_certificate: None,
        }
    }
}

/// What is known of a client connection before its first request.
#[derive(Clone, Debug)]
pub struct ConnectionFacts {
    pub client: gibbon_pdk::Client,
    /// The connection came over a Unix socket.
    pub over_unix: bool,
    pub tls: Option<std::rc::Rc<TlsFacts>>,
    /// The status that answers whatever the client asks, because its certificate is not accepted.
    pub refused: Option<u16>,
}
