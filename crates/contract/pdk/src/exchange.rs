//! One request and its answer, from the first byte to the log: the record that every phase reads
//! and changes. The engine keeps exchanges in a free list, so [`Exchange::clear`] keeps memory.

use std::any::{Any, TypeId};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gibbon_message::{Headers, RequestHead, ResponseHead, Scheme};
use serde_json::Value;
use smallvec::SmallVec;
use uuid::Uuid;

use crate::{
    AttemptSource, BodyTransformer, CertificatePem, Consumer, ConsumerGroup, Credential, Protocol, Protocols,
    RequestBody, Route, Service, Trace,
};

/// The workspace that is always there.
const DEFAULT_WORKSPACE: &str = "default";

/// 128 random bits, shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestId(pub [u8; 16]);

impl RequestId {
    /// Reads what [`hex`](Self::hex) wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
        Some(RequestId(number.to_be_bytes()))
    }

    /// The 32 digits without allocation.
    #[must_use]
    pub fn hex(&self) -> [u8; 32] {
        let mut out = [0; 32];
        for (digits, bytes) in out.as_chunks_mut().0.iter_mut().zip(self.0.as_chunks().0) {
            *digits = hex_of(u32::from_be_bytes(*bytes));
        }
        out
    }
}

/// Eight digits at once, one per byte of a word: every exchange shows its id twice.
fn hex_of(number: u32) -> [u8; 8] {
    const ONES: u64 = u64::MAX / 255;
    let halves = u64::from(number);
    let halves = (halves | halves << 16) & 0x0000_ffff_0000_ffff;
    let bytes = (halves | halves << 8) & 0x00ff_00ff_00ff_00ff;
    let nibbles = (bytes | bytes << 4) & (0x0f * ONES);
    let letters = ((nibbles + 6 * ONES) >> 4) & ONES;
    (nibbles + u64::from(b'0') * ONES + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.hex()).unwrap_or_default())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is known of a TLS session with the client.
#[derive(Clone, Debug, Default)]
pub struct TlsFacts {
    pub sni: Option<Box<str>>,
    /// As nginx names it, e.g. `TLSv1.3`.
    pub version: &'static str,
    /// As OpenSSL names it.
    pub cipher: &'static str,
    /// The client's certificate chain in DER, leaf first; empty if it sent none.
    pub client_chain: Vec<Vec<u8>>,
    /// As nginx's `$ssl_client_verify`: `NONE`, `SUCCESS` or `FAILED:reason`.
    pub client_verify: Box<str>,
}

/// The client side of the exchange.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client's address after real-ip rules; the unspecified address stands for a Unix socket.
    pub ip: IpAddr,
    pub port: u16,
    /// The direct peer's address.
    pub peer_ip: IpAddr,
    pub peer_port: u16,
    /// Whether the direct peer is in `trusted_ips`.
    pub trusted: bool,
    /// The address the connection came in on.
    pub local: SocketAddr,
    /// The published port: `port_maps` applied to the local one.
    pub published_port: u16,
    pub scheme: Scheme,
    pub tls: Option<Rc<TlsFacts>>,
}

impl Client {
    /// What is shown in place of an address that a Unix socket does not have.
    pub const UNIX: &str = "unix:";

    /// The client's address as logs show it.
    #[must_use]
    pub fn shown_ip(&self) -> String {
        Self::shown(self.ip)
    }

    /// An address of a client or peer as logs show it.
    #[must_use]
    pub fn shown(ip: IpAddr) -> String {
        if ip.is_unspecified() { Self::UNIX.to_owned() } else { ip.to_string() }
    }
}

impl Default for Client {
    fn default() -> Self {
        let none = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Client {
            ip: none,
            port: 0,
            peer_ip: none,
            peer_port: 0,
            trusted: false,
            local: SocketAddr::new(none, 0),
            published_port: 0,
            scheme: Scheme::Http,
            tls: None,
        }
    }
}

/// Route and service of an exchange; one allocation per worker and plan, shared by its exchanges.
#[derive(Debug)]
pub struct Matched {
    pub route: Arc<Route>,
    pub service: Option<Arc<Service>>,
    /// Name of the route's workspace; `None` is the default one.
    pub workspace: Option<Arc<str>>,
}

/// Upstream timeouts, 1 ms to 2^31 - 2 ms each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// Between two successful writes.
    pub write: Duration,
    /// Between two successful reads.
    pub read: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Timeouts { connect: minute, write: minute, read: minute }
    }
}

