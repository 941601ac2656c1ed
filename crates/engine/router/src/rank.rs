//! Which of several matching routes wins: a total order over all compiled routes of a router.

use uuid::Uuid;

use crate::compile::Group;
use crate::spec::{Address, Endpoint, Flavor, RouteSpec, Subsystem};

/// The place of a route among all others; the greatest that matches wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Rank {
    primary: u128,
    tie: u128,
}

impl Rank {
    /// The most significant part: a greater top means a greater rank, an equal one says nothing.
    pub(crate) fn top(&self) -> u64 {
        (self.primary >> 64) as u64
    }

    /// The rank of a group of a route's paths.
    pub(crate) fn of_attributes(flavor: Flavor, spec: &RouteSpec, group: &Group<'_>) -> Rank {
        match flavor {
            Flavor::Traditional => traditional(spec, group),
            _ => Rank::of_priority(priority(spec, &group.paths), group.id),
        }
    }

    /// Expressions rank above all attributes of up to three kinds.
    pub(crate) fn of_expression(spec: &RouteSpec) -> Rank {
        Rank::of_priority(0xff << 56 | spec.priority, spec.id)
    }

    /// Kong's engine evaluates by descending priority, and equal ones by descending id.
    fn of_priority(priority: u64, id: Uuid) -> Rank {
        Rank { primary: u128::from(priority) << 64, tie: id.as_u128() }
    }
}

fn priority(spec: &RouteSpec, paths: &[&str]) -> u64 {
    match spec.subsystem() {
        Subsystem::Http => http_priority(spec, paths),
        Subsystem::Stream => stream_priority(spec),
    }
}

const PLAIN_HOSTS_ONLY: u64 = 1 << 60;
const REGEX_PATH: u64 = 1 << 51;

/// Kong lays this number out as kinds << 61, plain hosts << 60, headers << 52, regex << 51, regex priority << 19,
/// prefix length; but LuaJIT shifts plain numbers as signed 32-bit integers with the count taken modulo 32. So the
/// number of kinds really lands at bit 29, the headers at bit 20, and a negative result fills all bits above.
/// What follows, and what a real Kong does: plain hosts outrank any number of kinds up to three, then comes the
/// regex path; four or more kinds (and a negative regex priority) outrank everything.
fn http_priority(spec: &RouteSpec, paths: &[&str]) -> u64 {
    let kinds = [
        !spec.sources.is_empty(),
        !spec.destinations.is_empty(),
        !spec.methods.is_empty(),
        !spec.hosts.is_empty(),
        !spec.headers.is_empty(),
        !spec.snis.is_empty(),
        !paths.is_empty(),
    ];
    let kinds = kinds.into_iter().filter(|set| *set).count() as i64;
    let headers = spec.headers.len().min(255) as i64;
    let plain_hosts = !spec.hosts.is_empty() && !spec.hosts.iter().any(|host| host.contains('*'));
    let first = paths.first().copied().unwrap_or_default();
    let (regex, length) = if first.starts_with('~') { (true, 0) } else { (false, first.len() as u64 & 0x7ffff) };
    let regex_priority = if regex { spec.regex_priority } else { 0 };
    shifted_as_lua(kinds, 61)
        | shifted_as_lua(headers, 52)
        | shifted_as_lua(regex_priority, 19)
        | if plain_hosts { PLAIN_HOSTS_ONLY } else { 0 }
        | if regex { REGEX_PATH } else { 0 }
        | length
}

/// `bit.lshift` of LuaJIT on a plain number, widened to 64 bits with its sign.
fn shifted_as_lua(value: i64, count: u32) -> u64 {
    i64::from((value as i32) << (count % 32)) as u64
}

fn stream_priority(spec: &RouteSpec) -> u64 {
    let first = !spec.snis.is_empty() || (!spec.sources.is_empty() && !spec.destinations.is_empty());
    u64::from(first) << 61 | endpoint_bits(&spec.sources) << 4 | endpoint_bits(&spec.destinations)
}

/// Address over port over network.
fn endpoint_bits(endpoints: &[Endpoint]) -> u64 {
    endpoints.iter().fold(0, |bits, endpoint| {
        let address = match endpoint.address {
            Some(Address::Ip(_)) => 8,
            Some(Address::Network(_)) => 1,
            None => 0,
        };
        bits | address | if endpoint.port.is_some() { 4 } else { 0 }
    })
}

// Bits of a category of the traditional flavour, by precedence.
const HOST: u128 = 0x40;
const HEADER: u128 = 0x20;
const URI: u128 = 0x10;
const METHOD: u128 = 0x08;
const SNI: u128 = 0x04;
const SOURCE: u128 = 0x02;
const DESTINATION: u128 = 0x01;

