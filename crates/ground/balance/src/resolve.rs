//! From configured targets and what their names resolved to, the list of addresses to balance over.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::{Address, Target};

/// A target as configured, before its name is resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSpec {
    /// Id of the entity.
    pub id: Arc<str>,
    /// Host part as written: a name, an IPv4 literal or a bracketed IPv6 literal.
    pub host: Arc<str>,
    /// Configured port.
    pub port: u16,
    /// Configured weight, 0..=65535.
    pub weight: u32,
    /// Used only while no ordinary target is available.
    pub failover: bool,
}

impl TargetSpec {
    /// Reads a stored `target` field (`host:port`, IPv6 in brackets); `None` if it has no port.
    pub fn parse(id: &str, target: &str, weight: u32, failover: bool) -> Option<Self> {
        let (host, port) = target.rsplit_once(':')?;
        let bare_ipv6 = host.contains(':') && !host.starts_with('[');
        if host.is_empty() || bare_ipv6 {
            return None;
        }
        Some(Self { id: id.into(), host: host.into(), port: port.parse().ok()?, weight, failover })
    }

    /// The address itself, if the host is a literal that needs no resolving.
    pub fn literal(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }
}

/// Type of the records a name resolved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Services with their own port, weight and name.
    Srv,
}

impl RecordKind {
    /// Name of the type as reports show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Srv => "SRV",
        }
    }
}

/// One resolved record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsRecord {
    /// Where to connect.
    pub ip: IpAddr,
    /// Port of an SRV record; 0 (or an A record's) means the target's.
    pub port: u16,
    /// Weight of an SRV record; ignored for the other kinds.
    pub weight: u16,
    /// Name an SRV record points at.
    pub name: Option<Arc<str>>,
}

/// What is known about a target's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// It resolved; for SRV only the records of the lowest priority are listed.
    Records(RecordKind, Vec<DnsRecord>),
    /// It did not; the resolver's text is shown by the health endpoints.
    Failed(String),
    /// Nobody asked yet.
    Unknown,
}

/// Pairs targets with their resolutions and lists all addresses, in a stable order.
///
/// A target's weight applies to *each* of its A or AAAA records; an SRV record brings its own weight (0 counts as 1)
/// and port. An SRV name with several IPs becomes several addresses that share the record's weight.
/// With `use_srv_name` the Host header of an SRV address is the record's name instead of the target's.
///
/// Literals ignore their resolution. A target without a resolution is kept, without addresses.
pub fn expand(specs: &[TargetSpec], resolutions: &[Resolution], use_srv_name: bool) -> (Vec<Target>, Vec<Address>) {
    let mut targets = Vec::with_capacity(specs.len());
    let mut addresses = Vec::new();
    for (position, spec) in specs.iter().enumerate() {
        let mut own = Vec::new();
        let dns: Arc<str> = match (spec.literal(), resolutions.get(position)) {
            (Some(ip), _) => {
                own.push(literal_address(spec, ip, position));
                if ip.is_ipv4() { RecordKind::A } else { RecordKind::Aaaa }.as_str().into()
            }
            (None, Some(Resolution::Records(RecordKind::Srv, records))) => {
                own = srv_addresses(spec, records, position, use_srv_name);
                RecordKind::Srv.as_str().into()
            }
            (None, Some(Resolution::Records(kind, records))) => {
                own = plain_addresses(spec, records, position);
                kind.as_str().into()
            }
            (None, Some(Resolution::Failed(text))) => text.as_str().into(),
            (None, Some(Resolution::Unknown) | None) => "unknown".into(),
        };
        own.sort_by(|a, b| (&a.name, a.port, a.ip).cmp(&(&b.name, b.port, b.ip)));
        own.dedup_by(|a, b| a.ip == b.ip && a.port == b.port);
        addresses.append(&mut own);
        targets.push(Target {
            id: spec.id.clone(),
            host: spec.host.clone(),
            port: spec.port,
            weight: spec.weight,
            failover: spec.failover,
            dns,
        });
    }
    (targets, addresses)
}

fn literal_address(spec: &TargetSpec, ip: IpAddr, target: usize) -> Address {
    Address { ip, port: spec.port, weight: spec.weight, name: spec.host.clone(), host: None, target }
}

fn plain_addresses(spec: &TargetSpec, records: &[DnsRecord], target: usize) -> Vec<Address> {
    let address = |record: &DnsRecord| Address {
        ip: record.ip,
        port: spec.port,
        weight: spec.weight,
        name: ip_name(record.ip).into(),
        host: Some(spec.host.clone()),
        target,
    };
    records.iter().map(address).collect()
}

fn srv_addresses(spec: &TargetSpec, records: &[DnsRecord], target: usize, use_srv_name: bool) -> Vec<Address> {
    let same = |a: &DnsRecord, b: &DnsRecord| a.name == b.name && a.port == b.port && a.weight == b.weight;
    let address = |record: &DnsRecord| {
        let siblings: Vec<&DnsRecord> = records.iter().filter(|other| same(other, record)).collect();
        let position = siblings.iter().position(|other| other.ip == record.ip).unwrap_or(0);
        let name = record.name.clone().unwrap_or_else(|| ip_name(record.ip).into());
        Address {
            ip: record.ip,
            port: if record.port == 0 { spec.port } else { record.port },
            // A target of weight 0 is drained, whatever its records say.
            weight: if spec.weight == 0 { 0 } else { share(record.weight, position, siblings.len()) },
            host: Some(if use_srv_name { name.clone() } else { spec.host.clone() }),
            name,
            target,
        }
    };
    records.iter().map(address).collect()
}

