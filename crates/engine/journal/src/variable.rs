//! nginx's variables, and what a caller must tell of a request so that they can be written.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A variable of a format. Names are nginx's and Kong's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is nginx's variable of the same name")]
pub enum Variable {
    Args,
    BodyBytesSent,
    BytesReceived,
    BytesSent,
    Connection,
    ConnectionRequests,
    ContentLength,
    ContentType,
    Host,
    Hostname,
    Https,
    IsArgs,
    KongRequestId,
    OtelSpanId,
    OtelTraceId,
    Msec,
    Pid,
    Pipe,
    Protocol,
    ProxyProtocolAddr,
    ProxyProtocolPort,
    RealipRemoteAddr,
    RealipRemotePort,
    RemoteAddr,
    RemotePort,
    RemoteUser,
    Request,
    RequestCompletion,
    RequestLength,
    RequestMethod,
    RequestTime,
    RequestUri,
    Scheme,
    ServerAddr,
    ServerName,
    ServerPort,
    ServerProtocol,
    SessionTime,
    SslCipher,
    SslClientSDn,
    SslClientVerify,
    SslProtocol,
    SslServerName,
    SslSessionReused,
    Status,
    TimeIso8601,
    TimeLocal,
    UpstreamAddr,
    UpstreamBytesReceived,
    UpstreamBytesSent,
    UpstreamConnectTime,
    UpstreamFirstByteTime,
    UpstreamHeaderTime,
    UpstreamHost,
    UpstreamResponseLength,
    UpstreamResponseTime,
    UpstreamScheme,
    UpstreamStatus,
    UpstreamUri,
    Uri,
    /// `$arg_NAME`
    Arg(Box<str>),
    /// `$cookie_NAME`
    Cookie(Box<str>),
    /// `$http_NAME`, with the name as a header: lower case and `-`.
    Http(Box<str>),
    /// `$sent_http_NAME`, likewise.
    SentHttp(Box<str>),
    /// `$sent_trailer_NAME`, likewise.
    SentTrailer(Box<str>),
    /// `$upstream_http_NAME`, likewise.
    UpstreamHttp(Box<str>),
}

