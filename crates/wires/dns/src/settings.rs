//! How to resolve: servers, search domains, order of record types, life times. Read from settings and resolv.conf.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gibbon_balance::RecordKind;

use crate::Hosts;

/// Most servers taken from a list; asking more in turn would only multiply the wait.
const MAX_SERVERS: usize = 16;
const MAX_SEARCH: usize = 32;

/// One step of the order in which record types are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderStep {
    /// The type that the name last resolved to.
    Last,
    /// A type.
    Kind(RecordKind),
    /// Follow an alias that no address query followed.
    Cname,
}

/// A setting that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not a record type.
    #[error("invalid dns record type '{0}' in the order: expected LAST, SRV, A, AAAA or CNAME")]
    RecordType(String),
    /// Nothing to try.
    #[error("the dns order must name at least one record type")]
    EmptyOrder,
    /// Not an address.
    #[error("invalid nameserver '{0}': expected ip, ip:port or [ipv6]:port")]
    Server(String),
}

/// All settings, with the defaults of the classic client.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Servers, in order of preference.
    pub servers: Vec<SocketAddr>,
    /// Domains appended to names with fewer dots than `ndots`, and after them to others that were not found.
    pub search: Vec<String>,
    /// See `search`.
    pub ndots: usize,
    /// How many times a question is sent, over all servers.
    pub attempts: u32,
    /// How long to wait for each.
    pub timeout: Duration,
    /// Begin with another server each time.
    pub rotate: bool,
    /// Record types, in the order of trying.
    pub order: Vec<OrderStep>,
    /// Names that need no server.
    pub hosts: Hosts,
    /// Overrides the life time of every answer.
    pub valid_ttl: Option<Duration>,
    /// How long an expired answer may still serve while it is being renewed.
    pub stale_ttl: Duration,
    /// How long "no such name" and "no record" are remembered.
    pub not_found_ttl: Duration,
    /// How long other errors are remembered.
    pub error_ttl: Duration,
    /// Most names remembered.
    pub cache_size: usize,
    /// Ask once for all who want to know at the same time.
    pub coalesce: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            attempts: 5,
            timeout: Duration::from_secs(2),
            rotate: false,
            order: vec![
                OrderStep::Last,
                OrderStep::Kind(RecordKind::Srv),
                OrderStep::Kind(RecordKind::A),
                OrderStep::Cname,
            ],
            hosts: Hosts::default(),
            valid_ttl: None,
            stale_ttl: Duration::from_secs(3_600),
            not_found_ttl: Duration::from_secs(30),
            error_ttl: Duration::from_secs(1),
            cache_size: 10_000,
            coalesce: true,
        }
    }
}

impl Settings {
    /// Reads a `dns_order`: any of LAST, SRV, A, AAAA and CNAME, without regard to case.
    pub fn parse_order<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<OrderStep>, SettingsError> {
        let order: Vec<_> = names.into_iter().map(order_step).collect::<Result<_, _>>()?;
        if order.is_empty() { Err(SettingsError::EmptyOrder) } else { Ok(order) }
    }

    /// Reads a `resolver_family`: it says which types are tried; their order is always SRV, A, AAAA.
    pub fn parse_family<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<OrderStep>, SettingsError> {
        let wanted = Self::parse_order(names)?;
        let order: Vec<_> = [RecordKind::Srv, RecordKind::A, RecordKind::Aaaa]
            .into_iter()
            .map(OrderStep::Kind)
            .filter(|step| wanted.contains(step))
            .collect();
        if order.is_empty() { Err(SettingsError::EmptyOrder) } else { Ok(order) }
    }

