//! What a balancer chooses between: targets as configured, and the addresses they resolved to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Position of an address in [`Balancer::addresses`](crate::Balancer::addresses).
///
/// Valid only for the balancer it came from; a rebuilt balancer numbers its addresses anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressIndex(pub u32);

impl AddressIndex {
    /// As an index into a slice that is aligned with the balancer's addresses.
    pub fn slot(self) -> usize {
        self.0 as usize
    }

    /// The address at that place of the slice.
    pub fn from_position(position: usize) -> Self {
        Self(u32::try_from(position).unwrap_or(u32::MAX))
    }
}

/// A configured target of an upstream, whether or not its name resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Id of the entity.
    pub id: Arc<str>,
    /// Host part as written: a name, an IPv4 literal or a bracketed IPv6 literal.
    pub host: Arc<str>,
    /// Port as configured; a resolved SRV record has its own.
    pub port: u16,
    /// Weight as configured, 0..=65535. With 0 it is kept but gets no new traffic.
    pub weight: u32,
    /// Used only while no ordinary target is available.
    pub failover: bool,
    /// What the name resolved to: a record type (`A`, `AAAA`, `SRV`) or the text of the resolver's error.
    pub dns: Arc<str>,
}

/// One address a request can be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Where to connect.
    pub ip: IpAddr,
    /// Port to connect to.
    pub port: u16,
    /// Share of the traffic relative to its siblings; 0 gets no new traffic.
    pub weight: u32,
    /// How the address is called in rings and reports: the IP as text (IPv6 in brackets), or for an SRV
    /// record the name it points at.
    pub name: Arc<str>,
    /// Name for the Host header and SNI; `None` for literals, where the IP itself is used.
    pub host: Option<Arc<str>>,
    /// Position of its target in [`Balancer::targets`](crate::Balancer::targets).
    pub target: usize,
}

impl Address {
    /// IP and port together.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }
}

/// What makes two addresses of successive configurations the same one: its counters, its health.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AddressKey {
    pub ip: IpAddr,
    pub port: u16,
    pub host: Arc<str>,
}

impl AddressKey {
    pub(crate) fn of(address: &Address, targets: &[Target]) -> Self {
        let host = targets.get(address.target).map_or_else(|| address.name.clone(), |target| target.host.clone());
        Self { ip: address.ip, port: address.port, host }
    }
}
