//! From a route as configured to the entries that stand for it in the index.

use std::sync::Arc;

use gibbon_expr::{Program, Schema};
use uuid::Uuid;

use crate::anchors::{Anchors, Name};
use crate::conditions::{Conditions, HostPattern, NamePattern};
use crate::entry::{Entry, PathRule, Rules};
use crate::keys::{HostKey, Keys, MAX_KEY, MAX_KEYS};
use crate::pattern::Regex;
use crate::rank::Rank;
use crate::spec::{Flavor, RouteSpec, Subsystem};

/// Compiles a route. A route whose paths rank differently becomes several entries.
///
/// # Errors
/// What does not compile: a regular expression or the expression.
pub(crate) fn compile<T: Clone>(flavor: Flavor, spec: &RouteSpec, value: &T) -> Result<Vec<Arc<Entry<T>>>, String> {
    if let Some(text) = spec.expression.as_deref().filter(|_| flavor == Flavor::Expressions) {
        return Ok(vec![Arc::new(of_expression(flavor, spec, text, value.clone())?)]);
    }
    groups(flavor, spec)
        .into_iter()
        .map(|group| of_attributes(flavor, spec, &group, value.clone()).map(Arc::new))
        .collect()
}

/// The name space of the ids of path groups, as in Kong.
const GROUP_NAMESPACE: Uuid = Uuid::from_u128(0x7f14_5bf9_0dce_4f91_98eb_debb_ce4b_9f6b);

/// The paths of a route that rank alike, compiled into one entry.
pub(crate) struct Group<'s> {
    /// Position among the route's groups, from 0.
    pub(crate) number: usize,
    /// The route's own if it has only one group.
    pub(crate) id: Uuid,
    pub(crate) paths: Vec<&'s str>,
}

/// Groups are all regular expressions, and prefixes of one length. `traditional` takes each path alone.
fn groups<'s>(flavor: Flavor, spec: &'s RouteSpec) -> Vec<Group<'s>> {
    let paths: &[String] = if spec.subsystem() == Subsystem::Http { &spec.paths } else { &[] };
    let mut groups: Vec<(usize, Vec<&'s str>)> = Vec::new();
    for path in paths {
        let kind = if path.starts_with('~') { 0 } else { path.len() };
        match groups.iter_mut().find(|(other, _)| *other == kind && flavor != Flavor::Traditional) {
            Some((_, group)) => group.push(path),
            None => groups.push((kind, vec![path])),
        }
    }
    if groups.is_empty() {
        groups.push((0, Vec::new()));
    }
    let keeps_id = groups.len() == 1 || flavor == Flavor::Traditional;
    let numbered = groups.into_iter().enumerate();
    numbered
        .map(|(number, (_, paths))| {
            let id = if keeps_id { spec.id } else { group_id(spec.id, number + 1) };
            Group { number, id, paths }
        })
        .collect()
}

fn group_id(route: Uuid, number: usize) -> Uuid {
    Uuid::new_v5(&GROUP_NAMESPACE, format!("{route}#{number}").as_bytes())
}

fn of_attributes<T>(flavor: Flavor, spec: &RouteSpec, group: &Group<'_>, value: T) -> Result<Entry<T>, String> {
    let conditions = Conditions::new(flavor, spec)?;
    let hosts = host_names(flavor, spec);
    let (paths, path_keys) = path_rule(flavor, spec, &group.paths, hosts.len())?;
    let is_plain = matches!(paths, PathRule::Key) && conditions.is_none();
    let rules = Rules { paths, conditions, expression: None };
    Ok(Entry {
        rank: Rank::of_attributes(flavor, spec, group),
        rules: (!is_plain).then(|| Box::new(rules)),
        keys: product(&hosts, &path_keys),
        value,
    })
}

/// The names of the first dimension: hosts, or SNIs for streams. None: any.
fn host_names(flavor: Flavor, spec: &RouteSpec) -> Vec<NamePattern> {
    let names: Vec<NamePattern> = match spec.subsystem() {
        Subsystem::Http => spec.hosts.iter().map(|host| HostPattern::new(flavor, host).name).collect(),
        Subsystem::Stream => spec.snis.iter().map(|sni| NamePattern::of_sni(flavor, sni)).collect(),
    };
    let longest = names.iter().map(|name| key_of(name).1.len()).max().unwrap_or(0);
    // Names longer than any real one would be cut off in the index: their routes are checked one by one.
    if longest > MAX_KEY { Vec::new() } else { names }
}

