//! What a file says about itself, and how older formats are brought up to date.

use gibbon_message::uri;
use gibbon_schema::Faults;
use serde_json::{Map, Value};

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1_1,
    V2_1,
    V3_0,
}

/// What a file says about itself.
pub struct Header {
    pub version: Version,
    /// Whether passwords and the like are still to be hashed.
    pub transform: bool,
    pub workspace: Option<String>,
}

/// Keys that other tools keep for themselves.
const IGNORED: [&str; 4] = ["_comment", "_ignore", "_info", "_konnect"];

impl Header {
    /// Takes the header out of a file, noting what is wrong with it.
    pub fn take(document: &mut Map<String, Value>, faults: &mut Faults) -> Self {
        let version = version(document.shift_remove("_format_version"), faults);
        let transform = match document.shift_remove("_transform") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(transform)) => transform,
            Some(_) => {
                faults.insert("_transform", "expected a boolean");
                true
            }
        };
        let workspace = match document.shift_remove("_workspace") {
            Some(Value::String(name)) => Some(name),
            _ => None,
        };
        for key in IGNORED {
            document.shift_remove(key);
        }
        Header { version, transform, workspace }
    }
}

fn version(given: Option<Value>, faults: &mut Faults) -> Version {
    let message = match given.as_ref().map(Value::as_str) {
        Some(Some("1.1")) => return Version::V1_1,
        Some(Some("2.1")) => return Version::V2_1,
        Some(Some("3.0")) => return Version::V3_0,
        None => "required field missing",
        Some(_) if given.as_ref().is_some_and(Value::is_null) => "required field missing",
        Some(None) => "expected a string",
        Some(Some(_)) => "expected one of: 1.1, 2.1, 3.0",
    };
    faults.insert("_format_version", message);
    Version::V3_0
}

/// Brings a file of an older format up to date: before 3.0 a path was a regular expression if it looked like one; since
/// then it says so with a `~`.
pub fn upgrade(document: &mut Map<String, Value>, version: Version) {
    if version == Version::V3_0 {
        return;
    }
    upgrade_routes(document.get_mut("routes"));
    for service in items(document.get_mut("services")) {
        upgrade_routes(service.get_mut("routes"));
    }
}

fn items(list: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    list.and_then(Value::as_array_mut).into_iter().flatten()
}

fn upgrade_routes(routes: Option<&mut Value>) {
    for route in items(routes) {
        for path in items(route.get_mut("paths")) {
            if let Value::String(text) = path {
                *text = upgrade_path(text);
            }
        }
    }
}

fn upgrade_path(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_~/%".contains(&b);
    if path.bytes().all(plain) {
        return String::from_utf8_lossy(&uri::normalize(path.as_bytes())).into_owned();
    }
    let regex = decode_in_regex(path);
    if regex.starts_with('~') { regex } else { format!("~{regex}") }
}

/// Regexes are matched against decoded paths, so percent-encoding in them is undone: what means something to a regex is
/// escaped, what is reserved in a path stays encoded.
fn decode_in_regex(path: &str) -> String {
    const REGEX: &str = "^$.*?{}[]()|\\+";
    const RESERVED: &str = "!#&',/:;=@%";
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let decoded = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(u8::is_ascii);
        match (decoded.map(char::from), after.get(..2)) {
            (Some(c), Some(hex)) if RESERVED.contains(c) => {
                out.push('%');
                out.push_str(&hex.to_ascii_uppercase());
            }
            (Some(c), Some(_)) => {
                if REGEX.contains(c) {
                    out.push('\\');
                }
                out.push(c);
            }
            _ => {
                out.push('%');
                rest = after;
                continue;
            }
        }
        rest = after.get(2..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_that_look_like_regexes_are_marked() {
        assert_eq!(upgrade_path("/a/b"), "/a/b");
        assert_eq!(upgrade_path("/a%20b"), "/a b");
        assert_eq!(upgrade_path("/a/\\d+"), "~/a/\\d+");
        assert_eq!(upgrade_path("/a/(?<x>.*)$"), "~/a/(?<x>.*)$");
        assert_eq!(upgrade_path("/a/(%2Fx%2e)"), "~/a/(%2Fx\\.)");
    }

    #[test]
    fn nested_and_flat_routes_are_upgraded() {
        let file = json!({"routes": [{"paths": ["/\\d"]}], "services": [{"routes": [{"paths": ["/.*"]}]}]});
        let mut document = file.as_object().cloned().unwrap_or_default();
        upgrade(&mut document, Version::V2_1);
        assert_eq!(document["routes"][0]["paths"][0], "~/\\d");
        assert_eq!(document["services"][0]["routes"][0]["paths"][0], "~/.*");
        upgrade(&mut document, Version::V3_0);
        assert_eq!(document["services"][0]["routes"][0]["paths"][0], "~/.*");
    }

    #[test]
    fn the_format_must_be_known() {
        let said = |value: Value| {
            let mut faults = Faults::default();
            let mut document = Map::from_iter([("_format_version".to_owned(), value)]);
            Header::take(&mut document, &mut faults);
            faults.to_json()
        };
        assert_eq!(said(json!("3.0")), json!({}));
        assert_eq!(said(json!(3.0)), json!({"_format_version": "expected a string"}));
        assert_eq!(said(json!("4.0")), json!({"_format_version": "expected one of: 1.1, 2.1, 3.0"}));
        assert_eq!(said(Value::Null), json!({"_format_version": "required field missing"}));
    }
}
