//! What the index does not settle for a route of attributes: methods, headers, SNI, addresses, ports.

use std::borrow::Cow;

use gibbon_message::Headers;

use crate::keys::MAX_KEY;
use crate::pattern::Regex;
use crate::spec::{Endpoint, Flavor, Protocol, Protocols, Query, RouteSpec, Subsystem};

/// A request with what matching derives from it once.
pub(crate) struct Request<'a> {
    pub(crate) query: &'a Query<'a>,
    /// Without the port; lower-cased in the `traditional` flavour. `None` if there is none.
    pub(crate) host: Option<&'a [u8]>,
    /// As written in the `Host` header.
    pub(crate) host_port: Option<i64>,
    pub(crate) sni: Option<&'a [u8]>,
    pub(crate) flavor: Flavor,
}

impl Request<'_> {
    /// The port asked for: of the `Host` header if it has one, else the one connected to.
    pub(crate) fn destination_port(&self) -> i64 {
        self.host_port.unwrap_or(i64::from(self.query.destination.1))
    }

    fn port_or_default(&self) -> i64 {
        self.host_port.unwrap_or(if self.query.protocol == Protocol::Https { 443 } else { 80 })
    }
}

/// Conditions that must all hold; an empty list counts as held.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    /// Set only if the index alone does not settle the hosts: one of them has a port, or is too long to be a key.
    hosts: Box<[HostPattern]>,
    methods: Box<[Box<str>]>,
    headers: Box<[HeaderRule]>,
    snis: Box<[NamePattern]>,
    sources: Box<[Endpoint]>,
    destinations: Box<[Endpoint]>,
    /// `None`: any. Protocols count as conditions only in the `expressions` flavour.
    protocols: Option<Protocols>,
}

impl Conditions {
    /// `None` if there are none.
    pub(crate) fn new(flavor: Flavor, spec: &RouteSpec) -> Result<Option<Conditions>, String> {
        let hosts: Vec<HostPattern> = spec.hosts.iter().map(|host| HostPattern::new(flavor, host)).collect();
        let with_port = hosts.iter().any(|host| host.port.is_some() || host.name.len() > MAX_KEY);
        let http = spec.subsystem() == Subsystem::Http;
        let upper = flavor == Flavor::Traditional;
        let methods = spec.methods.iter().map(|m| if upper { m.to_ascii_uppercase() } else { m.clone() }.into());
        let conditions = Conditions {
            hosts: if with_port && http { hosts.into() } else { Box::default() },
            methods: if http { methods.collect() } else { Box::default() },
            headers: if http { header_rules(flavor, spec)? } else { Box::default() },
            snis: spec.snis.iter().map(|sni| NamePattern::of_sni(flavor, sni)).collect(),
            sources: spec.sources.clone().into(),
            destinations: spec.destinations.clone().into(),
            protocols: protocols(flavor, spec),
        };
        Ok(Some(conditions).filter(|conditions| !conditions.is_empty()))
    }

    fn is_empty(&self) -> bool {
        self.hosts.is_empty()
            && self.methods.is_empty()
            && self.headers.is_empty()
            && self.snis.is_empty()
            && self.sources.is_empty()
            && self.destinations.is_empty()
            && self.protocols.is_none()
    }

    pub(crate) fn hold(&self, request: &Request<'_>) -> bool {
        let query = request.query;
        (self.methods.is_empty() || self.methods.iter().any(|method| **method == *query.method))
            && self.protocols.is_none_or(|protocols| {
                protocols.iter().any(|protocol| protocol.of_connection() == query.protocol.of_connection())
            })
            && any_holds(&self.hosts, |host| host.holds(request))
            && self.sni_holds(request)
            && any_holds(&self.sources, |endpoint| holds(endpoint, query.source.0, i64::from(query.source.1)))
            && any_holds(&self.destinations, |endpoint| {
                holds(endpoint, query.destination.0, request.destination_port())
            })
            && self.headers.iter().all(|rule| rule.holds(query.headers, request.flavor))
    }

    /// The SNI counts only on connections that can have one.
    fn sni_holds(&self, request: &Request<'_>) -> bool {
        if self.snis.is_empty() || is_sni_ignored(request.flavor, request.query.protocol) {
            return true;
        }
        request.sni.is_some_and(|sni| self.snis.iter().any(|name| name.matches(sni)))
    }
}

/// Whether routes with SNIs match a connection of this protocol whatever its SNI.
pub(crate) fn is_sni_ignored(flavor: Flavor, protocol: Protocol) -> bool {
    match flavor {
        Flavor::Traditional => protocol.of_connection() == Protocol::Http,
        _ => !matches!(protocol.of_connection(), Protocol::Https | Protocol::Tls),
    }
}

fn any_holds<C>(conditions: &[C], holds: impl Fn(&C) -> bool) -> bool {
    conditions.is_empty() || conditions.iter().any(holds)
}

fn holds(endpoint: &Endpoint, ip: std::net::IpAddr, port: i64) -> bool {
    endpoint.address.is_none_or(|address| address.contains(ip))
        && endpoint.port.is_none_or(|own| i64::from(own) == port)
}

/// A route that serves only encrypted connections also takes plain ones, which are then redirected.
fn protocols(flavor: Flavor, spec: &RouteSpec) -> Option<Protocols> {
    if flavor != Flavor::Expressions || spec.protocols.is_empty() {
        return None;
    }
    match spec.protocols.only() {
        Some(Protocol::Https | Protocol::Tls | Protocol::TlsPassthrough) => None,
        _ => Some(spec.protocols),
    }
}

