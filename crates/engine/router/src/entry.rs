//! One compiled route: its rank, what it still has to check, and the value it leads to.

use std::cmp::Ordering;

use gibbon_expr::{PathHits, Program, Subject};

use crate::conditions::{Conditions, Request};
use crate::keys::Keys;
use crate::pattern::Regex;
use crate::rank::Rank;

/// A route, or one group of its paths. Entries are shared by the lists of the index.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) rank: Rank,
    /// `None` if the place in the index says it all: nearly all routes, which so stay small.
    pub(crate) rules: Option<Box<Rules>>,
    pub(crate) keys: Keys,
    pub(crate) value: T,
}

/// What is still to be checked of a request found under an entry's keys.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) paths: PathRule,
    pub(crate) conditions: Option<Conditions>,
    pub(crate) expression: Option<Program>,
}

/// What must hold of the path, beyond beginning with the key under which the entry was found.
#[derive(Debug)]
pub(crate) enum PathRule {
    /// Nothing: the key is the whole prefix, or empty if the route has no paths.
    Key,
    /// One of these prefixes, for those that are too long or too many to be keys.
    Prefixes(Box<[Box<[u8]>]>),
    /// The first of these that matches.
    Patterns(Box<[Regex]>),
}

/// The part of the path that a route matched.
#[derive(Debug, Clone)]
pub(crate) enum Hit<'r> {
    Nothing,
    /// This many bytes from the start.
    Prefix(usize),
    Regex {
        regex: &'r Regex,
        start: usize,
        end: usize,
    },
    Expression(PathHits<'r>),
}

impl<T> Entry<T> {
    /// Descending lists sort by this.
    pub(crate) fn order(&self, other: &Entry<T>) -> Ordering {
        self.rank.cmp(&other.rank)
    }

    /// `depth` is the length of the path key under which the entry was found.
    pub(crate) fn matches<'r>(&'r self, request: &Request<'_>, depth: usize) -> Option<Hit<'r>> {
        let Some(rules) = &self.rules else { return Some(Hit::of_key(depth)) };
        if !rules.conditions.as_ref().is_none_or(|conditions| conditions.hold(request)) {
            return None;
        }
        if let Some(program) = &rules.expression {
            return run(program, request);
        }
        let path = request.query.path;
        match &rules.paths {
            PathRule::Key => Some(Hit::of_key(depth)),
            PathRule::Prefixes(prefixes) => {
                prefixes.iter().find(|prefix| path.starts_with(prefix)).map(|prefix| Hit::Prefix(prefix.len()))
            }
            PathRule::Patterns(patterns) => {
                patterns.iter().find_map(|regex| regex.find(path).map(|(start, end)| Hit::Regex { regex, start, end }))
            }
        }
    }
}

impl Hit<'_> {
    /// A path key is never empty unless the route has no paths.
    pub(crate) fn of_key(depth: usize) -> Self {
        if depth == 0 { Hit::Nothing } else { Hit::Prefix(depth) }
    }
}

fn run<'r>(program: &'r Program, request: &Request<'_>) -> Option<Hit<'r>> {
    let query = request.query;
    let is_stream = query.protocol.is_stream();
    let subject = Subject {
        protocol: query.protocol.of_connection().as_str(),
        sni: query.sni,
        method: (!is_stream).then_some(query.method),
        host: request.host,
        path: (!is_stream).then_some(query.path),
        query: query.raw_query,
        headers: Some(query.headers),
        source_ip: Some(query.source.0),
        source_port: Some(i64::from(query.source.1)),
        destination_ip: Some(query.destination.0),
        destination_port: Some(request.destination_port()),
    };
    let mut hits = PathHits::default();
    program.find(&subject, &mut hits).then_some(Hit::Expression(hits))
}
