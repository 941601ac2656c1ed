//! Who the client is: `trusted_ips`, `real_ip_header` and `real_ip_recursive`, as nginx's realip
//! module reads them.

use std::net::IpAddr;

use gibbon_message::Headers;
use ipnet::IpNet;

/// Where the client's address comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RealIpSource {
    /// `X-Forwarded-For`: a list, the last entry counts.
    ForwardedFor,
    /// The PROXY protocol's address replaces the peer's before HTTP begins.
    ProxyProtocol,
    /// A header with one address.
    Header(String),
}

/// Rules of one node.
#[derive(Clone, Debug)]
pub struct RealIp {
    /// Peers whose `X-Forwarded-*` are kept (`trusted_ips`).
    pub trusted: Vec<IpNet>,
    /// Peers that may name the client's address: the trusted ones and those of `set_real_ip_from`.
    pub naming: Vec<IpNet>,
    /// Whether peers on a Unix socket are trusted (`unix:`).
    pub trust_unix: bool,
    pub source: RealIpSource,
    pub recursive: bool,
}

impl Default for RealIp {
    fn default() -> Self {
        RealIp {
            trusted: Vec::new(),
            naming: Vec::new(),
            trust_unix: false,
            source: RealIpSource::Header("x-real-ip".into()),
            recursive: false,
        }
    }
}

impl RealIp {
    #[must_use]
    pub fn is_trusted(&self, peer: IpAddr) -> bool {
        !self.trusted.is_empty() && self.trusted.iter().any(|net| net.contains(&peer))
    }

    /// Whether the peer's word on the client's address counts.
    #[must_use]
    pub fn may_name(&self, peer: IpAddr) -> bool {
        !self.naming.is_empty() && self.naming.iter().any(|net| net.contains(&peer))
    }

    /// The client's address and, if the header told it, its port; `None` keeps the peer's.
    #[must_use]
    pub fn client(&self, headers: &Headers) -> Option<(IpAddr, Option<u16>)> {
        match &self.source {
            RealIpSource::ProxyProtocol => None,
            RealIpSource::Header(name) => headers.get_str(name).and_then(parse_address),
            RealIpSource::ForwardedFor => self.of_list(headers),
        }
    }

    /// The last address of the list; with `recursive`, the last that is not itself trusted.
    fn of_list(&self, headers: &Headers) -> Option<(IpAddr, Option<u16>)> {
        let values: Vec<&str> =
            headers.get_all("x-forwarded-for").filter_map(|v| std::str::from_utf8(v).ok()).collect();
        let mut found = None;
        for entry in values.iter().rev().flat_map(|v| v.rsplit(',')) {
            let Some(address) = parse_address(entry) else { break };
            found = Some(address);
            if !self.recursive || !self.may_name(address.0) {
                break;
            }
        }
        found
    }
}

/// `ip`, `ip:port`, `[ip6]` or `[ip6]:port`.
fn parse_address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let text = text.trim();
    if let Ok(ip) = text.parse() {
        return Some((ip, None));
    }
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse().ok().map(|ip| (ip, None))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn forwarded(value: &str, recursive: bool) -> Option<IpAddr> {
        let rules = RealIp {
            naming: vec!["10.0.0.0/8".parse().unwrap()],
            source: RealIpSource::ForwardedFor,
            recursive,
            ..RealIp::default()
        };
        let mut headers = Headers::new();
        headers.append("X-Forwarded-For", value);
        rules.client(&headers).map(|(ip, _)| ip)
    }

    #[test]
    fn the_last_address_counts() {
        assert_eq!(forwarded("1.1.1.1, 2.2.2.2", false), "2.2.2.2".parse().ok());
    }

    #[test]
    fn recursion_passes_over_trusted_addresses() {
        assert_eq!(forwarded("1.1.1.1, 2.2.2.2, 10.1.1.1", true), "2.2.2.2".parse().ok());
        assert_eq!(forwarded("10.2.2.2, 10.1.1.1", true), "10.2.2.2".parse().ok());
    }

    #[test]
    fn what_is_no_address_keeps_the_peer() {
        assert_eq!(forwarded("unknown", false), None);
    }

    #[test]
    fn a_single_header_may_carry_a_port() {
        let mut headers = Headers::new();
        headers.append("X-Real-IP", "[2001:db8::1]:443");
        assert_eq!(RealIp::default().client(&headers), Some(("2001:db8::1".parse().unwrap(), Some(443))));
    }
}
