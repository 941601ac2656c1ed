//! The Host header a try carries, and the cookie that keeps a client on its hash.

use std::fmt::Write;

use crate::Address;

/// Host name of a try, without port: the upstream's `host_header` wins, then the target's name, then the IP.
pub fn host_name<'a>(address: &'a Address, upstream_host_header: Option<&'a str>) -> &'a str {
    upstream_host_header.or(address.host.as_deref()).unwrap_or(&address.name)
}

/// The port that a Host header shows: none if it is the default of the scheme, 80 for clear text and 443 for TLS.
pub fn shown_port(port: u16, default_port: u16) -> Option<u16> {
    (port != default_port).then_some(port)
}

/// Appends the Host header to `out`: `host`, and [the port to be shown](shown_port). A `host_header` that already names a
/// port gets the target's port appended all the same, as Kong does.
pub fn write_host_header(out: &mut String, host: &str, port: u16, default_port: u16) {
    out.push_str(host);
    if let Some(port) = shown_port(port, default_port) {
        // Writing to a String cannot fail.
        let _ = write!(out, ":{port}");
    }
}

/// `Set-Cookie` value for a hash cookie that the client did not send.
///
/// The attribute is spelt `Same-Site`: that is what Kong sends and what recorded clients compare.
pub fn hash_cookie_header(name: &str, value: &str, path: &str) -> String {
    format!("{name}={value}; Path={path}; Same-Site=Lax; HttpOnly")
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn header(host: Option<&str>, upstream: Option<&str>, port: u16, default_port: u16) -> String {
        let address = Address {
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port,
            weight: 100,
            name: "127.0.0.1".into(),
            host: host.map(Into::into),
            target: 0,
        };
        let mut out = String::new();
        write_host_header(&mut out, host_name(&address, upstream), port, default_port);
        out
    }

    #[test]
    fn a_literal_is_its_own_host_with_port() {
        assert_eq!(header(None, None, 15_001, 80), "127.0.0.1:15001");
    }

    #[test]
    fn a_named_target_gives_its_name() {
        assert_eq!(header(Some("localhost"), None, 15_001, 80), "localhost:15001");
    }

    #[test]
    fn the_upstreams_host_header_wins_and_still_gets_the_port() {
        assert_eq!(header(Some("a.test"), Some("h.test:99"), 15_001, 80), "h.test:99:15001");
    }

    #[test]
    fn the_default_port_of_the_scheme_is_left_out() {
        assert_eq!(header(Some("a.test"), None, 80, 80), "a.test");
        assert_eq!(header(Some("a.test"), None, 443, 443), "a.test");
        assert_eq!(header(Some("a.test"), None, 443, 80), "a.test:443");
        assert_eq!(header(Some("a.test"), None, 80, 443), "a.test:80");
    }

    #[test]
    fn the_hash_cookie_is_spelt_as_recorded() {
        assert_eq!(hash_cookie_header("stick", "u", "/p"), "stick=u; Path=/p; Same-Site=Lax; HttpOnly");
    }
}