/// How to speak TLS to an upstream; `None` leaves it to the node's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    pub verify: Option<bool>,
    pub verify_depth: Option<u8>,
    /// Ids of `ca_certificates`.
    pub ca_certificates: Option<Arc<[Uuid]>>,
    /// Id of the `certificates` entity to present.
    pub client_certificate: Option<Uuid>,
    /// What to present in its place.
    pub presented: Option<Arc<CertificatePem>>,
    /// Certificates in PEM that are trusted in place of those by id.
    pub trusted: Option<Arc<str>>,
}

/// An explicit target: no balancing by upstream entity takes place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub host: Box<str>,
    pub port: u16,
}

/// Where the request goes, as far as plugins changed it; what is `None` is as the service says.
#[derive(Clone, Debug, Default)]
pub struct Destination {
    pub protocol: Option<Protocol>,
    /// Name of an upstream, chosen by `kong.service.set_upstream`.
    pub upstream: Option<Box<str>>,
    pub target: Option<Target>,
    /// The upstream path, escaped, without query; filled by the engine after routing.
    pub path: Vec<u8>,
    /// The query in place of the client's; `Some("")` sends none.
    pub query: Option<Vec<u8>>,
    /// The Host header in place of the target's name.
    pub host_header: Option<Vec<u8>>,
    pub retries: Option<u16>,
    pub timeouts: Option<Timeouts>,
    pub tls: Option<UpstreamTls>,
    /// Headers on this way alone, in place of the client's of the same name; an empty value sends none. They are in no
    /// log: the place for credentials of the gateway's own.
    pub headers: Option<Headers>,
}

impl Destination {
    /// Back to what the service says, keeping the path's memory.
    pub fn clear(&mut self) {
        self.protocol = None;
        self.upstream = None;
        self.target = None;
        self.path.clear();
        self.query = None;
        self.host_header = None;
        self.retries = None;
        self.timeouts = None;
        self.tls = None;
        self.headers = None;
    }
}

/// One attempt at a target, as the log entry shows it.
#[derive(Clone, Debug)]
pub struct Try {
    pub ip: IpAddr,
    pub port: u16,
    /// Milliseconds since the epoch.
    pub balancer_start: u64,
    pub balancer_start_ns: u64,
    pub balancer_latency: u64,
    pub balancer_latency_ns: u64,
    /// `failed` or `next`; `None` for a try that went well.
    pub state: Option<&'static str>,
    pub code: Option<u16>,
}

/// A bound for reading the request body: above it the engine stops reading and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimit {
    pub bytes: u64,
    /// Status and message of the answer.
    pub status: u16,
    pub message: &'static str,
}

/// Who made the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ResponseSource {
    /// Nobody yet, or the gateway on an error: `error`.
    #[default]
    Error,
    /// A plugin or a rule of the gateway: `exit`.
    Exit,
    /// The upstream: `service`.
    Service,
}

impl ResponseSource {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ResponseSource::Error => "error",
            ResponseSource::Exit => "exit",
            ResponseSource::Service => "service",
        }
    }
}

/// Points in time of an exchange, in nanoseconds of the worker's monotonic clock; 0 is "not yet".
#[derive(Clone, Copy, Debug, Default)]
pub struct Latencies {
    pub start: u64,
    pub access_end: u64,
    /// When the balancer picked the peer that answered.
    pub balancer_end: u64,
    /// When the request was sent to it.
    pub sent: u64,
    /// When the first byte of its answer came.
    pub first_byte: u64,
    pub end: u64,
}

/// What the certificate phase may ask of the TLS handshake it runs in; in no other phase does it mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandshakeWishes {
    /// The client is asked for a certificate, which it need not have. The chain is then in
    /// [`TlsFacts::client_chain`], not yet judged.
    pub client_certificate: bool,
    /// The session is not resumed later, so that the phase runs again for the client's next connection.
    pub no_resumption: bool,
}

/// Values that plugins keep for one exchange, by type. Few and short-lived, so a list.
#[derive(Default)]
pub struct Slots(SmallVec<[(TypeId, Box<dyn Any>); 2]>);

impl Slots {
    #[must_use]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.0.iter().find(|(id, _)| *id == TypeId::of::<T>()).and_then(|(_, v)| v.downcast_ref())
    }

    pub fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        self.0.iter_mut().find(|(id, _)| *id == TypeId::of::<T>()).and_then(|(_, v)| v.downcast_mut())
    }

    /// Stores a value in place of an earlier one of its type.
    pub fn set<T: 'static>(&mut self, value: T) {
        self.take::<T>();
        self.0.push((TypeId::of::<T>(), Box::new(value)));
    }

    pub fn take<T: 'static>(&mut self) -> Option<T> {
        let at = self.0.iter().position(|(id, _)| *id == TypeId::of::<T>())?;
        self.0.swap_remove(at).1.downcast().ok().map(|value| *value)
    }

    pub fn get_or_default<T: Default + 'static>(&mut self) -> Option<&mut T> {
        if self.get::<T>().is_none() {
            self.set(T::default());
        }
        self.get_mut()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slots({})", self.0.len())
    }
}

