//! The header block that goes to the upstream: the client's fields without what belongs to the
//! client's own hop, with what a gateway adds.

use std::io::Write;
use std::net::IpAddr;

use gibbon_message::{Headers, Scheme, Version};
use gibbon_pdk::{Client, Exchange};

/// What a node adds, decided once per configuration.
#[derive(Clone, Debug)]
pub struct RequestHeaderRules {
    /// `X-Kong-Request-Id` to the upstream (`headers_upstream`).
    request_id: bool,
    /// As in Via, e.g. `gibbon/0.1.0`.
    server_token: String,
    /// What is the same in nearly every request, by scheme of the client: see [`Hop::is_usual`].
    usual: [Headers; 2],
}

impl RequestHeaderRules {
    /// `server_token` is shown in Via; `request_id` says whether upstreams get `X-Kong-Request-Id`.
    #[must_use]
    pub fn new(server_token: String, request_id: bool) -> Self {
        let usual = [Scheme::Http, Scheme::Https].map(|scheme| {
            let mut block = Headers::new();
            block.append("Connection", "keep-alive");
            block.append("X-Forwarded-Proto", scheme.as_str());
            block.append("Via", format!("1.1 {server_token}"));
            block
        });
        RequestHeaderRules { request_id, server_token, usual }
    }

    fn usual(&self, scheme: Scheme) -> &Headers {
        let [http, https] = &self.usual;
        match scheme {
            Scheme::Http => http,
            Scheme::Https => https,
        }
    }
}

/// What the forwarding station knows and the exchange does not.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// Value of the Host header, without a port unless the name has one of its own.
    pub host: &'a [u8],
    /// The port behind it, unless it is the scheme's default.
    pub port: Option<u16>,
    /// A WebSocket upgrade is asked for and passed on.
    pub upgrade: bool,
    /// The upstream is spoken to in HTTP/2 (gRPC): no Connection header.
    pub http2: bool,
}

impl Hop<'_> {
    /// Whether nothing in the exchange changes what [`RequestHeaderRules::usual`] holds.
    fn is_usual(&self, x: &Exchange) -> bool {
        let plain = !self.http2 && !self.upgrade && x.request.version == Version::Http11;
        plain && !x.client.trusted && !x.request.headers.contains("via")
    }
}

/// Fills `out` with the upstream's header block. Framing headers are left to the wire.
pub fn write(out: &mut Headers, x: &Exchange, hop: Hop<'_>, rules: &RequestHeaderRules) {
    out.clear();
    match hop.port {
        None => out.append_parts(b"Host", &[hop.host]),
        Some(port) => out.append_parts(b"Host", &[hop.host, b":", itoa::Buffer::new().format(port).as_bytes()]),
    }
    if hop.is_usual(x) {
        out.append_block(rules.usual(x.client.scheme));
    } else {
        if !hop.http2 {
            out.append_clean(b"Connection", if hop.upgrade { b"keep-alive, Upgrade" } else { b"keep-alive" });
        }
        if hop.upgrade {
            out.append_clean(b"Upgrade", b"websocket");
        }
        write_scheme(out, x);
        write_via(out, x, rules);
    }
    write_forwarded(out, x);
    if rules.request_id {
        out.append_clean(b"X-Kong-Request-Id", &x.id.hex());
    }
    let named = NamedByConnection::of(&x.request.headers);
    for (name, value) in x.request.headers.iter() {
        if is_passed_on(name, rules) && !named.contains(name) && !replaced(x, name) {
            out.append_clean(name, value);
        }
    }
    for (name, value) in x.destination.headers.iter().flat_map(Headers::iter).filter(|(_, v)| !v.is_empty()) {
        out.append(name, value);
    }
    if asks_for_trailers(&x.request.headers) && !named.contains(b"te") {
        out.append_clean(b"TE", b"trailers");
    }
}

/// Whether the client asks for a WebSocket. As in Kong, `Upgrade: websocket` alone says so.
#[must_use]
pub fn asks_for_websocket(x: &Exchange) -> bool {
    x.request.version == Version::Http11
        && x.request.headers.get("upgrade").is_some_and(|v| v.eq_ignore_ascii_case(b"websocket"))
}