/// The part of an SRV weight that the `position`-th of `count` IPs carries: at least 1, the rest spread evenly.
fn share(weight: u16, position: usize, count: usize) -> u32 {
    let (weight, position, count) = (u32::from(weight.max(1)), position as u32, (count as u32).max(1));
    (weight / count + u32::from(position < weight % count)).max(1)
}

/// An address as rings and reports write it: IPv6 in brackets, all eight groups, no leading zeros.
fn ip_name(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{}]", groups(ip)),
    }
}

fn groups(ip: Ipv6Addr) -> String {
    ip.segments().iter().map(|group| format!("{group:x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn spec(target: &str, weight: u32) -> TargetSpec {
        TargetSpec::parse("id", target, weight, false).unwrap()
    }

    fn record(ip: &str, port: u16, weight: u16, name: Option<&str>) -> DnsRecord {
        DnsRecord { ip: ip.parse().unwrap(), port, weight, name: name.map(Into::into) }
    }

    #[test]
    fn targets_need_a_port_and_ipv6_needs_brackets() {
        assert_eq!(spec("a.test:80", 1).host.as_ref(), "a.test");
        assert!(TargetSpec::parse("id", "a.test", 1, false).is_none());
        assert!(TargetSpec::parse("id", "::1:80", 1, false).is_none());
        assert!(TargetSpec::parse("id", "a.test:99999", 1, false).is_none());
        let ipv6 = spec("[0000:0000:0000:0000:0000:0000:0000:0001]:80", 1);
        assert_eq!(ipv6.literal(), Some("::1".parse().unwrap()));
    }

    #[test]
    fn a_literal_needs_no_resolution_and_keeps_its_spelling() {
        let specs = [spec("[0000:0000:0000:0000:0000:0000:0000:0001]:80", 7)];
        let (targets, addresses) = expand(&specs, &[], false);
        assert_eq!(targets[0].dns.as_ref(), "AAAA");
        assert_eq!(addresses[0].name.as_ref(), "[0000:0000:0000:0000:0000:0000:0000:0001]");
        assert_eq!(addresses[0].host, None);
    }

    #[test]
    fn the_targets_weight_applies_to_each_a_record() {
        let records = Resolution::Records(
            RecordKind::A,
            vec![record("10.0.0.2", 0, 0, None), record("10.0.0.1", 0, 0, None), record("10.0.0.1", 0, 0, None)],
        );
        let (targets, addresses) = expand(&[spec("a.test:81", 30)], &[records], false);
        assert_eq!(targets[0].dns.as_ref(), "A");
        let got: Vec<_> = addresses.iter().map(|a| (a.name.as_ref(), a.port, a.weight)).collect();
        assert_eq!(got, [("10.0.0.1", 81, 30), ("10.0.0.2", 81, 30)]);
        assert_eq!(addresses[0].host.as_deref(), Some("a.test"));
    }

    #[test]
    fn ipv6_records_are_written_with_all_groups() {
        let records = Resolution::Records(RecordKind::Aaaa, vec![record("fe80::1", 0, 0, None)]);
        let (_, addresses) = expand(&[spec("a.test:81", 30)], &[records], false);
        assert_eq!(addresses[0].name.as_ref(), "[fe80:0:0:0:0:0:0:1]");
    }

    #[test]
    fn an_srv_record_brings_its_own_port_and_weight() {
        let records = Resolution::Records(
            RecordKind::Srv,
            vec![record("10.0.0.1", 9001, 0, Some("one.test")), record("10.0.0.2", 0, 5, Some("two.test"))],
        );
        let (_, addresses) = expand(&[spec("a.test:81", 30)], std::slice::from_ref(&records), false);
        let got: Vec<_> = addresses.iter().map(|a| (a.name.as_ref(), a.port, a.weight)).collect();
        assert_eq!(got, [("one.test", 9001, 1), ("two.test", 81, 5)]);
        assert_eq!(addresses[0].host.as_deref(), Some("a.test"));
        let (_, addresses) = expand(&[spec("a.test:81", 30)], &[records], true);
        assert_eq!(addresses[0].host.as_deref(), Some("one.test"));
    }

    #[test]
    fn the_ips_of_one_srv_name_share_its_weight() {
        let records = Resolution::Records(
            RecordKind::Srv,
            vec![record("10.0.0.1", 80, 5, Some("one.test")), record("10.0.0.2", 80, 5, Some("one.test"))],
        );
        let (_, addresses) = expand(&[spec("a.test:81", 30)], &[records], false);
        assert_eq!(addresses.iter().map(|a| a.weight).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn a_failed_name_keeps_its_target_and_the_reason() {
        let failed = Resolution::Failed("dns server error: 3 name error".into());
        let (targets, addresses) = expand(&[spec("nope.invalid:80", 100)], &[failed], false);
        assert_eq!(targets[0].dns.as_ref(), "dns server error: 3 name error");
        assert!(addresses.is_empty());
    }
}