/// One request and its answer.
#[derive(Debug, Default)]
pub struct Exchange {
    pub id: RequestId,
    /// Wall clock at the start, nanoseconds since the epoch.
    pub started_ns: u64,
    pub client: Client,
    pub handshake: HandshakeWishes,
    /// The request. Method and headers may be changed and go upstream as they then are; `target`
    /// stays what the client sent.
    pub request: RequestHead,
    pub body: RequestBody,
    /// What a plugin sets before it asks for the body, so that a hostile client cannot make it grow.
    pub body_limit: Option<BodyLimit>,
    /// The route's; the default one where there is none.
    pub workspace: Uuid,
    pub matched: Option<Rc<Matched>>,
    /// Captures of the route's path expression: positions are named `0`, `1` …
    pub captures: SmallVec<[(Box<str>, Box<str>); 0]>,
    /// What of the path the route matched, if it strips it; becomes `X-Forwarded-Prefix`.
    pub stripped_prefix: Option<Box<str>>,
    pub consumer: Option<Arc<Consumer>>,
    pub credential: Option<Arc<Credential>>,
    /// Groups of the consumer, by name.
    pub consumer_groups: Option<Arc<[Arc<ConsumerGroup>]>>,
    /// Group names that an authentication plugin vouches for without a consumer.
    pub authenticated_groups: Option<Vec<String>>,
    pub destination: Destination,
    /// Where tries come from, if not from the service.
    pub attempts: Option<Box<dyn AttemptSource>>,
    /// What rewrites the body of the answer, in the order in which it passes them.
    pub transformers: SmallVec<[Box<dyn BodyTransformer>; 1]>,
    /// Headers that plugins set before there is an answer; they are on whatever answer comes.
    pub added_headers: Headers,
    pub response: ResponseHead,
    pub response_source: ResponseSource,
    /// Set to have the whole upstream answer buffered (`kong.service.request.enable_buffering`).
    pub buffer_response: bool,
    /// The buffered upstream answer; what stands here after the response phase is sent.
    pub response_body: Option<Bytes>,
    /// Trailers of the upstream's answer, there from the last call of the body filters on (none before). What stands
    /// here then is sent, to a client that takes trailers.
    pub response_trailers: Headers,
    /// Set by a header filter that answers in its own name (status and headers are in `response`): this is
    /// sent, and whatever body there was is dropped.
    pub replacement_body: Option<Bytes>,
    pub tries: SmallVec<[Try; 1]>,
    /// Status of the upstream's answer (0 if none came), whatever the client got.
    pub upstream_status: u16,
    pub latencies: Latencies,
    /// Bytes of head and body received from the client.
    pub request_bytes: u64,
    /// Bytes of head and body sent to the client, and of the body alone.
    pub response_bytes: u64,
    pub response_body_bytes: u64,
    /// Additions to the log entry: dotted path and value (`null` removes).
    pub log_values: Vec<(Box<str>, Value)>,
    /// What is recorded for tracing plugins.
    pub trace: Trace,
    pub slots: Slots,
}

impl Exchange {
    /// Makes the exchange ready for the next request, keeping its buffers: field by field, because a fresh one
    /// would be built and copied whole for every request. Taking it apart makes the compiler ask about a new field:
    /// what is not cleared here would reach another client's request.
    pub fn clear(&mut self) {
        let Exchange {
            id,
            started_ns,
            client,
            handshake,
            request,
            body,
            body_limit,
            workspace,
            matched,
            captures,
            stripped_prefix,
            consumer,
            credential,
            consumer_groups,
            authenticated_groups,
            destination,
            attempts,
            transformers,
            added_headers,
            response,
            response_source,
            buffer_response,
            response_body,
            response_trailers,
            replacement_body,
            tries,
            upstream_status,
            latencies,
            request_bytes,
            response_bytes,
            response_body_bytes,
            log_values,
            trace,
            slots,
        } = self;
        *id = RequestId::default();
        *started_ns = 0;
        *client = Client::default();
        *handshake = HandshakeWishes::default();
        request.clear();
        *body = RequestBody::Empty;
        *body_limit = None;
        *workspace = Uuid::nil();
        *matched = None;
        captures.clear();
        *stripped_prefix = None;
        *consumer = None;
        *credential = None;
        *consumer_groups = None;
        *authenticated_groups = None;
        destination.clear();
        *attempts = None;
        transformers.clear();
        added_headers.clear();
        response.clear();
        *response_source = ResponseSource::Error;
        *buffer_response = false;
        *response_body = None;
        response_trailers.clear();
        *replacement_body = None;
        tries.clear();
        *upstream_status = 0;
        *latencies = Latencies::default();
        *request_bytes = 0;
        *response_bytes = 0;
        *response_body_bytes = 0;
        log_values.clear();
        trace.clear();
        slots.clear();
    }