/// Whether the way upstream has a field of its own in place of the client's.
fn replaced(x: &Exchange, name: &[u8]) -> bool {
    let own = x.destination.headers.as_ref();
    own.is_some_and(|headers| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)))
}

/// Fields that the gateway writes itself or that end at this hop.
fn is_passed_on(name: &[u8], rules: &RequestHeaderRules) -> bool {
    // The first letter rules most fields out without a comparison.
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    match name.first().map(u8::to_ascii_lowercase) {
        Some(b'h') => !is("host"),
        Some(b'c') => !is("connection") && !is("content-length"),
        Some(b'k') => !is("keep-alive"),
        Some(b'p') => !is("proxy") && !is("proxy-connection"),
        Some(b't') => !is("te") && !is("transfer-encoding"),
        Some(b'u') => !is("upgrade"),
        Some(b'v') => !is("via"),
        Some(b'e') => !is("expect"),
        Some(b'x') => {
            !(is("x-forwarded-for")
                || is("x-forwarded-proto")
                || is("x-forwarded-host")
                || is("x-forwarded-port")
                || is("x-forwarded-path")
                || is("x-forwarded-prefix")
                || is("x-real-ip")
                || (rules.request_id && is("x-kong-request-id")))
        }
        _ => true,
    }
}

/// The fields named in the client's Connection headers; nearly always none but `keep-alive`.
struct NamedByConnection<'a> {
    headers: Option<&'a Headers>,
}

impl<'a> NamedByConnection<'a> {
    fn of(headers: &'a Headers) -> Self {
        let names_any = headers.get_all("connection").any(|v| {
            v.split(|&b| b == b',').map(<[u8]>::trim_ascii).any(|token| {
                !token.is_empty()
                    && !token.eq_ignore_ascii_case(b"keep-alive")
                    && !token.eq_ignore_ascii_case(b"close")
                    && !token.eq_ignore_ascii_case(b"upgrade")
            })
        });
        NamedByConnection { headers: names_any.then_some(headers) }
    }

    fn contains(&self, name: &[u8]) -> bool {
        self.headers.is_some_and(|h| {
            h.get_all("connection")
                .flat_map(|v| v.split(|&b| b == b','))
                .any(|t| t.trim_ascii().eq_ignore_ascii_case(name))
        })
    }
}

/// Only the bare `trailers` counts; nothing else of TE is ours to promise.
fn asks_for_trailers(headers: &Headers) -> bool {
    let is_trailers = |t: &[u8]| t.trim_ascii().eq_ignore_ascii_case(b"trailers");
    headers.get_all("te").any(|v| v.split(|&b| b == b',').any(is_trailers))
}

fn write_forwarded(out: &mut Headers, x: &Exchange) {
    let from_client = |name| from_client(x, name);
    let mut text = AddressText::default();
    let ip = text.of(x.client.ip);
    write_forwarded_for(out, x, ip);
    match from_client("x-forwarded-host") {
        Some(value) => append_unless_empty(out, b"X-Forwarded-Host", value),
        None => append_host_name(out, x),
    }
    match from_client("x-forwarded-port") {
        Some(value) => append_unless_empty(out, b"X-Forwarded-Port", value),
        // A Unix socket has no port to tell.
        None if x.client.published_port == 0 => {}
        None => {
            let mut port = itoa::Buffer::new();
            out.append_clean(b"X-Forwarded-Port", port.format(x.client.published_port).as_bytes());
        }
    }
    match from_client("x-forwarded-path") {
        Some(value) => append_unless_empty(out, b"X-Forwarded-Path", value),
        None => out.append_parts(b"X-Forwarded-Path", &[x.request.path()]),
    }
    match from_client("x-forwarded-prefix") {
        Some(value) => append_unless_empty(out, b"X-Forwarded-Prefix", value),
        None => {
            append_unless_empty(out, b"X-Forwarded-Prefix", x.stripped_prefix.as_deref().unwrap_or_default().as_bytes())
        }
    }
    out.append_clean(b"X-Real-IP", ip);
}

