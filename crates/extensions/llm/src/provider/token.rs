//! Tokens: how the answer to a request for one is read. Whoever owns the sockets sends the request,
//! keeps the token, and asks again before it expires.

use crate::json::Fields;
use gibbon_cloud::TokenError;
use std::fmt;

/// A token and until when it holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token; secret.
    pub value: String,
    /// Seconds since 1970.
    pub expires: u64,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(until {})", self.expires)
    }
}

impl Token {
    /// Time to fetch another: a twentieth of its life, at least a minute, is left. `now` is in
    /// seconds since 1970, `life` the seconds it was issued for.
    #[must_use]
    pub fn is_due(&self, now: u64, life: u64) -> bool {
        let early = (life / 20).max(60);
        now.saturating_add(early) >= self.expires
    }
}

/// Reads an OAuth 2 token answer (RFC 6749, section 5.1); Azure writes numbers as texts.
///
/// # Errors
/// [`TokenError::Answer`]. The error's description is passed on, its body never: it may echo a
/// credential.
pub fn read_oauth(body: &[u8], now: u64) -> Result<Token, TokenError> {
    let bad = |why: &str| TokenError::Answer { why: why.to_owned() };
    let mut f = Fields::parse(body, "answer").map_err(|_| bad("no JSON object"))?;
    if let Some(code) = f.lenient_string("error") {
        let code: String = code.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
        return Err(bad(&format!("error {code}")));
    }
    let value = f.lenient_string("access_token").filter(|t| !t.is_empty()).ok_or_else(|| bad("no access_token"))?;
    let mut number =
        |key: &str| f.take(key).and_then(|v| v.as_u64().or_else(|| v.as_str().and_then(|s| s.trim().parse().ok())));
    let expires = number("expires_in").map(|n| now.saturating_add(n)).or_else(|| number("expires_on"));
    Ok(Token { value, expires: expires.unwrap_or(now + 300) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_however_their_life_is_written() {
        let read = |s: &str| read_oauth(s.as_bytes(), 1000).map(|t| (t.value, t.expires));
        assert_eq!(read(r#"{"access_token":"t","expires_in":3599}"#).unwrap(), ("t".into(), 4599));
        assert_eq!(read(r#"{"access_token":"t","expires_in":"3599"}"#).unwrap(), ("t".into(), 4599));
        assert_eq!(read(r#"{"access_token":"t","expires_on":"9000"}"#).unwrap(), ("t".into(), 9000));
        let err = read(r#"{"error":"invalid_grant","error_description":"secret"}"#).unwrap_err();
        assert_eq!(err.to_string(), "the answer of the token service is not valid: error invalid_grant");
        assert!(read("<html>").is_err());
    }

    #[test]
    fn a_token_is_renewed_before_it_expires() {
        let t = Token { value: "t".into(), expires: 4600 };
        assert!(!t.is_due(4000, 3600));
        assert!(t.is_due(4420, 3600));
        assert!(t.is_due(5000, 3600));
    }
}
