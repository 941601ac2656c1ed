//! Accepts hand-made certificates that path building refuses for their form alone: X.509 version 1, or
//! marked as an authority. `openssl x509 -req` and `openssl req -x509 -CA` make such certificates unless told
//! otherwise, and OpenSSL accepts them, so that many an upstream has one.
//!
//! Only what a trusted certificate has signed itself is accepted: no intermediates, and no trusted certificate with
//! name constraints, which would have to be enforced.

use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use webpki::RawPublicKeyEntity;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::identity::describe;
use crate::trust::TrustStore;
use crate::verify::{Usage, in_force};

/// Whether a certificate of the trusted set has issued this one for this use, and it is in force.
pub(crate) fn issued(trust: &TrustStore, leaf: &CertificateDer<'_>, usage: Usage, now: UnixTime) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return false };
    let in_its_time = describe(leaf).is_some_and(|details| in_force(&details, now).is_ok());
    in_its_time && may_be_used(&parsed, usage) && trust.unconstrained().any(|issuer| signed_by(&parsed, issuer))
}

/// No extended key usage allows all.
fn may_be_used(leaf: &X509Certificate<'_>, by: Usage) -> bool {
    match leaf.extended_key_usage() {
        Ok(None) => true,
        Ok(Some(usage)) => {
            let named = match by {
                Usage::Server => usage.value.server_auth,
                Usage::Client => usage.value.client_auth,
            };
            named || usage.value.any
        }
        Err(_) => false,
    }
}

fn signed_by(leaf: &X509Certificate<'_>, issuer: &CertificateDer<'_>) -> bool {
    let Ok((_, issuer)) = X509Certificate::from_der(issuer) else { return false };
    if leaf.issuer().as_raw() != issuer.subject().as_raw() {
        return false;
    }
    let spki = SubjectPublicKeyInfoDer::from(issuer.tbs_certificate.subject_pki.raw);
    let Ok(key) = RawPublicKeyEntity::try_from(&spki) else { return false };
    // An algorithm that does not fit the key is refused before it is tried.
    let message = leaf.tbs_certificate.as_ref();
    let signature = leaf.signature_value.data.as_ref();
    crate::signature::supported()
        .all
        .iter()
        .any(|algorithm| key.verify_signature(*algorithm, message, signature).is_ok())
}