/// How the paths are checked, and under which keys the entry stands in the second dimension.
fn path_rule(
    flavor: Flavor,
    spec: &RouteSpec,
    paths: &[&str],
    hosts: usize,
) -> Result<(PathRule, Vec<Vec<u8>>), String> {
    let everywhere = || vec![Vec::new()];
    if spec.subsystem() == Subsystem::Stream {
        return Ok((PathRule::Key, port_keys(spec).unwrap_or_else(everywhere)));
    }
    let too_many = paths.len().saturating_mul(hosts.max(1)) > MAX_KEYS;
    if paths.is_empty() {
        return Ok((PathRule::Key, everywhere()));
    }
    if paths.iter().any(|path| path.starts_with('~')) {
        let patterns = paths
            .iter()
            .map(|path| Regex::of_path(flavor, path.strip_prefix('~').unwrap_or(path)))
            .collect::<Result<Box<[Regex]>, String>>()?;
        let keys = if too_many {
            everywhere()
        } else {
            distinct(patterns.iter().map(|regex| regex.literal_prefix().to_vec()))
        };
        return Ok((PathRule::Patterns(patterns), keys));
    }
    let prefixes = paths.iter().map(|path| prefix(flavor, path));
    if too_many || paths.iter().any(|path| path.len() > MAX_KEY) {
        let keys = if too_many { everywhere() } else { distinct(prefixes.clone()) };
        return Ok((PathRule::Prefixes(prefixes.map(Vec::into_boxed_slice).collect()), keys));
    }
    Ok((PathRule::Key, distinct(prefixes)))
}

fn prefix(flavor: Flavor, path: &str) -> Vec<u8> {
    match flavor {
        Flavor::Traditional => gibbon_message::uri::normalize(path.as_bytes()).into_owned(),
        _ => path.as_bytes().to_vec(),
    }
}

fn distinct(keys: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = keys
        .map(|mut key| {
            key.truncate(MAX_KEY);
            key
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The ports a stream route is for, if every destination names one.
fn port_keys(spec: &RouteSpec) -> Option<Vec<Vec<u8>>> {
    let ports: Option<Vec<u16>> = spec.destinations.iter().map(|destination| destination.port).collect();
    let ports = ports.filter(|ports| !ports.is_empty())?;
    Some(distinct(ports.into_iter().map(|port| port.to_be_bytes().to_vec())))
}

fn of_expression<T>(flavor: Flavor, spec: &RouteSpec, text: &str, value: T) -> Result<Entry<T>, String> {
    let subsystem = spec.subsystem();
    let schema = match subsystem {
        Subsystem::Http => Schema::Http,
        Subsystem::Stream => Schema::Stream,
    };
    let program = gibbon_expr::compile(text, schema).map_err(|e| e.to_string())?;
    let protocols_only = RouteSpec { id: spec.id, protocols: spec.protocols, ..RouteSpec::default() };
    let conditions = Conditions::new(flavor, &protocols_only)?;
    Ok(Entry {
        rank: Rank::of_expression(spec),
        keys: expression_keys(&program, subsystem),
        rules: Some(Box::new(Rules { paths: PathRule::Key, conditions, expression: Some(program) })),
        value,
    })
}

fn expression_keys(program: &Program, subsystem: Subsystem) -> Keys {
    let anchors = Anchors::of(program.root(), subsystem);
    let names = anchors.hosts.map(|names| {
        names
            .into_iter()
            .map(|name| match name {
                Name::Exact(name) => NamePattern::Exact(name.into()),
                Name::EndsWith(name) => NamePattern::EndsWith(name.into()),
                Name::StartsWith(name) => NamePattern::StartsWith(name.into()),
            })
            .collect::<Vec<_>>()
    });
    let paths = anchors.paths.map(|paths| distinct(paths.into_iter()));
    if names.as_ref().is_some_and(Vec::is_empty) || paths.as_ref().is_some_and(Vec::is_empty) {
        return Keys::default();
    }
    let (names, mut paths) = (names.unwrap_or_default(), paths.unwrap_or_else(|| vec![Vec::new()]));
    if names.len().max(1).saturating_mul(paths.len()) > MAX_KEYS {
        paths = vec![Vec::new()];
    }
    product(&names, &paths)
}

fn product(names: &[NamePattern], paths: &[Vec<u8>]) -> Keys {
    let any = [HostKey::Any];
    let names: Vec<HostKey<'_>> = names.iter().map(|name| key_of(name).0).collect();
    let mut hosts: Vec<HostKey<'_>> = if names.is_empty() { any.to_vec() } else { names };
    hosts.sort_unstable();
    hosts.dedup();
    Keys::new(hosts.iter().flat_map(|host| paths.iter().map(move |path| (*host, path.as_slice()))))
}

fn key_of(name: &NamePattern) -> (HostKey<'_>, &[u8]) {
    match name {
        NamePattern::Exact(name) => (HostKey::Exact(name), name),
        NamePattern::EndsWith(name) => (HostKey::EndsWith(name), name),
        NamePattern::StartsWith(name) => (HostKey::StartsWith(name), name),
    }
}
