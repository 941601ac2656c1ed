//! The certificates at hand, by name: what handshakes look at. Everything in here can be had again from the storage.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use gibbon_pdk::CertificatePem;
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;

/// Names held at once; with `allow_any_domain` clients choose them.
const CAPACITY: usize = 20_000;

/// A certificate with its end.
#[derive(Clone, Debug)]
pub struct Held {
    pub pem: Arc<CertificatePem>,
    /// Seconds since the epoch.
    pub not_after: i64,
}

impl Held {
    /// `None` for a text that holds no certificate.
    pub fn new(pem: CertificatePem) -> Option<Self> {
        let not_after = with_leaf(&pem.cert, |leaf| leaf.validity().not_after.timestamp())?;
        Some(Held { pem: Arc::new(pem), not_after })
    }
}

/// Certificates by name.
#[derive(Default)]
pub struct Certificates(RwLock<HashMap<Box<str>, Held>>);

impl Certificates {
    pub fn get(&self, host: &str) -> Option<Held> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }

    /// Takes a certificate in; above the capacity, those nearest to their end go.
    pub fn put(&self, host: &str, held: Held) {
        let mut held_by_name = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if held_by_name.len() >= CAPACITY && !held_by_name.contains_key(host) {
            let mut ends: Vec<i64> = held_by_name.values().map(|held| held.not_after).collect();
            ends.sort_unstable();
            let bound = ends.get(CAPACITY / 10).copied().unwrap_or(i64::MAX);
            held_by_name.retain(|_, held| held.not_after > bound);
        }
        held_by_name.insert(host.into(), held);
    }
}

/// Looks at the first certificate of a chain in PEM.
pub fn with_leaf<T>(chain: &str, look: impl FnOnce(&X509Certificate<'_>) -> T) -> Option<T> {
    let pem = Pem::iter_from_buffer(chain.as_bytes()).next()?.ok()?;
    let (_, leaf) = X509Certificate::from_der(&pem.contents).ok()?;
    Some(look(&leaf))
}

/// Common names of the issuers along a chain.
pub fn issuer_names(chain: &str) -> Vec<String> {
    let blocks = Pem::iter_from_buffer(chain.as_bytes()).filter_map(Result::ok);
    blocks.filter_map(|pem| issuer_name(&X509Certificate::from_der(&pem.contents).ok()?.1)).collect()
}

/// Common name of an issuer.
pub fn issuer_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let name = certificate.issuer().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}
