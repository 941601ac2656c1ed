//! What servers that speak like OpenAI do not like of what OpenAI knows.

use crate::dialect::{Dialect, Encoded, Leniency, Target};
use crate::json::{patch, scan};
use crate::{Error, Result};

/// A server's departures from OpenAI's chat format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// The bound of an answer is always called `max_tokens`.
    pub max_tokens_classic: bool,
    /// It takes, and may insist on, what its model thought earlier.
    pub takes_reasoning: bool,
    /// Fields with another name: OpenAI's, the server's.
    pub rename: &'static [(&'static str, &'static str)],
    /// Fields that are taken out: the answer is as right without them.
    pub remove: &'static [&'static str],
    /// Fields that would change the answer and that the server does not know.
    pub refuse: &'static [&'static str],
}

impl Quirks {
    /// None.
    pub const NONE: Self =
        Self { max_tokens_classic: true, takes_reasoning: false, rename: &[], remove: &[], refuse: &[] };

    /// Adapts a request in OpenAI's format, converted or passed through, without touching other
    /// bytes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a field to refuse, unless the target is lenient;
    /// [`Error::NotJson`] if the body is no object.
    pub fn adapt(&self, body: Vec<u8>, target: &Target) -> Result<Encoded> {
        let mut changes = Vec::new();
        let mut dropped = Vec::new();
        for (from, to) in self.rename {
            if let Some(value) = scan::get(&body, from) {
                changes.push(patch::Change::Set((*to).into(), value.to_vec()));
                changes.push(patch::Change::Remove((*from).into()));
            }
        }
        for field in self.remove.iter().chain(self.refuse) {
            if scan::get(&body, field).is_none_or(is_neutral) {
                continue;
            }
            let refused = self.refuse.contains(field);
            let what = format!("the field `{field}`");
            if (refused && target.leniency != Leniency::Lenient) || target.leniency == Leniency::Strict {
                return Err(Error::Unsupported { target: Dialect::OpenAiChat, what });
            }
            dropped.push(what);
        }
        changes.extend(self.remove.iter().chain(self.refuse).map(|f| patch::Change::Remove((*f).into())));
        if changes.is_empty() {
            return Ok(Encoded { body, dropped });
        }
        let body = patch::apply(&body, &changes).ok_or(Error::NotJson { what: "request body" })?;
        Ok(Encoded { body, dropped })
    }
}

/// Values that say nothing: to leave them out changes nothing.
fn is_neutral(value: &[u8]) -> bool {
    matches!(value, b"null" | b"0" | b"0.0" | b"false" | b"{}" | b"[]")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::provider::find;

    fn adapt(provider: &str, body: &str, leniency: Leniency) -> Result<(String, Vec<String>)> {
        let target = Target { leniency, ..Target::default() };
        let e = find(provider).unwrap().quirks.adapt(body.as_bytes().to_vec(), &target)?;
        Ok((String::from_utf8(e.body).unwrap(), e.dropped))
    }

    #[test]
    fn fields_are_renamed_removed_or_refused_by_the_table() {
        let (body, _) = adapt("mistral", r#"{"seed":7,"n":1}"#, Leniency::Standard).unwrap();
        assert_eq!(body, r#"{"n":1,"random_seed":7}"#);
        let (body, dropped) = adapt("openai", r#"{"top_k":4,"x":1}"#, Leniency::Standard).unwrap();
        assert_eq!((body.as_str(), dropped), (r#"{"x":1}"#, vec!["the field `top_k`".to_owned()]));
        let err = adapt("cerebras", r#"{"logit_bias":{"1":2}}"#, Leniency::Standard).unwrap_err();
        assert!(err.to_string().contains("logit_bias"));
        let (body, _) = adapt("cerebras", r#"{"logit_bias":{},"presence_penalty":0}"#, Leniency::Standard).unwrap();
        assert_eq!(body, "{}");
        assert!(adapt("openai", r#"{"top_k":4}"#, Leniency::Strict).is_err());
    }

    #[test]
    fn what_needs_no_change_is_not_touched() {
        let body = r#" { "a" : 1 } "#;
        assert_eq!(adapt("xai", body, Leniency::Standard).unwrap().0, body);
    }
}
