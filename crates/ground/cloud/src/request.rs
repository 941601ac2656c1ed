//! Asking for a token or for temporary keys.

use std::fmt;

use crate::{Address, encode};

/// A request for a token or for temporary keys.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// Method.
    pub method: &'static str,
    /// Where.
    pub address: Address,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body; may hold a secret.
    pub body: Vec<u8>,
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenRequest({} {}{})", self.method, self.address.host, self.address.path)
    }
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The credentials are not what they should be.
    #[error("the {what} is not valid: {why}")]
    Credentials {
        /// Which.
        what: &'static str,
        /// What is wrong, without quoting it.
        why: &'static str,
    },
    /// The answer is not what it should be.
    #[error("the answer of the token service is not valid: {why}")]
    Answer {
        /// What is wrong.
        why: String,
    },
}

/// `key=value&...`, encoded.
#[must_use]
pub fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = String::new();
    for (key, value) in fields {
        if !out.is_empty() {
            out.push('&');
        }
        encode(key, &mut out);
        out.push('=');
        encode(value, &mut out);
    }
    out.into_bytes()
}

/// The header of a form.
#[must_use]
pub fn form_header() -> (String, String) {
    ("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned())
}
