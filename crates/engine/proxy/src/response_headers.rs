//! The header block that goes to the client: the upstream's fields without its own hop, with what
//! the `headers` setting adds.

use gibbon_message::Headers;
use gibbon_pdk::Exchange;

/// The `headers` setting, token by token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHeaderRules {
    pub server: bool,
    pub via: bool,
    pub proxy_latency: bool,
    pub response_latency: bool,
    pub upstream_latency: bool,
    pub upstream_status: bool,
    pub request_id: bool,
}

impl Default for ResponseHeaderRules {
    fn default() -> Self {
        ResponseHeaderRules {
            server: true,
            via: true,
            proxy_latency: true,
            response_latency: true,
            upstream_latency: true,
            upstream_status: false,
            request_id: true,
        }
    }
}

/// Milliseconds shown in the latency headers of a proxied answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShownLatencies {
    pub proxy: u64,
    pub upstream: u64,
}

/// Removes from an upstream's answer what belongs to its hop alone. `upgrade` keeps a 101's fields,
/// `trailers` says that the client may get trailers.
pub fn strip_hop(headers: &mut Headers, upgrade: bool, trailers: bool) {
    let named: Vec<Vec<u8>> = headers
        .get_all("connection")
        .flat_map(|v| v.split(|&b| b == b','))
        .map(|t| t.trim_ascii().to_ascii_lowercase())
        .filter(|t| !t.is_empty() && t != b"close" && t != b"keep-alive" && t != b"upgrade")
        .collect();
    headers.retain(|name, _| {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let of_hop = match name.first().map(u8::to_ascii_lowercase) {
            Some(b'c') => is("connection"),
            Some(b'k') => is("keep-alive"),
            Some(b'u') => is("upgrade") && !upgrade,
            Some(b't') => is("transfer-encoding") || (is("trailer") && !trailers),
            Some(b'p') => is("proxy-connection"),
            // Instructions to an nginx in front of the upstream, not to the client.
            Some(b'x') => name.len() > 8 && name.get(..8).is_some_and(|n| n.eq_ignore_ascii_case(b"x-accel-")),
            _ => false,
        };
        !of_hop && !named.iter().any(|n| name.eq_ignore_ascii_case(n))
    });
}

/// Adds what a proxied answer carries.
pub fn mark_proxied(
    headers: &mut Headers,
    x: &Exchange,
    rules: &ResponseHeaderRules,
    token: &str,
    latencies: ShownLatencies,
) {
    if rules.upstream_latency {
        append_number(headers, b"X-Kong-Upstream-Latency", latencies.upstream);
    }
    if rules.proxy_latency {
        append_number(headers, b"X-Kong-Proxy-Latency", latencies.proxy);
    }
    if rules.via {
        add_via(headers, x, token);
    }
    if rules.server && !headers.contains("server") {
        headers.append_clean(b"Server", token.as_bytes());
    }
    if rules.upstream_status && x.upstream_status > 0 {
        append_number(headers, b"X-Kong-Upstream-Status", u64::from(x.upstream_status));
    }
    mark_request_id(headers, x, rules);
}

/// Adds what an answer of the gateway's own carries; `latency_ms` is how long it took.
pub fn mark_own(headers: &mut Headers, x: &Exchange, rules: &ResponseHeaderRules, token: &str, latency_ms: u64) {
    if rules.response_latency {
        append_number(headers, b"X-Kong-Response-Latency", latency_ms);
    }
    if rules.server {
        headers.set("Server", token);
    } else {
        headers.remove("server");
    }
    mark_request_id(headers, x, rules);
}

fn mark_request_id(headers: &mut Headers, x: &Exchange, rules: &ResponseHeaderRules) {
    if rules.request_id {
        headers.remove("x-kong-request-id");
        headers.append_clean(b"X-Kong-Request-Id", &x.id.hex());
    }
}

/// `Via: 1.1 gibbon/…`, behind the upstream's own; `2` where the upstream was spoken to in HTTP/2.
pub fn add_via(headers: &mut Headers, x: &Exchange, token: &str) {
    let version = if x.response.version == gibbon_message::Version::H2 { "2" } else { "1.1" };
    let own = [version.as_bytes(), b" ", token.as_bytes()];
    if !headers.contains("via") {
        return headers.append_parts(b"Via", &own);
    }
    let all: Vec<&[u8]> = headers.get_all("via").flat_map(|earlier| [earlier, b", "]).chain(own).collect();
    headers.set("Via", all.concat());
}

/// Writes a figure of ours, in place of one that an upstream (another gateway) may have sent.
fn append_number(headers: &mut Headers, name: &[u8], number: u64) {
    let mut text = itoa::Buffer::new();
    headers.remove(name);
    headers.append_clean(name, text.format(number).as_bytes());
}

/// Adds `charset` to textual types that name none, as nginx's `charset` directive does.
pub fn add_charset(headers: &mut Headers, charset: &str) {
    const TEXTUAL: [&str; 6] =
        ["text/html", "text/xml", "text/plain", "text/vnd.wap.wml", "application/javascript", "application/rss+xml"];
    let Some(value) = headers.get_str("content-type") else { return };
    if TEXTUAL.iter().any(|t| value.eq_ignore_ascii_case(t)) {
        headers.extend_value("content-type", &[b"; charset=", charset.as_bytes()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(fields: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn the_upstreams_hop_ends_here() {
        let mut headers = block(&[
            ("Connection", "close, X-Hop"),
            ("X-Hop", "1"),
            ("Keep-Alive", "5"),
            ("Upgrade", "h2c"),
            ("Trailer", "x"),
            ("X-Accel-Expires", "1"),
            ("Refresh", "1"),
        ]);
        strip_hop(&mut headers, false, false);
        assert_eq!(headers.iter().map(|(n, _)| n).collect::<Vec<_>>(), [b"Refresh"]);
    }

    #[test]
    fn the_upstreams_server_header_is_kept() {
        let mut headers = block(&[("Server", "origin"), ("Via", "1.1 origin")]);
        mark_proxied(
            &mut headers,
            &Exchange::default(),
            &ResponseHeaderRules::default(),
            "gibbon/0",
            ShownLatencies::default(),
        );
        assert_eq!(headers.get_str("server"), Some("origin"));
        assert_eq!(headers.get_str("via"), Some("1.1 origin, 1.1 gibbon/0"));
        assert_eq!(headers.get_str("x-kong-upstream-latency"), Some("0"));
    }

    #[test]
    fn an_own_answer_has_no_via() {
        let mut headers = Headers::new();
        mark_own(&mut headers, &Exchange::default(), &ResponseHeaderRules::default(), "gibbon/0", 0);
        assert!(!headers.contains("via") && headers.contains("x-kong-response-latency"));
        assert_eq!(headers.get_str("server"), Some("gibbon/0"));
    }

    #[test]
    fn charset_is_added_to_bare_textual_types_only() {
        let with = |value| {
            let mut headers = block(&[("Content-Type", value)]);
            add_charset(&mut headers, "UTF-8");
            headers.get_str("content-type").unwrap_or_default().to_owned()
        };
        assert_eq!(with("text/plain"), "text/plain; charset=UTF-8");
        assert_eq!(with("text/plain;charset=latin1"), "text/plain;charset=latin1");
        assert_eq!(with("application/json"), "application/json");
    }
}