impl Variable {
    /// The variable of a name without its `$`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let header = |name: &str| Some(name.replace('_', "-").to_ascii_lowercase().into_boxed_str());
        let named = |prefix: &str| name.strip_prefix(prefix).filter(|rest| !rest.is_empty());
        if let Some(rest) = named("sent_http_") {
            return header(rest).map(Self::SentHttp);
        }
        if let Some(rest) = named("sent_trailer_") {
            return header(rest).map(Self::SentTrailer);
        }
        if let Some(rest) = named("upstream_http_") {
            return header(rest).map(Self::UpstreamHttp);
        }
        if let Some(rest) = named("http_") {
            return header(rest).map(Self::Http);
        }
        if let Some(rest) = named("arg_") {
            return Some(Self::Arg(rest.into()));
        }
        if let Some(rest) = named("cookie_") {
            return Some(Self::Cookie(rest.into()));
        }
        Self::simple(name)
    }

    fn simple(name: &str) -> Option<Self> {
        Some(match name {
            "args" | "query_string" => Self::Args,
            "body_bytes_sent" => Self::BodyBytesSent,
            "bytes_received" => Self::BytesReceived,
            "bytes_sent" => Self::BytesSent,
            "connection" => Self::Connection,
            "connection_requests" => Self::ConnectionRequests,
            "content_length" => Self::ContentLength,
            "content_type" => Self::ContentType,
            "host" => Self::Host,
            "hostname" => Self::Hostname,
            "https" => Self::Https,
            "is_args" => Self::IsArgs,
            "kong_request_id" | "request_id" => Self::KongRequestId,
            "otel_span_id" => Self::OtelSpanId,
            "otel_trace_id" => Self::OtelTraceId,
            "msec" => Self::Msec,
            "pid" => Self::Pid,
            "pipe" => Self::Pipe,
            "protocol" => Self::Protocol,
            "proxy_protocol_addr" => Self::ProxyProtocolAddr,
            "proxy_protocol_port" => Self::ProxyProtocolPort,
            "realip_remote_addr" => Self::RealipRemoteAddr,
            "realip_remote_port" => Self::RealipRemotePort,
            "remote_addr" => Self::RemoteAddr,
            "remote_port" => Self::RemotePort,
            "remote_user" => Self::RemoteUser,
            "request" => Self::Request,
            "request_completion" => Self::RequestCompletion,
            "request_length" => Self::RequestLength,
            "request_method" => Self::RequestMethod,
            "request_time" => Self::RequestTime,
            "request_uri" => Self::RequestUri,
            "scheme" => Self::Scheme,
            "server_addr" => Self::ServerAddr,
            "server_name" => Self::ServerName,
            "server_port" => Self::ServerPort,
            "server_protocol" => Self::ServerProtocol,
            "session_time" => Self::SessionTime,
            "ssl_cipher" => Self::SslCipher,
            "ssl_client_s_dn" => Self::SslClientSDn,
            "ssl_client_verify" => Self::SslClientVerify,
            "ssl_protocol" => Self::SslProtocol,
            "ssl_server_name" | "ssl_preread_server_name" => Self::SslServerName,
            "ssl_session_reused" => Self::SslSessionReused,
            "status" => Self::Status,
            "time_iso8601" => Self::TimeIso8601,
            "time_local" => Self::TimeLocal,
            "upstream_addr" => Self::UpstreamAddr,
            "upstream_bytes_received" => Self::UpstreamBytesReceived,
            "upstream_bytes_sent" => Self::UpstreamBytesSent,
            "upstream_connect_time" => Self::UpstreamConnectTime,
            "upstream_first_byte_time" => Self::UpstreamFirstByteTime,
            "upstream_header_time" => Self::UpstreamHeaderTime,
            "upstream_host" => Self::UpstreamHost,
            "upstream_response_length" => Self::UpstreamResponseLength,
            "upstream_response_time" | "upstream_session_time" => Self::UpstreamResponseTime,
            "upstream_scheme" => Self::UpstreamScheme,
            "upstream_status" => Self::UpstreamStatus,
            "upstream_uri" => Self::UpstreamUri,
            "uri" | "document_uri" => Self::Uri,
            _ => return None,
        })
    }
}

/// The value of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// There is none.
    Unset,
    /// Text.
    Text(&'a [u8]),
    /// A count or identifier.
    Number(u64),
    /// Milliseconds, written as seconds with three decimals.
    Milliseconds(u64),
    /// An address; the unspecified one stands for a Unix socket.
    Address(IpAddr),
}

/// Where a try went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TryAddress {
    /// An address and port.
    Ip(SocketAddr),
    /// A Unix socket.
    Unix(Arc<str>),
    /// Nowhere: no target could be chosen. The name of the upstream.
    None(Arc<str>),
}

/// One try of sending a request upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// Where it went.
    pub address: TryAddress,
    /// Status answered, or the one the failure stands for (502, 504).
    pub status: Option<u16>,
    /// Milliseconds until connected.
    pub connect_ms: Option<u64>,
    /// Milliseconds until the answer's head.
    pub header_ms: Option<u64>,
    /// Milliseconds until the answer's end.
    pub response_ms: Option<u64>,
    /// Bytes of the answer's body.
    pub response_length: Option<u64>,
    /// Bytes sent.
    pub bytes_sent: Option<u64>,
    /// Bytes received.
    pub bytes_received: Option<u64>,
}

/// What a line asks of a request. Times of day, process and host are known to the journal itself.
pub trait Variables {
    /// Milliseconds since 1970 at which the request ended; it becomes the line's time.
    fn ended_at(&self) -> u64;

    /// Any variable that is not a header, an argument, a cookie, a time of day or about upstream tries.
    fn value(&self, variable: &Variable) -> Value<'_>;

    /// Every value of a request header; the name is in lower case.
    fn request_header(&self, name: &str, each: &mut dyn FnMut(&[u8]));

    /// Every value of a response header sent.
    fn response_header(&self, name: &str, each: &mut dyn FnMut(&[u8]));

    /// Every value of a response trailer sent.
    fn response_trailer(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        let _ = (name, each);
    }

    /// Every value of a header as the upstream sent it.
    fn upstream_header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        let _ = (name, each);
    }

    /// Tries in order.
    fn tries(&self) -> &[Try];
}