/// A name with an optional wildcard at one end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamePattern {
    Exact(Box<[u8]>),
    EndsWith(Box<[u8]>),
    StartsWith(Box<[u8]>),
}

impl NamePattern {
    fn new(name: &str) -> NamePattern {
        if let Some(end) = name.strip_prefix('*') {
            NamePattern::EndsWith(end.as_bytes().into())
        } else if let Some(start) = name.strip_suffix('*') {
            NamePattern::StartsWith(start.as_bytes().into())
        } else {
            NamePattern::Exact(name.as_bytes().into())
        }
    }

    /// A dot at the end of a name is not part of it. `traditional` knows no wildcards here.
    pub(crate) fn of_sni(flavor: Flavor, sni: &str) -> NamePattern {
        let name = if sni.len() > 1 { sni.strip_suffix('.').unwrap_or(sni) } else { sni };
        match flavor {
            Flavor::Traditional => NamePattern::Exact(name.as_bytes().into()),
            _ => NamePattern::new(name),
        }
    }

    fn len(&self) -> usize {
        match self {
            NamePattern::Exact(name) | NamePattern::EndsWith(name) | NamePattern::StartsWith(name) => name.len(),
        }
    }

    fn matches(&self, name: &[u8]) -> bool {
        match self {
            NamePattern::Exact(own) => name == &**own,
            NamePattern::EndsWith(end) => name.ends_with(end),
            NamePattern::StartsWith(start) => name.starts_with(start),
        }
    }
}

/// One entry of `hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPattern {
    pub(crate) name: NamePattern,
    port: Option<i64>,
}

impl HostPattern {
    pub(crate) fn new(flavor: Flavor, host: &str) -> HostPattern {
        let (name, port) = match host.split_once(':') {
            Some((name, port)) => match port.parse() {
                Ok(port) => (name, Some(port)),
                Err(_) => (host, None),
            },
            None => (host, None),
        };
        // Only the older flavour compares host names without regard to case.
        let name = if flavor == Flavor::Traditional { Cow::Owned(name.to_lowercase()) } else { Cow::Borrowed(name) };
        HostPattern { name: NamePattern::new(&name), port }
    }

    pub(crate) fn port(&self) -> Option<i64> {
        self.port
    }

    fn holds(&self, request: &Request<'_>) -> bool {
        let is_traditional = request.flavor == Flavor::Traditional;
        let port = match &self.name {
            _ if !is_traditional => Some(request.destination_port()),
            NamePattern::Exact(_) => request.host_port,
            _ => Some(request.port_or_default()),
        };
        (self.port.is_none() || self.port == port) && request.host.is_some_and(|host| self.name.matches(host))
    }
}

/// The values of one header name; one of them must be met by one of the request's.
#[derive(Debug)]
struct HeaderRule {
    /// Lower case, with `_` for `-`.
    name: Box<[u8]>,
    values: Box<[Box<[u8]>]>,
    patterns: Box<[Regex]>,
}

fn header_rules(flavor: Flavor, spec: &RouteSpec) -> Result<Box<[HeaderRule]>, String> {
    let own_field = |name: &str| flavor == Flavor::Traditional && name.eq_ignore_ascii_case("host");
    spec.headers
        .iter()
        .filter(|(name, _)| !own_field(name))
        .map(|(name, values)| HeaderRule::new(flavor, name, values))
        .collect()
}

impl HeaderRule {
    fn new(flavor: Flavor, name: &str, values: &[String]) -> Result<HeaderRule, String> {
        let is_traditional = flavor == Flavor::Traditional;
        let mut rule = HeaderRule {
            name: name.to_ascii_lowercase().replace('-', "_").into_bytes().into(),
            values: Box::default(),
            patterns: Box::default(),
        };
        let (mut texts, mut patterns) = (Vec::new(), Vec::new());
        for value in values {
            // In the older flavour a pattern counts only if it is the sole value, and also as plain text.
            let pattern = value.strip_prefix("~*").filter(|_| !is_traditional || values.len() == 1);
            if let Some(text) = pattern {
                patterns.push(Regex::of_header(flavor, text)?);
            }
            if pattern.is_none() || is_traditional {
                texts.push(value.to_ascii_lowercase().into_bytes().into_boxed_slice());
            }
        }
        rule.values = texts.into();
        rule.patterns = patterns.into();
        Ok(rule)
    }

    fn holds(&self, headers: &Headers, flavor: Flavor) -> bool {
        let same = |name: &[u8]| {
            name.len() == self.name.len()
                && name
                    .iter()
                    .zip(&self.name)
                    .all(|(&a, &b)| if a == b'-' { b == b'_' } else { a.to_ascii_lowercase() == b })
        };
        *self.name != *b"host"
            && headers.iter().filter(|(name, _)| same(name)).any(|(_, value)| self.value_holds(value, flavor))
    }

    fn value_holds(&self, value: &[u8], flavor: Flavor) -> bool {
        let value = lowered(value, flavor);
        self.values.iter().any(|own| **own == *value) || self.patterns.iter().any(|own| own.is_match(&value))
    }
}

/// Lower case: of all letters in the newer flavours, of ASCII ones in the older.
fn lowered(value: &[u8], flavor: Flavor) -> Cow<'_, [u8]> {
    if value.is_ascii() || flavor == Flavor::Traditional {
        if !value.iter().any(u8::is_ascii_uppercase) {
            return Cow::Borrowed(value);
        }
        return Cow::Owned(value.to_ascii_lowercase());
    }
    match std::str::from_utf8(value) {
        Ok(text) => Cow::Owned(text.to_lowercase().into_bytes()),
        Err(_) => Cow::Owned(value.to_ascii_lowercase()),
    }
}
