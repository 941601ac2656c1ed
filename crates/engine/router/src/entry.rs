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
    pub(crate) paths: PathRule,
    pub(crate) check: Check,
    pub(crate) keys: Keys,
    pub(crate) value: T,
}

/// What must hold of the path, beyond beginning with the key under which the entry was found.
#[derive(Debug)]
pub(crate) enum PathRule {
    Any,
    /// The key is the whole prefix.
    Key,
    /// One of these prefixes, for those that are too long or too many to be keys.
    Prefixes(Box<[Box<[u8]>]>),
    /// The first of these that matches.
    Patterns(Box<[Regex]>),
    /// The expression says so.
    Expression,
}

#[derive(Debug)]
pub(crate) enum Check {
    None,
    Conditions(Box<Conditions>),
    /// With the protocols that are a condition beside the expression.
    Program(Box<Program>, Option<Box<Conditions>>),
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
        let path = request.query.path;
        match &self.check {
            Check::None => {}
            Check::Conditions(conditions) => conditions.hold(request).then_some(())?,
            Check::Program(program, conditions) => return run(program, conditions.as_deref(), request),
        }
        match &self.paths {
            PathRule::Any | PathRule::Expression => Some(Hit::Nothing),
            PathRule::Key => Some(Hit::Prefix(depth)),
            PathRule::Prefixes(prefixes) => {
                prefixes.iter().find(|prefix| path.starts_with(prefix)).map(|prefix| Hit::Prefix(prefix.len()))
            }
            PathRule::Patterns(patterns) => {
                patterns.iter().find_map(|regex| regex.find(path).map(|(start, end)| Hit::Regex { regex, start, end }))
            }
        }
    }
}

fn run<'r>(program: &'r Program, conditions: Option<&Conditions>, request: &Request<'_>) -> Option<Hit<'r>> {
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
    if !program.find(&subject, &mut hits) || !conditions.is_none_or(|conditions| conditions.hold(request)) {
        return None;
    }
    Some(Hit::Expression(hits))
}