/// A forwarded header of the client's, if it is to be believed.
fn from_client<'x>(x: &'x Exchange, name: &str) -> Option<&'x [u8]> {
    if x.client.trusted { x.request.headers.get(name) } else { None }
}

fn write_scheme(out: &mut Headers, x: &Exchange) {
    match from_client(x, "x-forwarded-proto") {
        Some(value) => append_unless_empty(out, b"X-Forwarded-Proto", value),
        None => out.append_clean(b"X-Forwarded-Proto", x.client.scheme.as_str().as_bytes()),
    }
}

/// The existing list, even from peers that are not trusted, with the direct peer behind it; without a
/// list, the client.
fn write_forwarded_for(out: &mut Headers, x: &Exchange, ip: &[u8]) {
    let mut earlier = x.request.headers.get_all("x-forwarded-for").peekable();
    if earlier.peek().is_none() {
        out.append_clean(b"X-Forwarded-For", ip);
        return;
    }
    let mut text = AddressText::default();
    let peer = text.of(x.client.peer_ip);
    // An empty list is kept as one, as Kong does: `, peer`.
    let list = earlier.chain([peer]).collect::<Vec<_>>().join(&b", "[..]);
    out.append("X-Forwarded-For", &list);
}

fn append_unless_empty(out: &mut Headers, name: &'static [u8], value: &[u8]) {
    if !value.is_empty() {
        out.append_parts(name, &[value]);
    }
}

/// The Host header's name in lower case, without port.
fn append_host_name(out: &mut Headers, x: &Exchange) {
    let raw = x.request.headers.get("host").unwrap_or_default();
    let end = match memchr::memrchr(b':', raw) {
        Some(colon) if !raw.get(colon..).unwrap_or_default().contains(&b']') => colon,
        _ => raw.len(),
    };
    let name = raw.get(..end).unwrap_or_default();
    // As nginx's `$host`: a trailing dot is dropped.
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.iter().any(u8::is_ascii_uppercase) {
        out.append("X-Forwarded-Host", name.to_ascii_lowercase());
    } else {
        append_unless_empty(out, b"X-Forwarded-Host", name);
    }
}

fn write_via(out: &mut Headers, x: &Exchange, rules: &RequestHeaderRules) {
    let version = match x.request.version {
        Version::Http10 => "1",
        other => other.number(),
    };
    let own = [version.as_bytes(), b" ", rules.server_token.as_bytes()];
    if !x.request.headers.contains("via") {
        return out.append_parts(b"Via", &own);
    }
    let all: Vec<&[u8]> = x.request.headers.get_all("via").flat_map(|earlier| [earlier, b", "]).chain(own).collect();
    out.append_parts(b"Via", &all);
}

/// Writes an address without allocation.
pub struct AddressText {
    buffer: [u8; 46],
}

impl Default for AddressText {
    fn default() -> Self {
        AddressText { buffer: [0; 46] }
    }
}

