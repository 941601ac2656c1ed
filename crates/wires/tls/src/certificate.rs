//! A certificate chain with its private key, ready for handshakes, and the pair of kinds (RSA and ECDSA)
//! under which one name may be served. Reads PEM; what is inside a certificate is told by `identity`.

use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::hello::ClientHello;
use crate::signature::subject_public_key;

/// Why a PEM certificate or key cannot be used. Never quotes the input: it may be a private key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    #[error("no \"BEGIN CERTIFICATE\" block found")]
    NoCertificate,
    #[error("no private key block found (PKCS#8, PKCS#1 or SEC1; encrypted keys are not supported)")]
    NoKey,
    #[error("certificate number {position} in the chain is not valid PEM: {reason}")]
    BadCertificatePem { position: usize, reason: String },
    #[error("certificate number {position} in the chain is not a valid X.509 certificate")]
    BadCertificate { position: usize },
    #[error("the private key is not valid PEM: {0}")]
    BadKeyPem(String),
    #[error("the private key is of no supported kind (RSA of 2048 to 8192 bits, P-256, P-384, P-521, Ed25519)")]
    UnsupportedKey,
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
}

/// The kind of a certificate's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    Rsa,
    Ecdsa,
    Ed25519,
}

/// A certificate chain with its private key. Cheap to clone.
#[derive(Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    kind: KeyType,
}

impl Certificate {
    /// Reads a chain (leaf first) and the leaf's private key, both PEM, and checks that they belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, PemError> {
        let chain = chain_from_pem(chain)?;
        let leaf = chain.first().ok_or(PemError::NoCertificate)?;
        let spki = subject_public_key(leaf).ok_or(PemError::BadCertificate { position: 1 })?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            rustls_pki_types::pem::Error::NoItemsFound => PemError::NoKey,
            other => PemError::BadKeyPem(other.to_string()),
        })?;
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(|_| PemError::UnsupportedKey)?;
        let kind = match signer.algorithm() {
            SignatureAlgorithm::RSA => KeyType::Rsa,
            SignatureAlgorithm::ECDSA => KeyType::Ecdsa,
            SignatureAlgorithm::ED25519 => KeyType::Ed25519,
            _ => return Err(PemError::UnsupportedKey),
        };
        // The library's own check refuses X.509 v1 leaves, which OpenSSL serves; comparing the keys is enough.
        if signer.public_key().is_some_and(|public| public != spki) {
            return Err(PemError::KeyMismatch);
        }
        Ok(Self { key: Arc::new(CertifiedKey::new(chain, signer)), kind })
    }

    pub fn key_type(&self) -> KeyType {
        self.kind
    }

    /// The chain as DER, leaf first.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.key.cert.iter().map(AsRef::as_ref)
    }

    pub(crate) fn certified_key(&self) -> Arc<CertifiedKey> {
        self.key.clone()
    }
}

/// Two are equal when chain and key kind are: the key follows from the leaf.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.key, &other.key) || self.key.cert == other.key.cert
    }
}

impl Eq for Certificate {}

impl std::hash::Hash for Certificate {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key.cert.hash(state);
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("kind", &self.kind).field("chain", &self.key.cert.len()).finish()
    }
}

/// All certificates of a PEM text, in their order; at least one, each a readable X.509 certificate.
pub(crate) fn chain_from_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let mut chain = Vec::new();
    for (index, item) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let position = index + 1;
        let der = item.map_err(|error| PemError::BadCertificatePem { position, reason: error.to_string() })?;
        if subject_public_key(&der).is_none() {
            return Err(PemError::BadCertificate { position });
        }
        chain.push(der);
    }
    if chain.is_empty() { Err(PemError::NoCertificate) } else { Ok(chain) }
}

/// The certificates that serve one name: one kind, or an RSA and an ECDSA one side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificatePair {
    first: Certificate,
    second: Option<Certificate>,
}

impl CertificatePair {
    pub fn new(first: Certificate, second: Option<Certificate>) -> Self {
        Self { first, second }
    }

    /// The certificate this client can use; among several the elliptic one, whose signature costs a tenth.
    /// If the client can use none, the first: the handshake then fails with the right alert.
    pub fn choose(&self, hello: &ClientHello) -> &Certificate {
        let Some(second) = &self.second else { return &self.first };
        let elliptic_first =
            if self.first.kind == KeyType::Rsa { [second, &self.first] } else { [&self.first, second] };
        elliptic_first.into_iter().find(|candidate| hello.accepts(candidate.kind)).unwrap_or(&self.first)
    }
}

impl From<Certificate> for CertificatePair {
    fn from(first: Certificate) -> Self {
        Self { first, second: None }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::generate::generate_default;

    #[test]
    fn generated_pairs_are_read_back_as_their_kind() {
        for kind in [KeyType::Rsa, KeyType::Ecdsa] {
            let (chain, key) = generate_default("localhost", kind).unwrap();
            let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
            assert_eq!(certificate.key_type(), kind);
            let details = crate::describe(certificate.chain().next().unwrap()).unwrap();
            assert_eq!(details.common_name.as_deref(), Some("localhost"));
            assert_eq!(details.dns_names, ["localhost"]);
            assert_eq!(details.subject, details.issuer);
        }
    }

    #[test]
    fn each_mistake_has_its_own_message() {
        let (chain, key) = generate_default("a", KeyType::Ecdsa).unwrap();
        let (other, _) = generate_default("a", KeyType::Ecdsa).unwrap();
        let read = |chain: &str, key: &str| Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(read("", &key), PemError::NoCertificate);
        assert_eq!(read(&key, &key), PemError::NoCertificate);
        assert_eq!(read(&chain, ""), PemError::NoKey);
        assert_eq!(read(&chain, &chain), PemError::NoKey);
        assert_eq!(read(&other, &key), PemError::KeyMismatch);
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(read(&(chain.clone() + empty), &key), PemError::BadCertificate { position: 2 });
        let broken = "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n";
        assert!(matches!(read(broken, &key), PemError::BadCertificatePem { position: 1, .. }));
        let unfinished = "-----BEGIN PRIVATE KEY-----\nAAAA\n";
        assert!(matches!(read(&chain, unfinished), PemError::BadKeyPem(_)));
        let nonsense = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(read(&chain, nonsense), PemError::UnsupportedKey);
    }

    #[test]
    fn nothing_of_the_key_is_shown() {
        let (chain, key) = generate_default("a", KeyType::Ecdsa).unwrap();
        let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(format!("{certificate:?}"), "Certificate { kind: Ecdsa, chain: 1 }");
    }
}
