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
    let Ok(salt) = uuid::Uuid::parse_str(&sources.uuid()) else { return };
    let Some(rounds) = NonZeroU32::new(PBKDF2_ROUNDS) else { return };
    let mut hash = [0u8; PBKDF2_LENGTH];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, rounds, salt.as_bytes(), secret.as_bytes(), &mut hash);
    let phc = format!(
        "$pbkdf2-sha512$i={PBKDF2_ROUNDS},l={PBKDF2_LENGTH}${}${}",
        STANDARD_NO_PAD.encode(salt.as_bytes()),
        STANDARD_NO_PAD.encode(hash)
    );
    document.insert("client_secret".into(), phc.into());
}

/// What makes a CA certificate unique.
pub(crate) fn digest_certificate(document: &mut Document, _: &mut dyn Sources) {
    if let Some(digest) = document.get("cert").and_then(Value::as_str).and_then(x509::certificate_digest) {
        document.insert("cert_digest".into(), digest.into());
    }
}
