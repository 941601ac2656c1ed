//! Certificates and keys as far as configuration has to understand them: is it one, does it match, is it a CA.

use aws_lc_rs::{
    digest,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _,
    },
};
use gibbon_schema::is_vault_reference;
use serde_json::{Map, Value};
use x509_parser::{pem::Pem, prelude::FromDer as _, x509::SubjectPublicKeyInfo};

use crate::transforms::hex;

/// A public key as it stands in a certificate, without its algorithm.
#[derive(Debug, PartialEq, Eq)]
struct PublicKey(Vec<u8>);

fn blocks(text: &str) -> impl Iterator<Item = Pem> {
    Pem::iter_from_buffer(text.as_bytes()).filter_map(Result::ok)
}

fn certificates(text: &str) -> Vec<Pem> {
    blocks(text).filter(|pem| matches!(pem.label.as_str(), "CERTIFICATE" | "TRUSTED CERTIFICATE")).collect()
}

/// What is wanted of the first certificate of a text.
fn with_certificate<T>(
    text: &str,
    read: impl FnOnce(&x509_parser::certificate::X509Certificate<'_>) -> T,
) -> Result<T, &'static str> {
    let pems = certificates(text);
    let pem = pems.first().ok_or("no certificate found in PEM")?;
    let certificate = pem.parse_x509().map_err(|_| "the certificate is not well-formed")?;
    Ok(read(&certificate))
}

/// At least one certificate, in PEM.
pub(crate) fn check_certificate(value: &Value) -> Result<(), String> {
    let Some(text) = value.as_str() else { return Ok(()) };
    with_certificate(text, |_| ()).map_err(|why| format!("invalid certificate: x509.new: {why}"))
}

/// A private key, in PEM.
pub(crate) fn check_key(value: &Value) -> Result<(), String> {
    let Some(text) = value.as_str() else { return Ok(()) };
    private_key(text).map(drop).map_err(|why| format!("invalid key: pkey.new:load_key: {why}"))
}

/// A public key, in PEM.
pub(crate) fn check_public_key(value: &Value) -> Result<(), String> {
    let Some(text) = value.as_str() else { return Ok(()) };
    public_key(text).map(drop).ok_or_else(|| "invalid key".to_owned())
}

/// SHA-256 of the first certificate, in lower-case hexadecimal.
pub fn certificate_digest(text: &str) -> Option<String> {
    let pems = certificates(text);
    pems.first().map(|pem| hex(digest::digest(&digest::SHA256, &pem.contents).as_ref()))
}

fn public_key(text: &str) -> Option<PublicKey> {
    blocks(text).find_map(|pem| match pem.label.as_str() {
        "PUBLIC KEY" => {
            let (_, info) = SubjectPublicKeyInfo::from_der(&pem.contents).ok()?;
            Some(PublicKey(info.subject_public_key.data.to_vec()))
        }
        "RSA PUBLIC KEY" => der::sequence(&pem.contents).map(|_| PublicKey(pem.contents.clone())),
        "CERTIFICATE" => {
            let certificate = pem.parse_x509().ok()?;
            Some(PublicKey(certificate.public_key().subject_public_key.data.to_vec()))
        }
        _ => private_key_of(&pem),
    })
}

/// The public half of the first private key of a text.
fn private_key(text: &str) -> Result<PublicKey, &'static str> {
    let mut found = false;
    for pem in blocks(text) {
        if pem.label.ends_with("PRIVATE KEY") {
            found = true;
            if let Some(key) = private_key_of(&pem) {
                return Ok(key);
            }
        }
    }
    Err(if found { "the key is encrypted, of an unknown kind or not well-formed" } else { "no key found in PEM" })
}

fn private_key_of(pem: &Pem) -> Option<PublicKey> {
    match pem.label.as_str() {
        "RSA PRIVATE KEY" => rsa_public(&pem.contents),
        "EC PRIVATE KEY" => ecdsa_public(&pem.contents),
        "PRIVATE KEY" => pkcs8_public(&pem.contents),
        _ => None,
    }
}

/// PKCS #8 wraps the RSA form; the elliptic ones are read by the crypto library as a whole.
fn pkcs8_public(pkcs8: &[u8]) -> Option<PublicKey> {
    let mut fields = der::Reader::new(der::sequence(pkcs8)?);
    let _version = fields.next()?;
    let algorithm = der::Reader::new(fields.next()?.value).next()?;
    if algorithm.value == der::OID_RSA || algorithm.value == der::OID_RSA_PSS {
        return rsa_public(fields.next()?.value);
    }
    ecdsa_public(pkcs8).or_else(|| {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).ok()?;
        Some(PublicKey(pair.public_key().as_ref().to_vec()))
    })
}

