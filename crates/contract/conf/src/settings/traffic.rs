//! What clients meet: listeners, limits, headers, trusted peers, error pages, and how upstream connections are kept.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::inject::parse_buffers;
use crate::listen::{self, Listener, Subsystem};
use crate::origin::Fault;
use crate::settings::Builder;
use crate::units::{digits_only, parse_time};

/// All listeners.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listeners {
    /// HTTP traffic.
    pub proxy: Vec<Listener>,
    /// TCP, TLS and UDP traffic.
    pub stream: Vec<Listener>,
    /// Admin API.
    pub admin: Vec<Listener>,
    /// Status API.
    pub status: Vec<Listener>,
    /// Console.
    pub admin_gui: Vec<Listener>,
    /// Data planes.
    pub cluster: Vec<Listener>,
}

impl Listeners {
    pub(crate) fn build(b: &mut Builder<'_>) -> Self {
        let mut read = |name: &str, subsystem| match listen::parse(&b.values.list(name), subsystem) {
            Ok(listeners) => listeners,
            Err(usage) => {
                b.faults.push(Fault::new(format!("{name} {usage}")).at(&b.values.origin(name)));
                Vec::new()
            }
        };
        Self {
            proxy: read("proxy_listen", Subsystem::Http),
            stream: read("stream_listen", Subsystem::Stream),
            admin: read("admin_listen", Subsystem::Http),
            status: read("status_listen", Subsystem::Http),
            admin_gui: read("admin_gui_listen", Subsystem::Http),
            cluster: read("cluster_listen", Subsystem::Http),
        }
    }

    /// Whether any of some listeners speaks TLS.
    #[must_use]
    pub fn any_tls(listeners: &[Listener]) -> bool {
        listeners.iter().any(|listener| listener.ssl)
    }
}

/// Published ports by listening port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortMaps {
    published: BTreeMap<u16, u16>,
}

impl PortMaps {
    pub(crate) fn build(b: &mut Builder<'_>) -> Self {
        let port = |text: &str| digits_only(text).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
        let mut published = BTreeMap::new();
        for pair in b.values.list("port_maps") {
            let ports = pair.split_once(':').and_then(|(host, kong)| Some((port(host.trim())?, port(kong.trim())?)));
            match ports {
                Some((host, kong)) => {
                    published.insert(kong, host);
                }
                None => b.fault("port_maps", format!("invalid port mapping (`port_maps`): {pair}")),
            }
        }
        Self { published }
    }

    /// The port clients use to reach a listening port.
    #[must_use]
    pub fn published(&self, listening: u16) -> u16 {
        self.published.get(&listening).copied().unwrap_or(listening)
    }

    /// Pairs of listening and published port.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u16)> {
        self.published.iter().map(|(listening, published)| (*listening, *published))
    }
}

/// Buffers for request heads that outgrow the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderBuffers {
    /// How many.
    pub number: u32,
    /// Bytes of each; also the longest request line and header field.
    pub size: u64,
}

/// Limits for clients of one set of listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLimits {
    /// First buffer for a head, in bytes.
    pub header_buffer_size: u64,
    /// Further buffers.
    pub large_header_buffers: HeaderBuffers,
    /// Largest body in bytes; `None` is unlimited.
    pub max_body_size: Option<u64>,
    /// Body bytes kept in memory before the rest goes to a file.
    pub body_buffer_size: u64,
    /// Time for a whole head.
    pub header_timeout: Duration,
    /// Time between two reads of a body.
    pub body_timeout: Duration,
    /// Time between two writes of an answer.
    pub send_timeout: Duration,
    /// Time an idle connection is kept; zero closes after each answer.
    pub keepalive_timeout: Duration,
    /// Value of the `Keep-Alive: timeout=` header, when asked for.
    pub keepalive_header: Option<Duration>,
    /// Requests over one connection.
    pub keepalive_requests: u64,
    /// Age at which a connection is closed after its current request.
    pub keepalive_time: Duration,
}

impl ClientLimits {
    pub(crate) fn of_the_proxy(b: &Builder<'_>) -> Self {
        Self::of(b, &["location", "proxy", "http"])
    }

    pub(crate) fn of_the_admin_api(b: &Builder<'_>) -> Self {
        Self::of(b, &["admin", "http"])
    }

