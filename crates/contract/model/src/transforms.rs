//! Changes of the stored form: secrets become hashes, certificates get their digest.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, pbkdf2};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use gibbon_schema::{Sources, is_vault_reference};
use serde_json::{Map, Value};

use crate::x509;

type Document = Map<String, Value>;

const PBKDF2_ROUNDS: u32 = 10_000;
const PBKDF2_LENGTH: usize = 32;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The password of basic auth, salted with its consumer as Kong does it, so that stored ones stay usable.
pub(crate) fn hash_basic_password(document: &mut Document, _: &mut dyn Sources) {
    let consumer = document.get("consumer").and_then(|c| c.get("id")).and_then(Value::as_str);
    let (Some(consumer), Some(password)) = (consumer, document.get("password").and_then(Value::as_str)) else {
        return;
    };
    let salted = format!("{password}{consumer}");
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, salted.as_bytes());
    document.insert("password".into(), hex(hash.as_ref()).into());
}

/// The secret of an OAuth 2 client that asked for its secret to be hashed, in PHC form.
pub(crate) fn hash_client_secret(document: &mut Document, sources: &mut dyn Sources) {
    if document.get("hash_secret") != Some(&Value::Bool(true)) {
        return;
    }
    let Some(secret) = document.get("client_secret").and_then(Value::as_str) else { return };
    if secret.starts_with("$pbkdf2-") || is_vault_reference(secret) {
        return;
    }
    if let Some(phc) = phc(secret, sources) {
        document.insert("client_secret".into(), phc.into());
    }
}

/// A secret, salted and stretched, in PHC form.
fn phc(secret: &str, sources: &mut dyn Sources) -> Option<String> {
    let salt = uuid::Uuid::parse_str(&sources.uuid()).ok()?;
    let rounds = NonZeroU32::new(PBKDF2_ROUNDS)?;
    let mut hash = [0u8; PBKDF2_LENGTH];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, rounds, salt.as_bytes(), secret.as_bytes(), &mut hash);
    Some(format!(
        "$pbkdf2-sha512$i={PBKDF2_ROUNDS},l={PBKDF2_LENGTH}${}${}",
        STANDARD_NO_PAD.encode(salt.as_bytes()),
        STANDARD_NO_PAD.encode(hash)
    ))
}

/// How many characters of a token's digest find the users it may belong to.
const TOKEN_IDENT: usize = 5;

/// The start of a token's digest, by which the users it may belong to are found. It gives away 20 bits of the digest.
pub fn token_ident(token: &str) -> String {
    let mut ident = hex(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    ident.truncate(TOKEN_IDENT);
    ident
}

/// Whether a token is the one that was stored as `stored`. Takes the same time wherever they differ.
pub fn is_token(stored: &str, token: &str) -> bool {
    let Some(rest) = stored.strip_prefix("$pbkdf2-sha512$") else { return false };
    let mut parts = rest.split('$');
    let (Some(costs), Some(salt), Some(hash), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let rounds = costs.split(',').find_map(|cost| cost.strip_prefix("i=")?.parse::<NonZeroU32>().ok());
    let (Some(rounds), Ok(salt), Ok(hash)) = (rounds, STANDARD_NO_PAD.decode(salt), STANDARD_NO_PAD.decode(hash))
    else {
        return false;
    };
    pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA512, rounds, &salt, token.as_bytes(), &hash).is_ok()
}

/// The token of a user of the Admin API.
pub(crate) fn hash_user_token(document: &mut Document, sources: &mut dyn Sources) {
    let Some(token) = document.get("user_token").and_then(Value::as_str) else { return };
    let ident = token_ident(token);
    // A token that cannot be hashed is worth nothing, and must not be stored as it is.
    let stored = phc(token, sources).unwrap_or_default();
    document.insert("user_token".into(), stored.into());
    document.insert("user_token_ident".into(), ident.into());
}

/// What makes a CA certificate unique.
pub(crate) fn digest_certificate(document: &mut Document, _: &mut dyn Sources) {
    if let Some(digest) = document.get("cert").and_then(Value::as_str).and_then(x509::certificate_digest) {
        document.insert("cert_digest".into(), digest.into());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Fixed;
    impl Sources for Fixed {
        fn now(&mut self) -> f64 {
            1.7e9
        }
        fn uuid(&mut self) -> String {
            "00000000-0000-4000-8000-000000000001".into()
        }
        fn secret(&mut self) -> String {
            "x".repeat(32)
        }
    }

    #[test]
    fn a_token_is_stored_as_a_hash_that_only_it_fits() {
        let mut user = json!({"name": "ada", "user_token": "sesame"}).as_object().cloned().unwrap();
        hash_user_token(&mut user, &mut Fixed);
        let stored = user.get("user_token").unwrap().as_str().unwrap();
        assert!(!stored.contains("sesame"));
        assert!(is_token(stored, "sesame") && !is_token(stored, "sesamf") && !is_token(stored, ""));
        assert!(!is_token("sesame", "sesame"), "what is no hash fits nothing");
        assert_eq!(user.get("user_token_ident").unwrap(), &token_ident("sesame"));
    }
}
