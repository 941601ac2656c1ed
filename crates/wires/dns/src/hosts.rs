//! The hosts file: names that need no server.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most names kept of a file. Blocklists of a million names do not belong in a gateway's memory.
const MAX_NAMES: usize = 100_000;

/// Addresses by name, lower case; at most one of each family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    names: HashMap<Box<str>, HostEntry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct HostEntry {
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
}

impl Default for Hosts {
    /// Only `localhost`.
    fn default() -> Self {
        Self::parse("")
    }
}

impl Hosts {
    /// Reads the text of a hosts file. The first address of a family wins; lines that make no sense are skipped.
    ///
    /// `localhost` is always known (RFC 6761, section 6.3).
    pub fn parse(text: &str) -> Self {
        let mut names: HashMap<Box<str>, HostEntry> = HashMap::new();
        for line in text.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or_default().split_whitespace();
            let Some(ip) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
            for name in words {
                if names.len() >= MAX_NAMES {
                    break;
                }
                let entry = names.entry(name.to_ascii_lowercase().into()).or_default();
                match ip {
                    IpAddr::V4(ip) => entry.v4 = entry.v4.or(Some(ip)),
                    IpAddr::V6(ip) => entry.v6 = entry.v6.or(Some(ip)),
                }
            }
        }
        names
            .entry("localhost".into())
            .or_insert(HostEntry { v4: Some(Ipv4Addr::LOCALHOST), v6: Some(Ipv6Addr::LOCALHOST) });
        Self { names }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|name| &**name)
    }

    pub(crate) fn get(&self, name: &str) -> Option<HostEntry> {
        self.names.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(text: &str) -> Option<Ipv4Addr> {
        text.parse().ok()
    }

    #[test]
    fn names_and_aliases_are_read_without_case_and_comments() {
        let hosts =
            Hosts::parse("10.0.0.1 One.Test alias # comment\n#10.0.0.9 no.test\n\tfe80::1  one.test\nbad line\n");
        let one = hosts.get("one.test").unwrap_or_default();
        assert_eq!((one.v4, one.v6), (v4("10.0.0.1"), "fe80::1".parse().ok()));
        assert_eq!(hosts.get("alias").unwrap_or_default().v4, v4("10.0.0.1"));
        assert_eq!(hosts.get("no.test"), None);
        assert_eq!(hosts.get("comment"), None);
    }

    #[test]
    fn the_first_address_of_a_family_wins() {
        let hosts = Hosts::parse("10.0.0.1 a\n10.0.0.2 a\n");
        assert_eq!(hosts.get("a").unwrap_or_default().v4, v4("10.0.0.1"));
    }

    #[test]
    fn localhost_is_always_known_and_can_be_changed() {
        assert_eq!(Hosts::default().get("localhost").unwrap_or_default().v4, Some(Ipv4Addr::LOCALHOST));
        assert_eq!(Hosts::parse("127.0.0.2 localhost").get("localhost").unwrap_or_default().v4, v4("127.0.0.2"));
    }
}
