//! Name resolution, read from the `dns_` settings or, with `new_dns_client`, from the `resolver_` ones.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::settings::Builder;

/// Record types in the order they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordType {
    /// The type that answered before.
    Last,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Services.
    Srv,
    /// Aliases.
    Cname,
}

impl RecordType {
    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_uppercase().as_str() {
            "LAST" => Some(Self::Last),
            "A" => Some(Self::A),
            "AAAA" => Some(Self::Aaaa),
            "SRV" => Some(Self::Srv),
            "CNAME" => Some(Self::Cname),
            _ => None,
        }
    }
}

/// Name resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameResolution {
    /// Name servers; empty reads resolv.conf.
    pub servers: Vec<SocketAddr>,
    /// Hosts file.
    pub hosts_file: PathBuf,
    /// Record types in order.
    pub order: Vec<RecordType>,
    /// Time a record is kept, instead of its own.
    pub valid_ttl: Option<Duration>,
    /// Time an expired record may still be used.
    pub stale_ttl: Duration,
    /// Time an empty answer is kept.
    pub not_found_ttl: Duration,
    /// Time a failure is kept.
    pub error_ttl: Duration,
    /// Records kept.
    pub cache_size: usize,
    /// Whether requests for one name share one question.
    pub coalesce: bool,
    /// Whether the `resolver_` settings were read.
    pub new_client: bool,
}

impl NameResolution {
    pub(crate) fn build(b: &mut Builder<'_>) -> Self {
        let new_client = b.values.flag("new_dns_client");
        let pick = |old, new| if new_client { new } else { old };
        let ttl = |b: &Builder<'_>, name| b.seconds(name).unwrap_or_default();
        let hosts = pick("dns_hostsfile", "resolver_hosts_file");
        let hosts_file = PathBuf::from(b.values.text(hosts).unwrap_or("/etc/hosts"));
        if b.values.given(hosts).is_some() && !b.surroundings.exists(&hosts_file) {
            b.fault(hosts, format!("{hosts}: file does not exist"));
        }
        Self {
            servers: servers(b, pick("dns_resolver", "resolver_address")),
            hosts_file,
            order: order(b, pick("dns_order", "resolver_family")),
            valid_ttl: b.seconds(pick("dns_valid_ttl", "resolver_valid_ttl")).filter(|ttl| !ttl.is_zero()),
            stale_ttl: ttl(b, pick("dns_stale_ttl", "resolver_stale_ttl")),
            not_found_ttl: ttl(b, pick("dns_not_found_ttl", "resolver_error_ttl")),
            error_ttl: ttl(b, pick("dns_error_ttl", "resolver_error_ttl")),
            cache_size: b.values.whole(pick("dns_cache_size", "resolver_lru_cache_size")).unwrap_or(10_000),
            coalesce: new_client || !b.values.flag("dns_no_sync"),
            new_client,
        }
    }
}

fn servers(b: &mut Builder<'_>, name: &str) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for text in b.values.list(name).iter().filter(|text| !text.is_empty()) {
        let address = text.parse::<SocketAddr>().ok().or_else(|| {
            let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
            bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53))
        });
        match address {
            Some(address) => servers.push(address),
            None => {
                let message =
                    format!("{name} must be a comma separated list in the form of IPv4/6 or IPv4/6:port, got '{text}'");
                b.fault(name, message);
            }
        }
    }
    servers
}

fn order(b: &mut Builder<'_>, name: &str) -> Vec<RecordType> {
    let mut order = Vec::new();
    for entry in b.values.list(name) {
        match RecordType::parse(&entry) {
            Some(record) => order.push(record),
            None => b.fault(name, format!("{name}: invalid entry '{entry}'")),
        }
    }
    order
}
