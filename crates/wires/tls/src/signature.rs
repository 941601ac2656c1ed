//! Checks handshake signatures against the key in a peer's certificate, whatever else that certificate says.
//!
//! The library's own functions first demand a certificate in today's form (X.509 v3). Upstreams that are not
//! verified, and clients whose certificate only a plugin judges, may present older ones: possession of the
//! key is proven here, trust is decided elsewhere.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use x509_parser::prelude::FromDer;

/// The leaf's SubjectPublicKeyInfo, or nothing if the bytes are no X.509 certificate.
pub(crate) fn subject_public_key(certificate: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let (rest, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
    rest.is_empty().then(|| SubjectPublicKeyInfoDer::from(parsed.tbs_certificate.subject_pki.raw.to_vec()))
}

pub(crate) fn supported() -> WebPkiSupportedAlgorithms {
    crate::cipher::provider().signature_verification_algorithms
}

pub(crate) fn verify_tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let spki = subject_public_key(certificate).ok_or(CertificateError::BadEncoding)?;
    rustls::crypto::verify_tls13_signature_with_raw_key(message, &spki, signed, &supported())
}

/// TLS 1.2 names hash and key kind but not the curve, so that several algorithms are tried in turn.
pub(crate) fn verify_tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let spki = subject_public_key(certificate).ok_or(CertificateError::BadEncoding)?;
    let key = webpki::RawPublicKeyEntity::try_from(&spki).map_err(|_| CertificateError::BadEncoding)?;
    let known = supported();
    let candidates = known
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signed.scheme)
        .map(|(_, algorithms)| *algorithms)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    if candidates.iter().any(|algorithm| key.verify_signature(*algorithm, message, signed.signature()).is_ok()) {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    }
}

pub(crate) fn schemes() -> Vec<SignatureScheme> {
    supported().supported_schemes()
}
