//! Makes the self-signed certificates a node serves until it is given real ones.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd,
};

use crate::certificate::KeyType;

/// A self-signed certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error("cannot make a self-signed certificate for {name:?}: {reason}")]
    Refused { name: String, reason: String },
    #[error("self-signed certificates are made with RSA or ECDSA keys only")]
    Kind,
}

/// A self-signed server certificate for `name` and its key, both PEM: RSA of 2048 bits or ECDSA on P-256.
/// Valid until 2050, the last year X.509 writes with two digits; browsers will not trust it anyway.
pub fn generate_default(name: &str, kind: KeyType) -> Result<(String, String), GenerateError> {
    let refused = |error: rcgen::Error| GenerateError::Refused { name: name.to_owned(), reason: error.to_string() };
    let key = match kind {
        KeyType::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(refused)?,
        KeyType::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(refused)?,
        KeyType::Ed25519 => return Err(GenerateError::Kind),
    };
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(refused)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key).map_err(refused)?;
    Ok((certificate.pem(), key.serialize_pem()))
}
