//! Changing top-level fields of a JSON object without touching another byte: how a request that
//! passes through gets its model name, and nothing else of the client's is rewritten.

use super::scan;
use std::borrow::Cow;

/// What to do with a top-level field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Set it to this JSON text, replacing or appending.
    Set(Cow<'static, str>, Vec<u8>),
    /// Set it to this JSON text unless it is there and not null.
    Default(Cow<'static, str>, Vec<u8>),
    /// Take it out.
    Remove(Cow<'static, str>),
}

impl Change {
    /// Sets `key` to a string.
    #[must_use]
    pub fn set_str(key: &'static str, value: &str) -> Self {
        Self::Set(key.into(), serde_json::Value::from(value).to_string().into_bytes())
    }

    fn key(&self) -> &str {
        match self {
            Self::Set(key, _) | Self::Default(key, _) | Self::Remove(key) => key,
        }
    }
}

/// Applies `changes` to the object `body`; `None` if it is no well-formed object. If a changed field
/// stands there twice, one remains: two readers must not be able to see two different values.
#[must_use]
pub fn apply(body: &[u8], changes: &[Change]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len() + 64);
    let mut walk = scan::members(body);
    let mut done = vec![false; changes.len()];
    // For a default, the value that counts is the last one that is not null.
    let kept: Vec<Option<&[u8]>> = changes
        .iter()
        .map(|c| match c {
            Change::Default(key, _) => scan::get(body, key).filter(|v| *v != b"null"),
            _ => None,
        })
        .collect();
    let mut any = false;
    out.push(b'{');
    for member in walk.by_ref() {
        let at = changes.iter().position(|c| c.key() == member.key);
        let value = match at {
            None => member.value,
            Some(at) => {
                let (Some(change), Some(seen)) = (changes.get(at), done.get_mut(at)) else { continue };
                if std::mem::replace(seen, true) {
                    continue;
                }
                match change {
                    Change::Remove(_) => continue,
                    Change::Set(_, value) => value,
                    Change::Default(_, value) => kept.get(at).copied().flatten().unwrap_or(value),
                }
            }
        };
        if std::mem::replace(&mut any, true) {
            out.push(b',');
        }
        out.extend_from_slice(body.get(member.start..member.value_start)?);
        out.extend_from_slice(value);
    }
    if !walk.is_complete() || scan::skip_space(body, walk.position()) != body.len() {
        return None;
    }
    for (change, _) in changes.iter().zip(done).filter(|(_, done)| !done) {
        let (Change::Set(key, value) | Change::Default(key, value)) = change else { continue };
        if std::mem::replace(&mut any, true) {
            out.push(b',');
        }
        out.extend_from_slice(serde_json::Value::from(key.as_ref()).to_string().as_bytes());
        out.push(b':');
        out.extend_from_slice(value);
    }
    out.push(b'}');
    Some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn patched(body: &str, changes: &[Change]) -> Option<String> {
        apply(body.as_bytes(), changes).map(|b| String::from_utf8(b).unwrap())
    }

    #[test]
    fn only_the_named_field_changes() {
        let body = r#"{ "temperature" : 1.50, "model":"a","x":{"model":"inner"} }"#;
        assert_eq!(
            patched(body, &[Change::set_str("model", "b\"")]).unwrap(),
            r#"{"temperature" : 1.50,"model":"b\"","x":{"model":"inner"}}"#
        );
    }

    #[test]
    fn a_missing_field_is_appended_and_an_unwanted_one_removed() {
        let changes = [Change::set_str("model", "b"), Change::Remove("top_k".into())];
        assert_eq!(patched(r#"{"top_k":5,"a":1}"#, &changes).unwrap(), r#"{"a":1,"model":"b"}"#);
        assert_eq!(patched("{}", &changes).unwrap(), r#"{"model":"b"}"#);
    }

    #[test]
    fn a_field_that_hides_behind_a_duplicate_or_an_escape_does_not_survive() {
        let changes = [Change::set_str("model", "allowed")];
        assert_eq!(patched(r#"{"model":"x","mod\u0065l":"costly"}"#, &changes).unwrap(), r#"{"model":"allowed"}"#);
        assert_eq!(patched(r#"{"k":1,"k":2}"#, &[Change::Remove("k".into())]).unwrap(), "{}");
    }

    #[test]
    fn a_default_gives_way_to_what_is_there() {
        let default = [Change::Default("n".into(), b"7".to_vec())];
        assert_eq!(patched(r#"{"n":1}"#, &default).unwrap(), r#"{"n":1}"#);
        assert_eq!(patched(r#"{"n":null}"#, &default).unwrap(), r#"{"n":7}"#);
        assert_eq!(patched("{}", &default).unwrap(), r#"{"n":7}"#);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for bad in ["[]", "{\"a\":1", "{} x", "", "{\"a\":1}}"] {
            assert_eq!(patched(bad, &[]), None, "{bad}");
        }
    }
}
