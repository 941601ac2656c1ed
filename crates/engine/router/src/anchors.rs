//! What an expression demands of host and path, read off its tree, so that it can be indexed by it.
//!
//! An anchor is necessary, not sufficient: the expression itself is still evaluated in full.

use std::cmp::Ordering;

use gibbon_expr::{Comparison, Field, Node, Test};

use crate::keys::MAX_KEY;
use crate::pattern::Shape;
use crate::spec::Subsystem;

/// Alternatives of which one must hold; `None` means that nothing is demanded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Anchors {
    pub(crate) hosts: Option<Vec<Name>>,
    pub(crate) paths: Option<Vec<Vec<u8>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    Exact(Vec<u8>),
    EndsWith(Vec<u8>),
    StartsWith(Vec<u8>),
}

impl Name {
    fn len(&self) -> usize {
        match self {
            Name::Exact(name) | Name::EndsWith(name) | Name::StartsWith(name) => name.len(),
        }
    }
}

impl Anchors {
    /// For HTTP: host and beginning of the path. For streams: SNI and destination port.
    pub(crate) fn of(node: &Node, subsystem: Subsystem) -> Anchors {
        match node {
            Node::All(parts) => {
                parts.iter().fold(Anchors::default(), |met, part| met.and(Anchors::of(part, subsystem)))
            }
            Node::Any(parts) => {
                let mut parts = parts.iter().map(|part| Anchors::of(part, subsystem));
                let first = parts.next().unwrap_or_default();
                parts.fold(first, Anchors::or)
            }
            Node::Constant(false) => Anchors { hosts: Some(Vec::new()), paths: Some(Vec::new()) },
            Node::Constant(true) | Node::Not(_) => Anchors::default(),
            Node::Test(test) => Anchors::of_test(test, subsystem),
        }
    }

    fn of_test(test: &Test, subsystem: Subsystem) -> Anchors {
        let mut anchors = Anchors::default();
        match (subsystem, &test.field) {
            _ if test.lower => {}
            (Subsystem::Http, Field::Host) | (Subsystem::Stream, Field::Sni) => {
                anchors.hosts = name_of(&test.comparison).filter(|name| name.len() <= MAX_KEY).map(|name| vec![name]);
            }
            (Subsystem::Http, Field::Path) => anchors.paths = path_of(&test.comparison).map(|path| vec![path]),
            (Subsystem::Stream, Field::DestinationPort) => {
                anchors.paths = port_of(&test.comparison).map(|port| vec![port.to_be_bytes().to_vec()]);
            }
            _ => {}
        }
        anchors
    }

    /// Both must hold: of each kind the stricter is kept.
    fn and(self, other: Anchors) -> Anchors {
        Anchors {
            hosts: stricter(self.hosts, other.hosts, Name::len),
            paths: stricter(self.paths, other.paths, Vec::len),
        }
    }

    /// One must hold.
    fn or(self, other: Anchors) -> Anchors {
        Anchors { hosts: either(self.hosts, other.hosts), paths: either(self.paths, other.paths) }
    }
}

/// Fewer alternatives are stricter, then longer ones.
fn stricter<A>(one: Option<Vec<A>>, other: Option<Vec<A>>, length: fn(&A) -> usize) -> Option<Vec<A>> {
    let shortest = |alternatives: &[A]| alternatives.iter().map(length).min().unwrap_or(0);
    match (one, other) {
        (Some(one), Some(other)) => {
            let order = other.len().cmp(&one.len()).then(shortest(&one).cmp(&shortest(&other)));
            Some(if order.is_ge() { one } else { other })
        }
        (one, other) => one.or(other),
    }
}

fn either<A: PartialEq>(one: Option<Vec<A>>, other: Option<Vec<A>>) -> Option<Vec<A>> {
    let (mut all, other) = (one?, other?);
    for alternative in other {
        if !all.contains(&alternative) {
            all.push(alternative);
        }
    }
    Some(all)
}

fn name_of(comparison: &Comparison) -> Option<Name> {
    match comparison {
        Comparison::Equal(name) => Some(Name::Exact(name.to_vec())),
        Comparison::Suffix(name) => Some(Name::EndsWith(name.to_vec())),
        Comparison::Prefix(name) => Some(Name::StartsWith(name.to_vec())),
        _ => None,
    }
}

fn path_of(comparison: &Comparison) -> Option<Vec<u8>> {
    match comparison {
        Comparison::Equal(path) | Comparison::Prefix(path) => Some(path.to_vec()),
        Comparison::Pattern(pattern) => {
            Some(Shape::of(pattern.as_str()).prefix.into_vec()).filter(|prefix| !prefix.is_empty())
        }
        _ => None,
    }
}

fn port_of(comparison: &Comparison) -> Option<u16> {
    match comparison {
        Comparison::Int(Ordering::Equal, None, port) => u16::try_from(*port).ok(),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use gibbon_expr::{Schema, compile};

    fn anchors(text: &str) -> Anchors {
        Anchors::of(compile(text, Schema::Http).unwrap().root(), Subsystem::Http)
    }

    fn paths(text: &str) -> Option<Vec<String>> {
        anchors(text).paths.map(|paths| paths.into_iter().map(|p| String::from_utf8(p).unwrap()).collect())
    }

    #[test]
    fn conjuncts_give_the_strictest_anchor() {
        assert_eq!(paths(r#"http.path ^= "/" && http.path ^= "/abc""#), Some(vec!["/abc".into()]));
        assert_eq!(
            anchors(r#"http.host == "a" && http.method == "GET""#).hosts,
            Some(vec![Name::Exact(b"a".to_vec())])
        );
    }

    #[test]
    fn alternatives_need_an_anchor_each() {
        assert_eq!(paths(r#"http.path == "/a" || http.path ~ "^/b\\d""#), Some(vec!["/a".into(), "/b".into()]));
        assert_eq!(paths(r#"http.path == "/a" || http.method == "GET""#), None);
        assert_eq!(paths(r#"!(http.path == "/a")"#), None);
        assert_eq!(paths(r#"lower(http.path) == "/a""#), None);
    }
}
