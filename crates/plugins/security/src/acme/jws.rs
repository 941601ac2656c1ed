//! Signed requests as ACME wants them (RFC 8555 6.2): flattened JWS, RS256.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// A key of an account.
pub struct AccountKey {
    pair: KeyPair,
    /// The public half as a JWK, its members in the order that thumbprints want.
    jwk: Value,
}

/// Why a key is of no use.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the account's key cannot be read or used: {0}")]
    Broken(#[from] rcgen::Error),
    #[error("the account's key is no RSA key")]
    NotRsa,
}

impl AccountKey {
    /// # Errors
    /// What is no RSA key.
    pub fn new(pair: KeyPair) -> Result<Self, KeyError> {
        let der = pair.subject_public_key_info();
        let (_, info) = SubjectPublicKeyInfo::from_der(&der).map_err(|_| KeyError::NotRsa)?;
        let Ok(PublicKey::RSA(rsa)) = info.parsed() else { return Err(KeyError::NotRsa) };
        let number = |bytes: &[u8]| {
            let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(0);
            encode(bytes.get(start..).unwrap_or_default())
        };
        let jwk = json!({ "e": number(rsa.exponent), "kty": "RSA", "n": number(rsa.modulus) });
        Ok(AccountKey { pair, jwk })
    }

    /// # Errors
    /// What is no RSA key in PEM.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        Self::new(KeyPair::from_pem(pem)?)
    }

    pub fn pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// SHA-256 over the JWK (RFC 7638), in base64url.
    pub fn thumbprint(&self) -> String {
        encode(digest(&SHA256, self.jwk.to_string().as_bytes()).as_ref())
    }

    /// Signs a payload for a URL. Without `kid`, the key itself is shown: for an account that is not known yet.
    ///
    /// # Errors
    /// When the key refuses to sign.
    pub fn sign(&self, url: &str, nonce: &str, kid: Option<&str>, payload: &[u8]) -> Result<Value, KeyError> {
        let protected = match kid {
            Some(kid) => json!({ "alg": "RS256", "nonce": nonce, "url": url, "kid": kid }),
            None => json!({ "alg": "RS256", "nonce": nonce, "url": url, "jwk": self.jwk }),
        };
        let (protected, payload) = (encode(protected.to_string().as_bytes()), encode(payload));
        let signature = self.pair.sign(format!("{protected}.{payload}").as_bytes())?;
        Ok(json!({ "protected": protected, "payload": payload, "signature": encode(&signature) }))
    }

    /// Binds the key to an external account (RFC 8555 7.3.4). `None` if its key is no base64url.
    pub fn bind(&self, url: &str, kid: &str, key: &str) -> Option<Value> {
        let key = URL_SAFE_NO_PAD.decode(key.trim_end_matches('=')).ok()?;
        let protected = json!({ "alg": "HS256", "kid": kid, "url": url });
        let (protected, payload) = (encode(protected.to_string().as_bytes()), encode(self.jwk.to_string().as_bytes()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signature = hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
        Some(json!({ "protected": protected, "payload": payload, "signature": encode(signature.as_ref()) }))
    }
}

/// Base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