    #[must_use]
    pub fn route(&self) -> Option<&Route> {
        self.matched.as_deref().map(|m| &*m.route)
    }

    /// Name of the workspace that the exchange belongs to.
    #[must_use]
    pub fn workspace_name(&self) -> &str {
        self.matched.as_deref().and_then(|m| m.workspace.as_deref()).unwrap_or(DEFAULT_WORKSPACE)
    }

    /// The wall clock, in nanoseconds since the epoch, at a moment of the monotonic clock: one reading of a clock serves
    /// both.
    #[must_use]
    pub fn wall_at(&self, monotonic_ns: u64) -> u64 {
        self.started_ns + monotonic_ns.saturating_sub(self.latencies.start)
    }

    /// Whether it is a connection or session of layer 4, which has no request and no answer.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        const STREAM: Protocols =
            Protocols::of(&[Protocol::Tcp, Protocol::Tls, Protocol::TlsPassthrough, Protocol::Udp]);
        self.route().is_some_and(|route| route.protocols.intersects(STREAM))
    }

    #[must_use]
    pub fn service(&self) -> Option<&Service> {
        self.matched.as_deref().and_then(|m| m.service.as_deref())
    }

    /// Scheme as the outermost trusted proxy saw it.
    #[must_use]
    pub fn forwarded_scheme(&self) -> &str {
        self.forwarded("x-forwarded-proto").unwrap_or(self.client.scheme.as_str())
    }

    /// Host as the outermost trusted proxy saw it, else [`host`](Self::host).
    #[must_use]
    pub fn forwarded_host(&self) -> String {
        self.forwarded("x-forwarded-host").map_or_else(|| self.host(), str::to_owned)
    }

    #[must_use]
    pub fn forwarded_port(&self) -> u16 {
        self.forwarded("x-forwarded-port").and_then(|p| p.trim().parse().ok()).unwrap_or(self.client.published_port)
    }

    /// The Host header's name in lower case, without port and trailing dot (nginx's `$host`).
    #[must_use]
    pub fn host(&self) -> String {
        let raw = self.request.headers.get_str("host").unwrap_or_default();
        let name = match raw.rfind(':') {
            Some(colon) if !raw.get(colon..).unwrap_or_default().contains(']') => raw.get(..colon).unwrap_or(raw),
            _ => raw,
        };
        name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
    }

    /// The wall clock at a point in time of the monotonic one, in nanoseconds since the epoch.
    #[must_use]
    pub fn wall_ns_at(&self, monotonic_ns: u64) -> u64 {
        self.started_ns + monotonic_ns.saturating_sub(self.latencies.start)
    }

    /// The raw query that goes upstream: a plugin's, else the client's.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        match &self.destination.query {
            Some(query) => (!query.is_empty()).then_some(query),
            None => self.request.query(),
        }
    }

    /// The Content-Type of the request without parameters, in lower case.
    #[must_use]
    pub fn media_type(&self) -> Option<String> {
        let value = self.request.headers.get_str("content-type")?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    fn forwarded(&self, name: &str) -> Option<&str> {
        if !self.client.trusted {
            return None;
        }
        self.request.headers.get_str(name).and_then(|v| v.split(',').next()).map(str::trim).filter(|v| !v.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_32_hexadecimal_digits() {
        let id = RequestId([0xab, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff]);
        assert_eq!(id.to_string(), "ab0102030405060708090a0b0c0d0eff");
    }

    #[test]
    fn forwarded_headers_count_only_from_trusted_peers() {
        let mut x = Exchange::default();
        x.request.headers.append("X-Forwarded-Proto", "https, http");
        assert_eq!(x.forwarded_scheme(), "http");
        x.client.trusted = true;
        assert_eq!(x.forwarded_scheme(), "https");
    }

    #[test]
    fn slots_hold_one_value_per_type() {
        let mut slots = Slots::default();
        slots.set(1u32);
        slots.set(2u32);
        assert_eq!((slots.get::<u32>(), slots.get::<u8>()), (Some(&2), None));
        assert_eq!(slots.take::<u32>(), Some(2));
        assert_eq!(slots.get::<u32>(), None);
    }
}
