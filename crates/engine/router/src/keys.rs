//! Where in the index an entry stands: pairs of a host and the beginning of a path.

/// What a request's host (or a connection's SNI) must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum HostKey<'a> {
    Any,
    Exact(&'a [u8]),
    EndsWith(&'a [u8]),
    StartsWith(&'a [u8]),
}

/// Longest key of either kind in bytes. It bounds the depth of the trees; what a longer prefix demands beyond it is
/// checked by the entry itself.
pub(crate) const MAX_KEY: usize = 1024;

/// Most places of one entry; a route with more is indexed by host alone and checks its paths itself.
pub(crate) const MAX_KEYS: usize = 10_000;

/// The keys of an entry, packed into one allocation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Keys(Box<[u8]>);

impl Keys {
    pub(crate) fn new<'a>(keys: impl IntoIterator<Item = (HostKey<'a>, &'a [u8])>) -> Keys {
        let mut packed = Vec::new();
        for (host, path) in keys {
            let (kind, name) = match host {
                HostKey::Any => (0, [].as_slice()),
                HostKey::Exact(name) => (1, name),
                HostKey::EndsWith(name) => (2, name),
                HostKey::StartsWith(name) => (3, name),
            };
            packed.push(kind);
            push(&mut packed, name);
            push(&mut packed, path);
        }
        Keys(packed.into())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (HostKey<'_>, &[u8])> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (kind, tail) = rest.split_first()?;
            let (name, tail) = pull(tail)?;
            let (path, tail) = pull(tail)?;
            rest = tail;
            let host = match kind {
                0 => HostKey::Any,
                1 => HostKey::Exact(name),
                2 => HostKey::EndsWith(name),
                _ => HostKey::StartsWith(name),
            };
            Some((host, path))
        })
    }
}

fn push(packed: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = bytes.get(..MAX_KEY).unwrap_or(bytes);
    packed.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    packed.extend_from_slice(bytes);
}

fn pull(packed: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = packed.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_le_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_as_they_went_in() {
        let given: [(HostKey<'_>, &[u8]); 3] =
            [(HostKey::Any, b"/a"), (HostKey::Exact(b"a.test"), b""), (HostKey::EndsWith(b".test"), b"/")];
        let keys = Keys::new(given);
        assert_eq!(keys.iter().collect::<Vec<_>>(), given);
    }
}