    fn of(b: &Builder<'_>, contexts: &[&str]) -> Self {
        let minute = Duration::from_secs(60);
        let buffers = b.directive(contexts, "large_client_header_buffers").and_then(parse_buffers);
        let (number, size) = buffers.unwrap_or((4, 8192));
        let keepalive = b.directive(contexts, "keepalive_timeout").unwrap_or("75s");
        let mut keepalive = keepalive.split_ascii_whitespace().map(parse_time);
        Self {
            header_buffer_size: b.directive_size(contexts, "client_header_buffer_size", 1024),
            large_header_buffers: HeaderBuffers { number, size },
            max_body_size: Some(b.directive_size(contexts, "client_max_body_size", 1 << 20)).filter(|size| *size > 0),
            body_buffer_size: b.directive_size(contexts, "client_body_buffer_size", 8192),
            header_timeout: b.directive_time(contexts, "client_header_timeout", minute),
            body_timeout: b.directive_time(contexts, "client_body_timeout", minute),
            send_timeout: b.directive_time(contexts, "send_timeout", minute),
            keepalive_timeout: keepalive.next().flatten().unwrap_or(Duration::from_secs(75)),
            keepalive_header: keepalive.next().flatten(),
            keepalive_requests: b.directive(contexts, "keepalive_requests").and_then(digits_only).unwrap_or(1000),
            keepalive_time: b.directive_time(contexts, "keepalive_time", Duration::from_secs(3600)),
        }
    }
}

/// How upstream connections are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamKeepalive {
    /// Idle connections per pool and worker; 0 keeps none.
    pub pool_size: usize,
    /// Requests over one connection; `None` is unlimited.
    pub max_requests: Option<u64>,
    /// Time an idle connection is kept; `None` is unlimited.
    pub idle_timeout: Option<Duration>,
}

impl UpstreamKeepalive {
    pub(crate) fn build(b: &Builder<'_>) -> Self {
        Self {
            pool_size: b.values.whole("upstream_keepalive_pool_size").unwrap_or(512),
            max_requests: b.values.whole("upstream_keepalive_max_requests").filter(|n| *n > 0),
            idle_timeout: b.seconds("upstream_keepalive_idle_timeout").filter(|time| !time.is_zero()),
        }
    }
}

/// Response headers the gateway adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct HeaderTokens {
    /// `Via`.
    pub via: bool,
    /// `Server`, on answers of the gateway itself.
    pub server: bool,
    /// `X-Kong-Proxy-Latency`.
    pub proxy_latency: bool,
    /// `X-Kong-Response-Latency`.
    pub response_latency: bool,
    /// `X-Kong-Admin-Latency`.
    pub admin_latency: bool,
    /// `X-Kong-Upstream-Latency`.
    pub upstream_latency: bool,
    /// `X-Kong-Upstream-Status`.
    pub upstream_status: bool,
    /// `X-Kong-Request-Id`.
    pub request_id: bool,
}

impl HeaderTokens {
    pub(crate) fn build(b: &mut Builder<'_>) -> Self {
        let tokens = b.values.list("headers");
        let mut on = Self::default();
        let silent = tokens.first().is_some_and(|first| first == "off");
        for token in &tokens {
            let mut read = on;
            if token != "off" && !read.switch_on(token) {
                b.fault("headers", format!("headers: invalid entry '{token}'"));
            } else if !silent {
                on = read;
            }
        }
        on
    }

    fn switch_on(&mut self, token: &str) -> bool {
        match token.to_ascii_lowercase().as_str() {
            "server_tokens" => {
                self.via = true;
                self.server = true;
            }
            "latency_tokens" => {
                self.proxy_latency = true;
                self.response_latency = true;
                self.admin_latency = true;
                self.upstream_latency = true;
            }
            "via" => self.via = true,
            "server" => self.server = true,
            "x-kong-proxy-latency" => self.proxy_latency = true,
            "x-kong-response-latency" => self.response_latency = true,
            "x-kong-admin-latency" => self.admin_latency = true,
            "x-kong-upstream-latency" => self.upstream_latency = true,
            "x-kong-upstream-status" => self.upstream_status = true,
            "x-kong-request-id" => self.request_id = true,
            _ => return false,
        }
        true
    }
}

