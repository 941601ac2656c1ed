//! Keys encrypted for holders of private keys: a fresh AES key encrypts the text, and RSA-OAEP (SHA-256) encrypts that key
//! once for each holder.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Value, json};

use super::{KeyringError, decrypt, encrypt};

/// To what the text is bound.
const OF: &str = "keyring";

/// The public half of a pair.
pub struct PublicKey(OaepPublicEncryptingKey);

/// The private half.
pub struct PrivateKey(OaepPrivateDecryptingKey);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

impl PublicKey {
    /// Of a PEM (`PUBLIC KEY`).
    ///
    /// # Errors
    /// It is none, or the key is shorter than 2048 bits.
    pub fn of_pem(pem: &str) -> Result<Self, KeyringError> {
        let bad = || KeyringError::BadKey("public");
        let key = PublicEncryptingKey::from_der(&der(pem, "PUBLIC KEY").ok_or_else(bad)?).map_err(|_| bad())?;
        OaepPublicEncryptingKey::new(key).map(PublicKey).map_err(|_| bad())
    }
}

impl PrivateKey {
    /// Of a PEM (`PRIVATE KEY`, PKCS #8).
    ///
    /// # Errors
    /// It is none, or the key is shorter than 2048 bits.
    pub fn of_pem(pem: &str) -> Result<Self, KeyringError> {
        let bad = || KeyringError::BadKey("private");
        let key = PrivateDecryptingKey::from_pkcs8(&der(pem, "PRIVATE KEY").ok_or_else(bad)?).map_err(|_| bad())?;
        OaepPrivateDecryptingKey::new(key).map(PrivateKey).map_err(|_| bad())
    }
}

fn der(pem: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
    let (base64, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let base64: String = base64.chars().filter(|c| !c.is_whitespace()).collect();
    STANDARD.decode(base64).ok()
}

fn cipher(bytes: &[u8]) -> Result<LessSafeKey, KeyringError> {
    UnboundKey::new(&AES_256_GCM, bytes).map(LessSafeKey::new).map_err(|_| KeyringError::NotOpened)
}

/// A text that only holders of the private halves can read.
pub fn wrap(text: &[u8], readers: &[PublicKey]) -> Result<String, KeyringError> {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| KeyringError::BadImport("no randomness"))?;
    let for_one = |reader: &PublicKey| {
        let mut out = vec![0; reader.0.ciphertext_size()];
        let wrapped = reader.0.encrypt(&OAEP_SHA256_MGF1SHA256, &key, &mut out, None);
        wrapped.map(|wrapped| STANDARD_NO_PAD.encode(wrapped)).map_err(|_| KeyringError::BadKey("public"))
    };
    let keys = readers.iter().map(for_one).collect::<Result<Vec<_>, _>>()?;
    let data = encrypt(&cipher(&key)?, OF, text.to_vec())?;
    Ok(STANDARD.encode(json!({"keys": keys, "data": data}).to_string()))
}

/// Reads it.
pub fn unwrap(wrapped: &str, key: &PrivateKey) -> Result<Vec<u8>, KeyringError> {
    let failed = || KeyringError::NotOpened;
    let text = STANDARD.decode(wrapped.trim()).map_err(|_| failed())?;
    let value: Value = serde_json::from_slice(&text).map_err(|_| failed())?;
    let data = value.get("data").and_then(Value::as_str).ok_or_else(failed)?;
    let keys = value.get("keys").and_then(Value::as_array).ok_or_else(failed)?;
    let opened = keys.iter().filter_map(Value::as_str).find_map(|wrapped| {
        let wrapped = STANDARD_NO_PAD.decode(wrapped).ok()?;
        let mut out = vec![0; key.0.min_output_size()];
        let bytes = key.0.decrypt(&OAEP_SHA256_MGF1SHA256, &wrapped, &mut out, None).ok()?;
        decrypt(&cipher(bytes).ok()?, OF, data)
    });
    opened.ok_or_else(failed)
}
