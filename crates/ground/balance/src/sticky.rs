//! The cookie value of the sticky-sessions algorithm: it names an address without spelling it out.

use crate::hash::seeded_hash;
use crate::{Address, AddressIndex, Target};

/// Length of the value, in ASCII hexadecimal digits.
const DIGITS: usize = 16;

/// Names one address of an upstream; the same on every node and across configurations.
///
/// Not a secret and not signed: a client that makes one up only chooses among the upstream's own addresses,
/// which it could as well do by asking again until it gets the one it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StickyToken(u64);

impl StickyToken {
    pub(crate) fn of(address: &Address, targets: &[Target]) -> Self {
        let host = targets.get(address.target).map(|target| target.host.as_ref()).unwrap_or_default();
        let text = format!("{host}|{}", address.socket());
        let half = |seed| u64::from(seeded_hash(text.as_bytes(), seed));
        Self(half(0) << 32 | half(0x676f_6e21))
    }

    /// Reads a cookie value; `None` if it is not one of ours.
    pub fn parse(value: &[u8]) -> Option<Self> {
        if value.len() != DIGITS || !value.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok().map(Self)
    }
}

impl std::fmt::Display for StickyToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Which address each token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StickyIndex(Box<[(StickyToken, AddressIndex)]>);

impl StickyIndex {
    pub fn new(addresses: &[Address], targets: &[Target]) -> Self {
        let mut index: Vec<_> = addresses
            .iter()
            .enumerate()
            .map(|(position, address)| (StickyToken::of(address, targets), AddressIndex::from_position(position)))
            .collect();
        index.sort_unstable();
        Self(index.into())
    }

    pub fn find(&self, token: StickyToken) -> Option<AddressIndex> {
        let position = self.0.binary_search_by_key(&token, |(token, _)| *token).ok()?;
        self.0.get(position).map(|(_, address)| *address)
    }
}
