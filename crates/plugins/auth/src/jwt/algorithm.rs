//! Signature algorithms of tokens (RFC 7518 3.1, RFC 8037). Which one verifies a token is never the token's choice: it
//! must be the one its credential names, or a public key could pass as a shared secret.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};

use crate::authorization::decode_base64;

/// How a signature is verified.
#[derive(Clone, Copy)]
pub enum Family {
    /// With a secret that the issuer shares.
    Secret(hmac::Algorithm),
    /// With the issuer's public key.
    PublicKey(&'static dyn VerificationAlgorithm),
}

/// An algorithm by its registered name.
#[derive(Clone, Copy)]
pub struct Algorithm {
    pub name: &'static str,
    pub family: Family,
}

const ALGORITHMS: [Algorithm; 13] = [
    with_secret("HS256", hmac::HMAC_SHA256),
    with_secret("HS384", hmac::HMAC_SHA384),
    with_secret("HS512", hmac::HMAC_SHA512),
    with_public_key("RS256", &RSA_PKCS1_2048_8192_SHA256),
    with_public_key("RS384", &RSA_PKCS1_2048_8192_SHA384),
    with_public_key("RS512", &RSA_PKCS1_2048_8192_SHA512),
    with_public_key("ES256", &ECDSA_P256_SHA256_FIXED),
    with_public_key("ES384", &ECDSA_P384_SHA384_FIXED),
    with_public_key("ES512", &ECDSA_P521_SHA512_FIXED),
    with_public_key("PS256", &RSA_PSS_2048_8192_SHA256),
    with_public_key("PS384", &RSA_PSS_2048_8192_SHA384),
    with_public_key("PS512", &RSA_PSS_2048_8192_SHA512),
    with_public_key("EdDSA", &ED25519),
];

const fn with_secret(name: &'static str, algorithm: hmac::Algorithm) -> Algorithm {
    Algorithm { name, family: Family::Secret(algorithm) }
}

const fn with_public_key(name: &'static str, algorithm: &'static dyn VerificationAlgorithm) -> Algorithm {
    Algorithm { name, family: Family::PublicKey(algorithm) }
}

impl Algorithm {
    /// Names are matched to the letter; `none` is no algorithm.
    #[must_use]
    pub fn parse(name: &str) -> Option<Algorithm> {
        ALGORITHMS.into_iter().find(|a| a.name == name)
    }
}

impl std::fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Whether `signature` of `message` was made with this secret.
#[must_use]
pub fn verify_with_secret(algorithm: hmac::Algorithm, secret: &[u8], message: &[u8], signature: &[u8]) -> bool {
    hmac::verify(&hmac::Key::new(algorithm, secret), message, signature).is_ok()
}

/// A public key in PEM, for one algorithm.
///
/// # Errors
/// When it is no key, or one of another kind.
pub fn public_key(algorithm: &'static dyn VerificationAlgorithm, pem: &str) -> Result<ParsedPublicKey, &'static str> {
    let der = der_of_pem(pem).ok_or("is not a public key in PEM")?;
    ParsedPublicKey::new(algorithm, der).map_err(|_| "is a key of another kind than its algorithm needs")
}

/// The contents of the first `PUBLIC KEY` or `RSA PUBLIC KEY` block.
fn der_of_pem(pem: &str) -> Option<Vec<u8>> {
    ["PUBLIC KEY", "RSA PUBLIC KEY"].iter().find_map(|label| {
        let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
        let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
        decode_base64(&body.split_whitespace().collect::<String>())
    })
}