fn ecdsa_public(der: &[u8]) -> Option<PublicKey> {
    [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING]
        .into_iter()
        .find_map(|algorithm| EcdsaKeyPair::from_private_key_der(algorithm, der).ok())
        .map(|pair| PublicKey(pair.public_key().as_ref().to_vec()))
}

/// Modulus and exponent of an RSA private key as a public one. Read here and not by the crypto library, which refuses
/// key sizes that are still in use.
fn rsa_public(der: &[u8]) -> Option<PublicKey> {
    let mut fields = der::Reader::new(der::sequence(der)?);
    let _version = fields.next()?;
    let (modulus, exponent) = (fields.next()?, fields.next()?);
    Some(PublicKey(der::wrap_sequence(&[modulus.whole, exponent.whole])))
}

/// Just enough of DER to take key files apart.
mod der {
    pub const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    pub const OID_RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
    const SEQUENCE: u8 = 0x30;

    /// One element: with and without tag and length.
    pub struct Element<'a> {
        pub tag: u8,
        pub value: &'a [u8],
        pub whole: &'a [u8],
    }

    pub struct Reader<'a>(&'a [u8]);

    impl<'a> Reader<'a> {
        pub fn new(bytes: &'a [u8]) -> Self {
            Reader(bytes)
        }

        pub fn next(&mut self) -> Option<Element<'a>> {
            let all = self.0;
            let (&tag, rest) = all.split_first()?;
            let (&first, rest) = rest.split_first()?;
            let (length, rest) = if first < 0x80 {
                (usize::from(first), rest)
            } else {
                // Four bytes of length are more than any key has.
                let count = usize::from(first & 0x7f);
                if count == 0 || count > 4 {
                    return None;
                }
                let (digits, rest) = rest.split_at_checked(count)?;
                (digits.iter().fold(0usize, |sum, byte| (sum << 8) | usize::from(*byte)), rest)
            };
            let (value, after) = rest.split_at_checked(length)?;
            let (whole, _) = all.split_at_checked(all.len() - after.len())?;
            self.0 = after;
            Some(Element { tag, value, whole })
        }
    }

    /// What is in the sequence that `bytes` begins with.
    pub fn sequence(bytes: &[u8]) -> Option<&[u8]> {
        let element = Reader::new(bytes).next()?;
        (element.tag == SEQUENCE).then_some(element.value)
    }

    pub fn wrap_sequence(elements: &[&[u8]]) -> Vec<u8> {
        let length: usize = elements.iter().map(|e| e.len()).sum();
        let mut out = vec![SEQUENCE];
        if length < 0x80 {
            out.push(length as u8);
        } else {
            let digits = length.to_be_bytes();
            let significant: Vec<u8> = digits.into_iter().skip_while(|b| *b == 0).collect();
            out.push(0x80 | significant.len() as u8);
            out.extend(significant);
        }
        for element in elements {
            out.extend_from_slice(element);
        }
        out
    }
}

/// The text of a field, unless it is to be looked up in a vault and cannot be checked.
fn known<'a>(document: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    document.get(field)?.as_str().filter(|text| !is_vault_reference(text))
}

pub(crate) fn check_certificate_matches_key(document: &Map<String, Value>) -> Result<(), String> {
    matches(document, "cert", "key").map_err(|()| "certificate does not match key".to_owned())
}

pub(crate) fn check_alternative_matches_key(document: &Map<String, Value>) -> Result<(), String> {
    matches(document, "cert_alt", "key_alt").map_err(|()| "alternative certificate does not match key".to_owned())
}

fn matches(document: &Map<String, Value>, certificate: &str, key: &str) -> Result<(), ()> {
    let (Some(certificate), Some(key)) = (known(document, certificate), known(document, key)) else { return Ok(()) };
    let of_certificate = with_certificate(certificate, |c| PublicKey(c.public_key().subject_public_key.data.to_vec()));
    match (of_certificate, private_key(key)) {
        (Ok(a), Ok(b)) if a == b => Ok(()),
        (Ok(_), Ok(_)) => Err(()),
        _ => Ok(()), // the fields themselves are at fault and say so
    }
}

/// Two certificates for one name only make sense if clients can choose between algorithms.
pub(crate) fn check_alternative_differs(document: &Map<String, Value>) -> Result<(), String> {
    let (Some(first), Some(second)) = (known(document, "cert"), known(document, "cert_alt")) else { return Ok(()) };
    let algorithm = |text| with_certificate(text, |c| c.public_key().algorithm.algorithm.to_id_string());
    match (algorithm(first), algorithm(second)) {
        (Ok(a), Ok(b)) if a == b => Err("certificate and alternative certificate need to have different type \
             (e.g. RSA and ECDSA), the provided certificates were both of the same type"
            .to_owned()),
        _ => Ok(()),
    }
}

