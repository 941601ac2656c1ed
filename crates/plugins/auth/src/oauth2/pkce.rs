//! Proof that a code comes back from who asked for it (RFC 7636).

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::client::Client;
use super::config::{Config, Pkce};
use super::parameters::{Parameters, Refusal};
use crate::identity;

/// The only method: a plain challenge shows the verifier to whoever sees the request.
pub const METHOD: &str = "S256";

/// The challenge that a client sends with its request for a code.
///
/// # Errors
/// A challenge that is missing where it is needed, or of another method.
pub fn challenge(parameters: &Parameters, config: &Config, client: Option<&Client>) -> Result<Option<String>, Refusal> {
    let refused = |description: String| Err(Refusal::new("invalid_request", description));
    let challenge = parameters.text("code_challenge");
    let method = parameters.text("code_challenge_method");
    match (challenge, method) {
        (None, Some(_)) => refused("code_challenge is required when code_method is present".into()),
        (Some(_), Some(method)) if method != METHOD && method != "s256" => {
            refused("code_challenge_method is not supported, must be S256".into())
        }
        (None, None) => match client {
            Some(client) if is_required(config, client) => {
                refused(format!("code_challenge is required for {} clients", client.kind()))
            }
            _ => Ok(None),
        },
        // One way to write it, so that it can be compared.
        (Some(challenge), _) => Ok(Some(challenge.trim_end_matches('=').replace('+', "-").replace('/', "_"))),
    }
}

/// Whether a client must use a challenge.
#[must_use]
pub fn is_required(config: &Config, client: &Client) -> bool {
    match config.pkce.unwrap_or(Pkce::Lax) {
        Pkce::None => false,
        Pkce::Lax => client.is_public,
        Pkce::Strict => true,
    }
}

/// Whether the verifier that comes with a code is the one its challenge was made of.
///
/// # Errors
/// When it is missing, malformed, or another one.
pub fn verify(parameters: &Parameters, challenge: Option<&str>) -> Result<(), Refusal> {
    let refused = |description| Err(Refusal::new("invalid_request", description));
    let verifier = match parameters.get("code_verifier") {
        None => return refused("code_verifier is required for PKCE authorization requests"),
        Some(serde_json::Value::String(verifier)) => verifier,
        Some(_) => return refused("code_verifier is not a string"),
    };
    if !(43..=128).contains(&verifier.len()) {
        return refused("code_verifier must be between 43 and 128 characters");
    }
    let made = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    if challenge.is_some_and(|challenge| identity::equal_in_constant_time(made.as_bytes(), challenge.as_bytes())) {
        return Ok(());
    }
    Err(Refusal::new("invalid_grant", "Invalid code"))
}