impl AddressText {
    pub fn of(&mut self, ip: IpAddr) -> &[u8] {
        if ip.is_unspecified() {
            return Client::UNIX.as_bytes();
        }
        let mut rest = &mut self.buffer[..];
        match ip {
            // Every request has one: a third of the time that the formatting machinery takes.
            IpAddr::V4(v4) => {
                for (at, octet) in v4.octets().into_iter().enumerate() {
                    let dot: &[u8] = if at > 0 { b"." } else { b"" };
                    let _ = rest.write_all(dot);
                    let _ = rest.write_all(itoa::Buffer::new().format(octet).as_bytes());
                }
            }
            IpAddr::V6(v6) => {
                let _ = write!(rest, "{v6}");
            }
        }
        let left = rest.len();
        let used = self.buffer.len() - left;
        self.buffer.get(..used).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn rules() -> RequestHeaderRules {
        RequestHeaderRules::new("gibbon/0".into(), true)
    }

    fn sent(fields: &[(&str, &str)], change: impl Fn(&mut Exchange)) -> Headers {
        let mut x = Exchange::default();
        x.request.target = b"/a?b".to_vec();
        x.client.ip = "127.0.0.1".parse().unwrap();
        x.client.peer_ip = "127.0.0.1".parse().unwrap();
        x.client.published_port = 8000;
        for (name, value) in fields {
            x.request.headers.append(name, value);
        }
        change(&mut x);
        let mut out = Headers::new();
        write(
            &mut out,
            &x,
            Hop { host: b"up", port: Some(1), upgrade: asks_for_websocket(&x), http2: false },
            &rules(),
        );
        out
    }

    #[test]
    fn a_plain_request_gets_kongs_headers() {
        let out = sent(&[("Host", "API.test:1"), ("Accept", "*/*")], |_| {});
        let expect = [
            ("host", "up:1"),
            ("connection", "keep-alive"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "api.test"),
            ("x-forwarded-port", "8000"),
            ("x-forwarded-path", "/a"),
            ("x-real-ip", "127.0.0.1"),
            ("via", "1.1 gibbon/0"),
            ("accept", "*/*"),
        ];
        for (name, value) in expect {
            assert_eq!(out.get_str(name), Some(value), "{name}");
        }
        assert_eq!(out.len(), expect.len() + 1);
    }

    #[test]
    fn whoever_comes_over_a_unix_socket_has_neither_address_nor_port() {
        let out = sent(&[("Host", "a")], |x| {
            x.client.ip = Ipv4Addr::UNSPECIFIED.into();
            x.client.published_port = 0;
        });
        assert_eq!((out.get_str("x-real-ip"), out.get_str("x-forwarded-for")), (Some("unix:"), Some("unix:")));
        assert!(!out.contains("x-forwarded-port"));
    }

    #[test]
    fn what_connection_names_ends_here() {
        let out = sent(
            &[("Connection", "keep-alive, X-Foo"), ("X-Foo", "1"), ("Keep-Alive", "timeout=5"), ("Proxy", "evil")],
            |_| {},
        );
        assert!(!out.contains("x-foo") && !out.contains("keep-alive") && !out.contains("proxy"));
        assert_eq!(out.get_str("connection"), Some("keep-alive"));
    }

    #[test]
    fn of_te_only_trailers_passes() {
        assert_eq!(sent(&[("TE", "gzip, trailers")], |_| {}).get_str("te"), Some("trailers"));
        assert!(!sent(&[("TE", "gzip, trailers;q=0.5")], |_| {}).contains("te"));
    }

    #[test]
    fn only_a_websocket_upgrade_passes() {
        assert_eq!(sent(&[("Upgrade", "WebSocket")], |_| {}).get_str("connection"), Some("keep-alive, Upgrade"));
        assert!(!sent(&[("Connection", "Upgrade"), ("Upgrade", "h2c")], |_| {}).contains("upgrade"));
    }

    #[test]
    fn a_forged_list_is_kept_and_the_peer_added() {
        let forged = [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Prefix", "/p")];
        let out = sent(&forged, |_| {});
        assert_eq!(out.get_str("x-forwarded-for"), Some("1.2.3.4, 127.0.0.1"));
        assert_eq!(out.get_str("x-forwarded-proto"), Some("http"));
        assert!(!out.contains("x-forwarded-prefix"));
        let trusted = sent(&forged, |x| x.client.trusted = true);
        assert_eq!(trusted.get_str("x-forwarded-proto"), Some("https"));
        assert_eq!(trusted.get_str("x-forwarded-prefix"), Some("/p"));
    }

    #[test]
    fn headers_of_the_way_upstream_replace_the_clients_or_take_them_out() {
        let out = sent(&[("Authorization", "mine"), ("X-Key", "k"), ("X-Other", "o")], |x| {
            let mut own = Headers::new();
            own.append("authorization", "the gateway's");
            own.append("x-key", "");
            x.destination.headers = Some(own);
        });
        assert_eq!(out.get_all("authorization").collect::<Vec<_>>(), [b"the gateway's"]);
        assert_eq!((out.get_str("x-key"), out.get_str("x-other")), (None, Some("o")));
    }

    #[test]
    fn via_grows_by_this_hop() {
        let out = sent(&[("Via", "1.1 first")], |x| x.request.version = Version::Http10);
        assert_eq!(out.get_str("via"), Some("1.1 first, 1 gibbon/0"));
    }
}