/// One certificate, of an authority, not expired at `now` (seconds since 1970).
pub(crate) fn check_authority(document: &Map<String, Value>, now: i64) -> Result<(), String> {
    let Some(text) = known(document, "cert") else { return Ok(()) };
    if certificates(text).len() > 1 {
        return Err("please submit only one certificate at a time".to_owned());
    }
    let facts = with_certificate(text, |certificate| {
        let authority = certificate.basic_constraints().ok().flatten().is_some_and(|c| c.value.ca);
        (certificate.validity().not_after.timestamp(), authority)
    });
    match facts {
        Ok((not_after, _)) if not_after < now => {
            Err("certificate expired, \"Not After\" time is in the past".to_owned())
        }
        Ok((_, false)) => Err("certificate does not appear to be a CA because it is missing the \"CA\" basic \
             constraint"
            .to_owned()),
        _ => Ok(()),
    }
}

/// The keys of a pair: both load, and belong together if both are given.
pub(crate) fn check_pair(private: Option<&str>, public: Option<&str>) -> Result<(), &'static str> {
    let private = private.filter(|t| !is_vault_reference(t)).map(private_key).transpose();
    let private = private.map_err(|_| "could not load private key")?;
    let public = match public.filter(|t| !is_vault_reference(t)) {
        Some(text) => Some(public_key(text).ok_or("could not load public key")?),
        None => None,
    };
    match (private, public) {
        (Some(a), Some(b)) if a != b => Err("public key does not match private key"),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
    use serde_json::json;

    fn pair(algorithm: &'static rcgen::SignatureAlgorithm, is_ca: bool) -> (String, String) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        if is_ca {
            params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn document(cert: &str, key: &str) -> Map<String, Value> {
        json!({"cert": cert, "key": key}).as_object().unwrap().clone()
    }

    #[test]
    fn a_certificate_matches_its_own_key_only() {
        let (cert, key) = pair(&PKCS_ECDSA_P256_SHA256, false);
        let (other, _) = pair(&PKCS_ED25519, false);
        assert_eq!(check_certificate_matches_key(&document(&cert, &key)), Ok(()));
        assert_eq!(
            check_certificate_matches_key(&document(&other, &key)),
            Err("certificate does not match key".to_owned())
        );
        assert_eq!(check_certificate_matches_key(&document("{vault://env/c}", &key)), Ok(()));
    }

    #[test]
    fn alternative_certificates_differ_in_kind() {
        let (one, _) = pair(&PKCS_ECDSA_P256_SHA256, false);
        let (two, _) = pair(&PKCS_ECDSA_P256_SHA256, false);
        let (three, _) = pair(&PKCS_ED25519, false);
        let both = |a: &str, b: &str| json!({"cert": a, "cert_alt": b}).as_object().unwrap().clone();
        assert!(check_alternative_differs(&both(&one, &two)).is_err());
        assert_eq!(check_alternative_differs(&both(&one, &three)), Ok(()));
    }

    #[test]
    fn an_authority_is_one_certificate_marked_as_such_and_not_expired() {
        let (ca, key) = pair(&PKCS_ECDSA_P256_SHA256, true);
        let (leaf, _) = pair(&PKCS_ECDSA_P256_SHA256, false);
        let now = 1_700_000_000;
        assert_eq!(check_authority(&document(&ca, &key), now), Ok(()));
        assert!(check_authority(&document(&leaf, &key), now).unwrap_err().contains("\"CA\" basic constraint"));
        assert_eq!(
            check_authority(&document(&format!("{ca}{ca}"), &key), now),
            Err("please submit only one certificate at a time".to_owned())
        );
        assert!(check_authority(&document(&ca, &key), i64::MAX).unwrap_err().starts_with("certificate expired"));
    }

    #[test]
    fn texts_that_are_no_certificate_or_key_are_refused() {
        assert!(check_certificate(&json!("nonsense")).unwrap_err().starts_with("invalid certificate: "));
        assert!(check_key(&json!("nonsense")).unwrap_err().starts_with("invalid key: "));
        assert_eq!(check_public_key(&json!("nonsense")), Err("invalid key".to_owned()));
    }

    #[test]
    fn key_pairs_belong_together() {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let other = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let (private, public) = (key.serialize_pem(), key.public_key_pem());
        assert_eq!(check_pair(Some(&private), Some(&public)), Ok(()));
        assert_eq!(check_pair(Some(&private), None), Ok(()));
        assert!(check_pair(Some(&private), Some(&other.public_key_pem())).is_err());
        assert_eq!(check_pair(Some("x"), None), Err("could not load private key"));
        assert_eq!(check_pair(None, Some("x")), Err("could not load public key"));
    }
}
