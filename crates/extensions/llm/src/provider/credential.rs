//! Showing who calls. Values are secret: they appear in no error and no `Debug` output.

use crate::json::patch::{self, Change};
use gibbon_cloud::Address;
use gibbon_cloud::sigv4::{self, AwsKeys};
use std::fmt;

/// How a provider wants to be shown a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Not at all.
    None,
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// A header of its own.
    Header(&'static str),
    /// A query parameter.
    Query(&'static str),
    /// An AWS signature.
    SigV4,
}

impl Scheme {
    /// The credential a bare key stands for. An AWS signature needs more than a key: there a key is
    /// taken for a Bedrock API key.
    #[must_use]
    pub fn with_key(self, key: &str) -> Credential {
        match self {
            Self::None => Credential::None,
            Self::Bearer | Self::SigV4 => Credential::bearer(key),
            Self::Header(name) => Credential::Header { name: name.to_owned(), value: key.to_owned() },
            Self::Query(name) => Credential::Query { name: name.to_owned(), value: key.to_owned() },
        }
    }
}

/// What is shown to a provider.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    None,
    /// A header.
    Header {
        /// Its name.
        name: String,
        /// Its value; secret.
        value: String,
    },
    /// A query parameter.
    Query {
        /// Its name.
        name: String,
        /// Its value; secret.
        value: String,
    },
    /// A top-level field of the JSON body.
    Body {
        /// Its name.
        name: String,
        /// Its value; secret.
        value: String,
    },
    /// An AWS signature over the whole request: applied last.
    Aws {
        /// The keys.
        keys: AwsKeys,
        /// The region.
        region: String,
        /// The service, `bedrock` for models.
        service: &'static str,
    },
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Header { name, .. } => write!(f, "Header({name})"),
            Self::Query { name, .. } => write!(f, "Query({name})"),
            Self::Body { name, .. } => write!(f, "Body({name})"),
            Self::Aws { region, service, .. } => write!(f, "Aws({region}/{service})"),
        }
    }
}

impl Credential {
    /// `Authorization: Bearer TOKEN`.
    #[must_use]
    pub fn bearer(token: &str) -> Self {
        Self::Header { name: "Authorization".into(), value: format!("Bearer {token}") }
    }

    /// Puts the credential where it belongs. Headers are added to `headers`, replacing one of the
    /// same name; a body that is no JSON object is left alone. With `allow_override` what the client
    /// sent stays. `now` is in seconds since 1970 and matters for signatures only.
    pub fn apply(
        &self,
        method: &str,
        address: &mut Address,
        headers: &mut Vec<(String, String)>,
        body: &mut Vec<u8>,
        allow_override: bool,
        now: u64,
    ) {
        match self {
            Self::None => {}
            Self::Header { name, value } => set(headers, name, value, allow_override),
            Self::Query { name, value } => {
                let there = address.query.iter().position(|(n, _)| n == name);
                match there.and_then(|at| address.query.get_mut(at)) {
                    Some(_) if allow_override => {}
                    Some((_, old)) => old.clone_from(value),
                    None => address.query.push((name.clone(), value.clone())),
                }
            }
            Self::Body { name, value } => {
                let value = serde_json::Value::from(value.as_str()).to_string().into_bytes();
                let change = if allow_override {
                    Change::Default(name.clone().into(), value)
                } else {
                    Change::Set(name.clone().into(), value)
                };
                if let Some(changed) = patch::apply(body, &[change]) {
                    *body = changed;
                }
            }
            Self::Aws { keys, region, service } => {
                let signed =
                    sigv4::sign(&sigv4::Signable { method, address, headers: &[], body }, keys, region, service, now);
                for (name, value) in signed {
                    set(headers, name, &value, false);
                }
            }
        }
    }
}

fn set(headers: &mut Vec<(String, String)>, name: &str, value: &str, keep: bool) {
    let there = headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    if there && keep {
        return;
    }
    headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    headers.push((name.to_owned(), value.to_owned()));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn apply(c: &Credential, allow_override: bool) -> (String, Vec<(String, String)>, String) {
        let mut address = Address::parse("https://h/p?tok=mine").unwrap();
        let mut headers = vec![("authorization".to_owned(), "Bearer mine".to_owned())];
        let mut body = br#"{"tok":"mine"}"#.to_vec();
        c.apply("POST", &mut address, &mut headers, &mut body, allow_override, 1_440_938_160);
        (address.target(), headers, String::from_utf8(body).unwrap())
    }

    #[test]
    fn the_configured_value_wins_unless_overriding_is_allowed() {
        let (name, value) = ("tok".to_owned(), "sec".to_owned());
        let query = Credential::Query { name: name.clone(), value: value.clone() };
        let body = Credential::Body { name, value };
        assert_eq!(apply(&query, false).0, "/p?tok=sec");
        assert_eq!(apply(&query, true).0, "/p?tok=mine");
        assert_eq!(apply(&body, false).2, r#"{"tok":"sec"}"#);
        assert_eq!(apply(&body, true).2, r#"{"tok":"mine"}"#);
        let header = Credential::bearer("sec");
        assert_eq!(apply(&header, false).1, [("Authorization".to_owned(), "Bearer sec".to_owned())]);
        assert_eq!(apply(&header, true).1, [("authorization".to_owned(), "Bearer mine".to_owned())]);
    }

    #[test]
    fn secrets_do_not_show() {
        let keys = AwsKeys { access: "AK".into(), secret: "s3cret".into(), session: Some("t0ken".into()) };
        for c in [Credential::bearer("s3cret"), Credential::Aws { keys, region: "r".into(), service: "bedrock" }] {
            let shown = format!("{c:?}");
            assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");
        }
    }
}