/// Number of kinds, which kinds, hosts and regex, number of headers, regex priority, length of the path; ties go
/// to an entry with address and port together (stream), then to the oldest, then to the greater id, and among the
/// paths of one route to the first.
fn traditional(spec: &RouteSpec, group: &Group<'_>) -> Rank {
    let path = group.paths.first().copied();
    let headers = spec.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")).count();
    let regex = path.is_some_and(|path| path.starts_with('~'));
    let category = [
        (!spec.hosts.is_empty(), HOST),
        (headers > 0, HEADER),
        (path.is_some(), URI),
        (!spec.methods.is_empty(), METHOD),
        (!spec.snis.is_empty(), SNI),
        (!spec.sources.is_empty(), SOURCE),
        (!spec.destinations.is_empty(), DESTINATION),
    ]
    .into_iter()
    .fold(0, |bits, (set, bit)| if set { bits | bit } else { bits });
    let regex_priority = if regex { spec.regex_priority } else { 0 };
    let length = if regex { 0 } else { path.map_or(0, str::len) };
    let both = |endpoints: &[Endpoint]| endpoints.iter().any(|e| e.address.is_some() && e.port.is_some());

    let mut primary = Packed(0);
    primary.push(u128::from(category.count_ones()), 3);
    primary.push(category, 7);
    primary.push(host_and_regex_weight(spec, regex), 3);
    primary.push(headers as u128, 15);
    primary.push((i128::from(regex_priority) - i128::from(i64::MIN)) as u128, 64);
    primary.push(length as u128, 32);
    primary.push(u128::from(both(&spec.sources)), 1);
    primary.push(u128::from(both(&spec.destinations)), 1);

    let mut tie = Packed(0);
    tie.push(age(spec.created_at), 40);
    tie.push(spec.id.as_u128() >> 48, 80);
    tie.push(255 - group.number.min(255) as u128, 8);
    Rank { primary: primary.0 << 2, tie: tie.0 }
}

/// Wildcard host with a port over plain hosts only over regex path.
fn host_and_regex_weight(spec: &RouteSpec, regex: bool) -> u128 {
    let wildcard = |host: &&String| host.contains('*');
    let wildcard_port = spec.hosts.iter().filter(wildcard).any(|host| host.contains(':'));
    let plain_only = !spec.hosts.is_empty() && !spec.hosts.iter().any(|host| host.contains('*'));
    u128::from(wildcard_port) << 2 | u128::from(plain_only) << 1 | u128::from(regex)
}

/// The older, the greater.
fn age(created_at: i64) -> u128 {
    const MAX: i64 = (1 << 40) - 1;
    (MAX - created_at.clamp(0, MAX)) as u128
}

/// Numbers side by side, the first most significant; what does not fit its width counts as the greatest.
struct Packed(u128);

impl Packed {
    fn push(&mut self, value: u128, bits: u32) {
        self.0 = self.0 << bits | value.min((1 << bits) - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(hosts: &[&str], methods: &[&str], headers: usize) -> RouteSpec {
        RouteSpec {
            hosts: hosts.iter().map(|h| (*h).into()).collect(),
            methods: methods.iter().map(|m| (*m).into()).collect(),
            headers: (0..headers).map(|i| (format!("x-{i}"), vec!["1".into()])).collect(),
            protocols: [crate::Protocol::Http].into_iter().collect(),
            ..RouteSpec::default()
        }
    }

    #[test]
    fn plain_hosts_outrank_two_kinds_with_a_wildcard() {
        let wildcard_and_headers = priority(&route(&["*.a.test", "b.test"], &[], 2), &[]);
        let plain = priority(&route(&["b.test"], &[], 0), &[]);
        assert!(plain > wildcard_and_headers);
    }

    #[test]
    fn four_kinds_outrank_everything() {
        let four = priority(&route(&["*.a.test"], &["GET"], 1), &["/a"]);
        assert_eq!(four >> 32, 0xffff_ffff);
        assert!(four > priority(&route(&["a.test"], &["GET"], 0), &["/a"]));
    }

    #[test]
    fn a_negative_regex_priority_outranks_a_positive_one() {
        let with = |regex_priority| RouteSpec { regex_priority, ..route(&[], &[], 0) };
        assert!(priority(&with(-1), &["~/a"]) > priority(&with(5), &["~/a"]));
        assert!(priority(&with(5), &["~/a"]) > priority(&with(0), &["~/a"]));
        assert_eq!(priority(&with(5), &["/a"]), priority(&with(0), &["/a"]));
    }

    #[test]
    fn regex_over_longer_prefix_and_longer_prefix_over_shorter() {
        let plain = route(&[], &[], 0);
        assert!(priority(&plain, &["~/a"]) > priority(&plain, &["/aaaaaaaaaaaaaa"]));
        assert!(priority(&plain, &["/aa"]) > priority(&plain, &["/a"]));
    }

    #[test]
    fn an_expression_outranks_attributes_and_goes_by_its_priority() {
        let with = |priority| Rank::of_expression(&RouteSpec { priority, ..RouteSpec::default() });
        assert!(with(1) > with(0));
        assert!(with(0).top() > priority(&route(&["a"], &[], 1), &["/a"]));
    }

    #[test]
    fn traditional_goes_by_number_of_kinds_first() {
        let rank = |spec: &RouteSpec, path: Option<&str>| {
            traditional(spec, &Group { number: 0, id: spec.id, paths: path.into_iter().collect() })
        };
        let host = route(&["a.test"], &[], 0);
        let path_and_method = route(&[], &["GET"], 0);
        assert!(rank(&path_and_method, Some("/a")) > rank(&host, None));
        let header = route(&[], &[], 1);
        assert!(rank(&host, None) > rank(&header, None));
        let (old, new) = (RouteSpec { created_at: 1, ..host.clone() }, RouteSpec { created_at: 2, ..host });
        assert!(rank(&old, None) > rank(&new, None));
    }
}
