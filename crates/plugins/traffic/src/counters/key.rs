//! What a count belongs to: the scope of the plugin, who the request is told apart by, and the period.

use std::net::IpAddr;

use gibbon_limit::Period;
use gibbon_pdk::{Build, Exchange};
use smallvec::SmallVec;
use uuid::Uuid;

/// A key of the node's own table.
pub type LocalKey = SmallVec<[u8; 96]>;

/// Who a request is counted for.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    Id(Uuid),
    Address(IpAddr),
    Text(&'a [u8]),
}

impl Who<'_> {
    /// The consumer, else a credential without one.
    pub fn consumer(x: &Exchange) -> Option<Who<'static>> {
        x.consumer.as_ref().map(|consumer| Who::Id(consumer.id)).or_else(|| Who::credential(x))
    }

    pub fn credential(x: &Exchange) -> Option<Who<'static>> {
        x.credential.as_ref().map(|credential| Who::Id(credential.id))
    }

    pub fn address(x: &Exchange) -> Who<'static> {
        Who::Address(x.client.ip)
    }

    fn text(&self) -> String {
        match self {
            Who::Id(id) => id.to_string(),
            Who::Address(address) => address.to_string(),
            Who::Text(text) => String::from_utf8_lossy(text).into_owned(),
        }
    }
}

/// Makes keys for one configuration.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: &'static str,
    route: Uuid,
    service: Uuid,
}

impl Keys {
    /// The scope is what the plugin is bound to, not what the request matched: requests of all routes of a service
    /// share a limit that is bound to the service.
    pub fn new(prefix: &'static str, build: &Build<'_>) -> Self {
        Keys { prefix, route: build.route.unwrap_or_default(), service: build.service.unwrap_or_default() }
    }

    /// For the node's own table, without allocation for usual names. `limit` tells limits of one configuration apart.
    /// The kind of `who` is part of it: a header that spells somebody's address or id must not reach that count.
    pub fn local(&self, who: &Who<'_>, limit: &str) -> LocalKey {
        let mut key = LocalKey::new();
        key.extend_from_slice(self.route.as_bytes());
        key.extend_from_slice(self.service.as_bytes());
        key.extend_from_slice(limit.as_bytes());
        key.push(0);
        match who {
            Who::Id(id) => {
                key.push(b'i');
                key.extend_from_slice(id.as_bytes());
            }
            Who::Address(IpAddr::V4(address)) => {
                key.push(b'4');
                key.extend_from_slice(&address.octets());
            }
            Who::Address(IpAddr::V6(address)) => {
                key.push(b'6');
                key.extend_from_slice(&address.octets());
            }
            Who::Text(text) => {
                key.push(b't');
                key.extend_from_slice(text);
            }
        }
        key
    }

    /// The part of a shared key before the period: the same on all nodes, and as Kong's nodes name it.
    pub fn shared(&self, who: &Who<'_>) -> String {
        format!("{}:{}:{}:{}", self.prefix, self.route, self.service, who.text())
    }
}

/// A shared key. `limit` is the name of the limit, where a configuration has several.
pub fn with_period(shared: &str, start_ms: u64, limit: &str, period: Period) -> String {
    let name = period.as_str();
    if limit.is_empty() { format!("{shared}:{start_ms}:{name}") } else { format!("{shared}:{start_ms}:{limit}:{name}") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn shared_keys_are_named_as_other_nodes_name_them() {
        let keys = Keys { prefix: "ratelimit", route: Uuid::nil(), service: Uuid::from_bytes([0x11; 16]) };
        let shared = keys.shared(&Who::Address("10.0.0.1".parse().unwrap()));
        assert_eq!(
            with_period(&shared, 1_000, "", Period::Minute),
            "ratelimit:00000000-0000-0000-0000-000000000000:11111111-1111-1111-1111-111111111111:10.0.0.1:1000:minute"
        );
        assert!(with_period(&shared, 1_000, "video", Period::Hour).ends_with(":1000:video:hour"));
    }

    #[test]
    fn a_header_cannot_spell_the_count_of_an_address() {
        let keys = Keys { prefix: "ratelimit", route: Uuid::nil(), service: Uuid::nil() };
        let address = keys.local(&Who::Address("10.0.0.1".parse().unwrap()), "");
        assert_ne!(address, keys.local(&Who::Text(b"10.0.0.1"), ""));
        assert_ne!(address, keys.local(&Who::Text(&[10, 0, 0, 1]), ""));
    }
}