    /// Reads one server: `ip`, `ip:port`, `ipv6` or `[ipv6]:port`; the default port is 53.
    pub fn parse_server(text: &str) -> Result<SocketAddr, SettingsError> {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        text.parse()
            .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)))
            .map_err(|_| SettingsError::Server(text.into()))
    }

    /// Takes over the text of a resolv.conf. Servers already set stay; lines that make no sense are skipped.
    pub fn apply_resolv_conf(&mut self, text: &str) {
        let mut servers = Vec::new();
        for line in text.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or_default().split_whitespace();
            match words.next() {
                // Addresses with a scope (`fe80::1%eth0`) do not parse and are left out.
                Some("nameserver") => servers.extend(words.next().and_then(|word| Self::parse_server(word).ok())),
                Some("domain") => self.search = words.take(1).map(str::to_owned).collect(),
                Some("search") => self.search = words.map(str::to_owned).collect(),
                Some("options") => words.for_each(|option| self.apply_option(option)),
                _ => {}
            }
        }
        if self.servers.is_empty() {
            self.servers = servers;
        }
        self.tidy();
    }

    /// Takes over the variables `LOCALDOMAIN` and `RES_OPTIONS`, which win over resolv.conf.
    pub fn apply_environment(&mut self, localdomain: Option<&str>, res_options: Option<&str>) {
        if let Some(domains) = localdomain {
            self.search = domains.split_whitespace().map(str::to_owned).collect();
        }
        res_options.unwrap_or_default().split_whitespace().for_each(|option| self.apply_option(option));
        self.tidy();
    }

    fn apply_option(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        let number = value.parse::<u32>().ok();
        match (name, number) {
            ("ndots", Some(ndots)) => self.ndots = ndots.min(15) as usize,
            ("timeout", Some(seconds)) if seconds > 0 => self.timeout = Duration::from_secs(seconds.min(30).into()),
            ("attempts", Some(attempts)) if attempts > 0 => self.attempts = attempts.min(10),
            ("rotate", _) => self.rotate = true,
            _ => {}
        }
    }

    fn tidy(&mut self) {
        self.servers.truncate(MAX_SERVERS);
        // The root as a search domain is the bare name once more.
        self.search.retain(|domain| !domain.trim_matches('.').is_empty());
        self.search.truncate(MAX_SEARCH);
    }
}

fn order_step(name: &str) -> Result<OrderStep, SettingsError> {
    Ok(match name.trim().to_ascii_uppercase().as_str() {
        "LAST" => OrderStep::Last,
        "SRV" => OrderStep::Kind(RecordKind::Srv),
        "A" => OrderStep::Kind(RecordKind::A),
        "AAAA" => OrderStep::Kind(RecordKind::Aaaa),
        "CNAME" => OrderStep::Cname,
        _ => return Err(SettingsError::RecordType(name.into())),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_gives_servers_search_and_options() {
        let mut settings = Settings::default();
        settings.apply_resolv_conf(
            "# comment\nnameserver 10.0.0.53\nnameserver fe80::1%eth0\nnameserver ::1 ; here\ndomain ignored.test\n\
             search a.test b.test .\noptions ndots:5 timeout:3 attempts:2 rotate nonsense ndots:x\n",
        );
        assert_eq!(settings.servers, ["10.0.0.53:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!(settings.search, ["a.test", "b.test"]);
        assert_eq!((settings.ndots, settings.attempts, settings.rotate), (5, 2, true));
        assert_eq!(settings.timeout, Duration::from_secs(3));
    }

    #[test]
    fn configured_servers_win_over_resolv_conf_and_the_environment_over_its_search() {
        let mut settings =
            Settings { servers: vec![Settings::parse_server("10.0.0.1:5353").unwrap()], ..Settings::default() };
        settings.apply_resolv_conf("nameserver 10.0.0.53\nsearch a.test\n");
        settings.apply_environment(Some("b.test c.test"), Some("ndots:2"));
        assert_eq!(settings.servers, ["10.0.0.1:5353".parse().unwrap()]);
        assert_eq!((settings.search, settings.ndots), (vec!["b.test".to_owned(), "c.test".to_owned()], 2));
    }

    #[test]
    fn servers_have_a_port_or_port_53() {
        let parse = |text| Settings::parse_server(text).map(|server| server.to_string());
        assert_eq!(parse("1.1.1.1").unwrap(), "1.1.1.1:53");
        assert_eq!(parse("1.1.1.1:54").unwrap(), "1.1.1.1:54");
        assert_eq!(parse("[::1]:54").unwrap(), "[::1]:54");
        assert_eq!(parse("[::1]").unwrap(), "[::1]:53");
        assert_eq!(parse("::1").unwrap(), "[::1]:53");
        assert!(parse("dns.test").unwrap_err().to_string().contains("'dns.test'"));
    }

    #[test]
    fn an_order_is_read_as_written_and_a_family_in_its_own_order() {
        let (a, srv) = (OrderStep::Kind(RecordKind::A), OrderStep::Kind(RecordKind::Srv));
        assert_eq!(Settings::parse_order(["last", "A", "SRV"]).unwrap(), [OrderStep::Last, a, srv]);
        assert_eq!(Settings::parse_family(["A", "SRV"]).unwrap(), [srv, a]);
        assert!(Settings::parse_order(["MX"]).unwrap_err().to_string().contains("'MX'"));
        assert_eq!(Settings::parse_order([]).unwrap_err(), SettingsError::EmptyOrder);
        assert_eq!(Settings::parse_family(["LAST"]).unwrap_err(), SettingsError::EmptyOrder);
    }
}
