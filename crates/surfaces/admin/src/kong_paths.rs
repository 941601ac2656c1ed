//! Every path and verb of Kong 3.15's Admin API is served, or stands in the table of `docs/admin-paths.md` with its reason; and
//! nothing stands there that is served.

use std::collections::BTreeSet;

use gibbon_model::{Registry, RegistryOptions};
use http::Method;

use crate::routes::{RouteTable, segments};

/// One path a line, then its verbs; parameters have no names, workspaces are left out.
const KONG: &str = include_str!("kong_paths.txt");
const TABLE: &str = include_str!("../../../../docs/admin-paths.md");

fn kongs() -> impl Iterator<Item = (String, Vec<Method>)> {
    KONG.lines().filter_map(|line| {
        let (path, verbs) = line.split_once(' ')?;
        Some((path.to_owned(), verbs.split(' ').filter_map(|verb| verb.parse().ok()).collect()))
    })
}

/// Paths of the table's first column, without the words for their parameters; several may stand in one row.
fn listed() -> BTreeSet<String> {
    let rows = TABLE.lines().filter_map(|line| line.strip_prefix("| `"));
    let columns = rows.filter_map(|row| row.split(" | ").next());
    columns.flat_map(|column| column.split('`').filter(|text| text.starts_with('/')).map(nameless)).collect()
}

fn nameless(path: &str) -> String {
    let parts = segments(path).map(|part| if part.starts_with('{') { "/{}".to_owned() } else { format!("/{part}") });
    parts.collect()
}

/// Verbs of a path that are not served.
fn missing(table: &RouteTable, path: &str, verbs: &[Method]) -> Vec<String> {
    let sample: Vec<String> = segments(path).map(|part| part.replace("{}", "x")).collect();
    let route = table.find(&sample).map(|(route, _)| route);
    let is_missing = |verb: &&Method| route.is_none_or(|route| !route.takes(verb));
    verbs.iter().filter(is_missing).map(ToString::to_string).collect()
}

#[test]
fn every_path_and_verb_of_kong_is_served_or_listed_with_its_reason() {
    let (table, listed) = (RouteTable::admin(&Registry::new(&RegistryOptions::default())), listed());
    let mut unknown = listed.clone();
    for (path, verbs) in kongs() {
        let missing = missing(&table, &path, &verbs);
        assert_eq!(listed.contains(&path), !missing.is_empty(), "{path} does not take {missing:?}");
        unknown.remove(&path);
    }
    assert!(unknown.is_empty(), "no paths of Kong: {unknown:?}");
    assert!(listed.len() < 40, "the table grows instead of the product");
}
