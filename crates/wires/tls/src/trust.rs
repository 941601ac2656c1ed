//! Sets of certificate authorities to verify peers against.

use std::sync::{Arc, OnceLock};

use rustls_pki_types::{CertificateDer, TrustAnchor};

use crate::certificate::{PemError, chain_from_pem};

/// Why a set of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("CA list {name}: {error}")]
    Pem { name: String, error: PemError },
    #[error("CA list {name}: certificate number {position} cannot be a trust anchor: {reason}")]
    Anchor { name: String, position: usize, reason: String },
    #[error("no system-wide CA certificates found; install the ca-certificates package or name a CA file: {0}")]
    NoSystemStore(String),
}

/// A set of trusted certificates. Cheap to clone; equal and hashed by content.
#[derive(Debug, Clone)]
pub struct TrustStore(Arc<Store>);

#[derive(Debug)]
struct Store {
    /// In the order of `anchors`.
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
}

impl TrustStore {
    /// Reads all certificates of several PEM texts, each with a name for errors.
    pub fn from_pem<'a>(texts: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, TrustError> {
        let mut store = Store { certificates: Vec::new(), anchors: Vec::new() };
        for (name, pem) in texts {
            let chain = chain_from_pem(pem).map_err(|error| TrustError::Pem { name: name.to_owned(), error })?;
            for (index, certificate) in chain.into_iter().enumerate() {
                let anchor = webpki::anchor_from_trusted_cert(&certificate).map_err(|error| TrustError::Anchor {
                    name: name.to_owned(),
                    position: index + 1,
                    reason: error.to_string(),
                })?;
                store.anchors.push(anchor.to_owned());
                store.certificates.push(certificate);
            }
        }
        Ok(Self(Arc::new(store)))
    }

    /// A store that trusts nobody.
    pub fn empty() -> Self {
        Self(Arc::new(Store { certificates: Vec::new(), anchors: Vec::new() }))
    }

    /// The operating system's bundle (or the one `SSL_CERT_FILE` names), read once per process.
    pub fn system() -> Result<Self, TrustError> {
        static SYSTEM: OnceLock<TrustStore> = OnceLock::new();
        if let Some(store) = SYSTEM.get() {
            return Ok(store.clone());
        }
        let loaded = rustls_native_certs::load_native_certs();
        let mut store = Store { certificates: Vec::new(), anchors: Vec::new() };
        for certificate in loaded.certs {
            // A bundle may hold old forms the library refuses; one bad root must not cost the others.
            if let Ok(anchor) = webpki::anchor_from_trusted_cert(&certificate) {
                store.anchors.push(anchor.to_owned());
                store.certificates.push(certificate);
            }
        }
        if store.anchors.is_empty() {
            let reasons: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
            return Err(TrustError::NoSystemStore(reasons.join("; ")));
        }
        Ok(SYSTEM.get_or_init(|| Self(Arc::new(store))).clone())
    }

    /// These certificates and the other's.
    #[must_use]
    pub fn and(&self, other: &TrustStore) -> Self {
        let certificates = self.0.certificates.iter().chain(&other.0.certificates).cloned().collect();
        let anchors = self.0.anchors.iter().chain(&other.0.anchors).cloned().collect();
        Self(Arc::new(Store { certificates, anchors }))
    }

    /// How many certificates are trusted.
    pub fn len(&self) -> usize {
        self.0.certificates.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.certificates.is_empty()
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.0.anchors
    }

    /// The certificates that may vouch for any name.
    pub(crate) fn unconstrained(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        let pairs = self.0.certificates.iter().zip(&self.0.anchors);
        pairs.filter(|(_, anchor)| anchor.name_constraints.is_none()).map(|(certificate, _)| certificate)
    }

    pub(crate) fn contains(&self, certificate: &CertificateDer<'_>) -> bool {
        self.0.certificates.iter().any(|trusted| trusted == certificate)
    }
}

impl PartialEq for TrustStore {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.certificates == other.0.certificates
    }
}

impl Eq for TrustStore {}

impl std::hash::Hash for TrustStore {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.certificates.hash(state);
    }
}
