//! HTTP-01: the authority fetches an answer from the name that it checks (RFC 8555 8.3).

use std::time::Duration;

/// How long an answer is kept: authorities ask within seconds.
pub const TIME_TO_LIVE: Duration = Duration::from_secs(3600);

const PREFIX: &[u8] = b"/.well-known/acme-challenge/";

/// Where the answer to a challenge lies.
pub fn place(token: &str) -> String {
    format!("{token}#http-01")
}

/// The token that a path asks for.
pub fn token(path: &[u8]) -> Option<&str> {
    std::str::from_utf8(path.strip_prefix(PREFIX)?).ok().filter(|token| !token.is_empty())
}

/// Whether a token could be one of an authority's: base64url, and not endless. Nothing else may become a key.
pub fn is_sound(token: &str) -> bool {
    token.len() <= 200 && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