pub(crate) fn request_id_upstream(b: &mut Builder<'_>) -> bool {
    let tokens = b.values.list("headers_upstream");
    for token in &tokens {
        if token != "off" && !token.eq_ignore_ascii_case("x-kong-request-id") {
            b.fault("headers_upstream", format!("headers_upstream: invalid entry '{token}'"));
        }
    }
    tokens.first().is_some_and(|first| first != "off")
}

/// A set of addresses, and whether Unix sockets belong to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedPeers {
    /// Address blocks.
    pub blocks: Vec<IpNet>,
    /// Peers on Unix sockets.
    pub unix: bool,
}

impl TrustedPeers {
    /// Whether an address belongs to the set. IPv4 in IPv6 form counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.blocks.iter().any(|block| block.contains(&address))
    }

    /// Whether nobody belongs to the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && !self.unix
    }

    fn add(&mut self, text: &str) -> bool {
        if text == "unix:" {
            self.unix = true;
            return true;
        }
        let block = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        self.blocks.extend(block.map(|block| block.trunc()));
        block.is_some()
    }
}

/// Where the client's address is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RealIpSource {
    /// A request header, in lower case.
    Header(String),
    /// The head of the PROXY protocol.
    ProxyProtocol,
}

/// Peers believed about the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealIp {
    /// Peers whose `X-Forwarded-*` are kept (`trusted_ips`).
    pub trusted: TrustedPeers,
    /// Peers that may name the client's address: the trusted ones and injected `set_real_ip_from`.
    pub naming: TrustedPeers,
    /// Where they name it.
    pub source: RealIpSource,
    /// Skip trusted addresses from the right.
    pub recursive: bool,
}

impl RealIp {
    pub(crate) fn build(b: &mut Builder<'_>) -> Self {
        let mut trusted = TrustedPeers::default();
        for peer in b.values.list("trusted_ips").iter().filter(|peer| !peer.is_empty()) {
            if !trusted.add(peer) {
                let message = format!(
                    "trusted_ips must be a comma separated list in the form of IPv4 or IPv6 address or CIDR block or \
                     'unix:', got '{peer}'"
                );
                b.fault("trusted_ips", message);
            }
        }
        let mut naming = trusted.clone();
        for context in ["http", "proxy"] {
            for directive in b.injected.every(context, "set_real_ip_from") {
                if !naming.add(&directive.value) {
                    b.faults.push(
                        Fault::new(format!(
                            "nginx_{context}_set_real_ip_from has an invalid value: '{}'",
                            directive.value
                        ))
                        .at(&directive.origin)
                        .valid("an IPv4 or IPv6 address, a CIDR block, or unix:"),
                    );
                }
            }
        }
        let header = b.values.text("real_ip_header").unwrap_or("X-Real-IP");
        let source = match header {
            "proxy_protocol" => RealIpSource::ProxyProtocol,
            header => RealIpSource::Header(header.to_ascii_lowercase()),
        };
        if !header.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)) {
            let message = format!("real_ip_header has an invalid value: '{header}' (a header's name, proxy_protocol)");
            b.fault("real_ip_header", message);
        }
        Self { trusted, naming, source, recursive: b.values.flag("real_ip_recursive") }
    }
}

/// Generated errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPages {
    /// Media type when the client states no preference.
    pub default_type: String,
    /// Template file for HTML.
    pub html: Option<PathBuf>,
    /// Template file for JSON.
    pub json: Option<PathBuf>,
    /// Template file for XML.
    pub xml: Option<PathBuf>,
    /// Template file for plain text.
    pub plain: Option<PathBuf>,
}

impl ErrorPages {
    pub(crate) fn build(b: &mut Builder<'_>) -> Self {
        let mut template = |name| {
            let path = b.values.text(name).map(PathBuf::from);
            if path.as_ref().is_some_and(|path| !b.surroundings.exists(path)) {
                b.fault(name, format!("{name}: file does not exist"));
            }
            path
        };
        Self {
            html: template("error_template_html"),
            json: template("error_template_json"),
            xml: template("error_template_xml"),
            plain: template("error_template_plain"),
            default_type: b.values.text("error_default_type").unwrap_or("text/plain").to_owned(),
        }
    }
}
