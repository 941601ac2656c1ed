//! Why a name did not resolve.

use std::net::SocketAddr;

/// A failed look-up. The first two mean that there is nothing of that name; the rest, that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// A server answered with an error; 3 is "no such name".
    #[error("dns server error: {code} {}", rcode_text(*.code))]
    Server {
        /// Response code of the protocol.
        code: u16,
    },
    /// The name exists but has no record that was asked for.
    #[error("dns client error: 101 empty record received")]
    Empty,
    /// Not a name that can be asked for: too long, or with an empty label.
    #[error("dns client error: invalid name")]
    BadName,
    /// Aliases or services that point at each other.
    #[error("recursion detected")]
    Recursion,
    /// No server answered in time; the last one tried is named.
    #[error("failed to receive reply from {protocol} server {server}: {reason}")]
    NoReply {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// The server.
        server: SocketAddr,
        /// Timeout, or what the system said.
        reason: String,
    },
    /// There is no server to ask: neither configured nor in resolv.conf.
    #[error("no nameservers configured: set dns_resolver, or add a nameserver line to resolv.conf")]
    NoServers,
    /// The worker that asked on behalf of all was shut down.
    #[error("the look-up was interrupted")]
    Interrupted,
}

impl DnsError {
    /// Whether the name is known to have no address, as opposed to not being known at all.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Server { code: 3 } | Self::Empty)
    }

    /// Whether other record types and search domains are still worth a try.
    pub(crate) fn is_an_answer(&self) -> bool {
        matches!(self, Self::Server { .. } | Self::Empty | Self::Recursion)
    }

    /// The part that names the error in statistics.
    pub(crate) fn short(&self) -> &'static str {
        match self {
            Self::Server { code } => rcode_text(*code),
            Self::Empty => "empty record received",
            Self::BadName => "invalid name",
            Self::Recursion => "recursion detected",
            Self::NoReply { .. } | Self::NoServers | Self::Interrupted => "no reply",
        }
    }
}

fn rcode_text(code: u16) -> &'static str {
    match code {
        1 => "format error",
        2 => "server failure",
        3 => "name error",
        4 => "not implemented",
        5 => "refused",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_ones_operators_search_for() {
        assert_eq!(DnsError::Server { code: 3 }.to_string(), "dns server error: 3 name error");
        assert_eq!(DnsError::Server { code: 2 }.to_string(), "dns server error: 2 server failure");
        assert_eq!(DnsError::Server { code: 9 }.to_string(), "dns server error: 9 unknown");
        assert_eq!(DnsError::Empty.to_string(), "dns client error: 101 empty record received");
    }

    #[test]
    fn only_no_such_name_and_no_record_mean_not_found() {
        assert!(DnsError::Server { code: 3 }.is_not_found() && DnsError::Empty.is_not_found());
        assert!(!DnsError::Server { code: 2 }.is_not_found() && !DnsError::NoServers.is_not_found());
    }
}
