//! What the router is told: routes as they are configured, requests as they arrive.

use std::net::IpAddr;

use gibbon_message::Headers;
use ipnet::IpNet;
use uuid::Uuid;

/// `router_flavor` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Flavor {
    #[default]
    TraditionalCompatible,
    Expressions,
    Traditional,
}

/// HTTP requests and layer 4 connections are routed apart: one [`Router`](crate::Router) each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Subsystem {
    #[default]
    Http,
    Stream,
}

/// A protocol of a route, or of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    Http,
    Https,
    Grpc,
    Grpcs,
    Tcp,
    Tls,
    TlsPassthrough,
    Udp,
}

impl Protocol {
    const ALL: [Protocol; 8] = [
        Protocol::Http,
        Protocol::Https,
        Protocol::Grpc,
        Protocol::Grpcs,
        Protocol::Tcp,
        Protocol::Tls,
        Protocol::TlsPassthrough,
        Protocol::Udp,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Grpc => "grpc",
            Protocol::Grpcs => "grpcs",
            Protocol::Tcp => "tcp",
            Protocol::Tls => "tls",
            Protocol::TlsPassthrough => "tls_passthrough",
            Protocol::Udp => "udp",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Protocol> {
        Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == name)
    }

    /// What a connection that carries this protocol is called in `net.protocol`.
    #[must_use]
    pub fn of_connection(self) -> Protocol {
        match self {
            Protocol::Grpc => Protocol::Http,
            Protocol::Grpcs => Protocol::Https,
            Protocol::TlsPassthrough => Protocol::Tls,
            other => other,
        }
    }

    #[must_use]
    pub fn is_stream(self) -> bool {
        matches!(self, Protocol::Tcp | Protocol::Tls | Protocol::TlsPassthrough | Protocol::Udp)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Protocols(u8);

impl Protocols {
    #[must_use]
    pub fn contains(self, protocol: Protocol) -> bool {
        self.0 & protocol.bit() != 0
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The only member, if there is exactly one.
    #[must_use]
    pub fn only(self) -> Option<Protocol> {
        (self.0.count_ones() == 1).then(|| self.iter().next()).flatten()
    }

    pub fn iter(self) -> impl Iterator<Item = Protocol> {
        Protocol::ALL.into_iter().filter(move |protocol| self.contains(*protocol))
    }

    #[must_use]
    pub fn subsystem(self) -> Subsystem {
        if self.iter().any(Protocol::is_stream) { Subsystem::Stream } else { Subsystem::Http }
    }
}

impl FromIterator<Protocol> for Protocols {
    fn from_iter<I: IntoIterator<Item = Protocol>>(protocols: I) -> Self {
        Protocols(protocols.into_iter().fold(0, |bits, protocol| bits | protocol.bit()))
    }
}

/// One entry of `sources` or `destinations`; at least one of the two is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub address: Option<Address>,
    pub port: Option<u16>,
}

/// An address, or a network in CIDR notation (also one of a single address: it ranks lower).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address {
    Ip(IpAddr),
    Network(IpNet),
}

impl Address {
    /// Reads `10.0.0.1` or `10.0.0.0/8`; bits beyond the prefix are dropped.
    #[must_use]
    pub fn parse(text: &str) -> Option<Address> {
        if text.contains('/') {
            text.parse::<IpNet>().ok().map(|net| Address::Network(net.trunc()))
        } else {
            text.parse().ok().map(Address::Ip)
        }
    }

    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match self {
            Address::Ip(own) => *own == ip,
            Address::Network(net) => net.contains(&ip),
        }
    }
}

/// What matching needs to know of a route. An empty list means that the attribute is not set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct RouteSpec {
    pub id: Uuid,
    pub protocols: Protocols,
    pub methods: Vec<String>,
    /// With an optional wildcard label (`*.a.test`, `a.*`) and an optional `:port`.
    pub hosts: Vec<String>,
    /// Prefixes, or regular expressions marked by a leading `~`.
    pub paths: Vec<String>,
    /// Name and values; a value `~*re` is a regular expression.
    pub headers: Vec<(String, Vec<String>)>,
    pub snis: Vec<String>,
    pub sources: Vec<Endpoint>,
    pub destinations: Vec<Endpoint>,
    /// Only in the `expressions` flavour.
    pub expression: Option<String>,
    /// Of the expression: 0..2^46-1.
    pub priority: u64,
    pub regex_priority: i64,
    /// Seconds; decides ties in the `traditional` flavour.
    pub created_at: i64,
}

impl RouteSpec {
    #[must_use]
    pub fn subsystem(&self) -> Subsystem {
        self.protocols.subsystem()
    }
}

/// A request or connection to be routed.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// Of the connection: http or https; tcp, tls or udp.
    pub protocol: Protocol,
    pub method: &'a str,
    /// The `Host` header as it came, port included; empty if there is none.
    pub host: &'a [u8],
    /// Normalised ([`gibbon_message::uri::normalize`]).
    pub path: &'a [u8],
    /// Without the `?`.
    pub raw_query: Option<&'a [u8]>,
    pub headers: &'a Headers,
    pub sni: Option<&'a str>,
    pub source: (IpAddr, u16),
    pub destination: (IpAddr, u16),
}
