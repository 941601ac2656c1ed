//! Whether a certificate leads to a trusted one (RFC 5280 section 6, without policies and name constraints): names, dates,
//! signatures, who may issue. What is not understood and critical is refused.

use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::key::Key;
use super::operations::{self, Padding};

/// Signatures checked for one certificate at most: who sends a hundred authorities of one name must not keep a worker busy.
const MOST_CHECKS: usize = 64;
/// Longest chain.
const DEEPEST: usize = 16;

/// Digest and padding by the object identifier of a signature. PSS is known by its parameters, which say the digest.
fn algorithm(certificate: &X509Certificate<'_>) -> Option<(&'static str, Padding)> {
    let oid = certificate.signature_algorithm.algorithm.to_id_string();
    Some(match oid.as_str() {
        "1.2.840.113549.1.1.5" => ("sha1", Padding::Pkcs1),
        "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" => ("sha256", Padding::Pkcs1),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => ("sha384", Padding::Pkcs1),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => ("sha512", Padding::Pkcs1),
        "1.3.101.112" => ("", Padding::Pkcs1),
        "1.2.840.113549.1.1.10" => {
            let parameters = certificate.signature_algorithm.parameters.as_ref()?.data;
            let names = [
                ("sha256", [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01]),
                ("sha384", [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02]),
                ("sha512", [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03]),
            ];
            let named = |oid: &[u8; 9]| parameters.windows(9).any(|window| window == oid);
            (names.iter().find(|(_, oid)| named(oid))?.0, Padding::Pss)
        }
        _ => return None,
    })
}

/// Whether a certificate's signature is this key's.
pub fn signed_by(der: &[u8], key: &Key) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    is_signed_by(&certificate, key)
}

fn is_signed_by(certificate: &X509Certificate<'_>, key: &Key) -> bool {
    // The algorithm stands in it twice, and once outside of what is signed.
    if certificate.signature_algorithm != certificate.tbs_certificate.signature {
        return false;
    }
    let Some((digest, padding)) = algorithm(certificate) else { return false };
    let (signed, signature) = (certificate.tbs_certificate.as_ref(), &*certificate.signature_value.data);
    operations::verify(key, signed, signature, digest, padding, false) == Ok(true)
}

/// What is wrong with a certificate by itself.
fn fault(certificate: &X509Certificate<'_>, now: i64) -> Option<&'static str> {
    if now < certificate.validity().not_before.timestamp() {
        return Some("certificate is not yet valid");
    }
    if now > certificate.validity().not_after.timestamp() {
        return Some("certificate has expired");
    }
    let unknown = certificate.extensions().iter().any(|extension| match extension.parsed_extension() {
        ParsedExtension::BasicConstraints(_)
        | ParsedExtension::KeyUsage(_)
        | ParsedExtension::ExtendedKeyUsage(_)
        | ParsedExtension::SubjectAlternativeName(_)
        | ParsedExtension::CertificatePolicies(_) => false,
        // Not enforced here, so a chain under it is not trusted at all, critical or not.
        ParsedExtension::NameConstraints(_) => true,
        _ => extension.critical,
    });
    unknown.then_some("unhandled critical extension")
}

/// Whether a certificate may issue others, of which so many authorities already stand below it.
fn may_issue(certificate: &X509Certificate<'_>, below: usize) -> bool {
    let Ok(Some(basic)) = certificate.basic_constraints() else { return false };
    let short = basic.value.path_len_constraint.is_none_or(|most| below <= most as usize);
    let signs = certificate.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()));
    basic.value.ca && short && signs
}

struct Search<'a> {
    between: Vec<(&'a [u8], X509Certificate<'a>)>,
    trusted: Vec<(&'a [u8], X509Certificate<'a>)>,
    now: i64,
    depth: usize,
    checks: usize,
}

/// The chain from `leaf` to a trusted certificate that issued itself, both included.
///
/// # Errors
/// What is wrong, in OpenSSL's words.
pub fn find(
    leaf: &[u8],
    between: &[Vec<u8>],
    trusted: &[Vec<u8>],
    now: i64,
    depth: usize,
) -> Result<Vec<Vec<u8>>, String> {
    fn parsed(list: &[Vec<u8>]) -> Vec<(&[u8], X509Certificate<'_>)> {
        list.iter().filter_map(|der| Some((der.as_slice(), X509Certificate::from_der(der).ok()?.1))).collect()
    }
    let (_, first) = X509Certificate::from_der(leaf).map_err(|_| "the certificate is malformed".to_owned())?;
    let mut search =
        Search { between: parsed(between), trusted: parsed(trusted), now, depth: depth.min(DEEPEST), checks: 0 };
    let mut path = vec![leaf.to_vec()];
    search.follow(&first, leaf, &mut path).map(|()| path).map_err(str::to_owned)
}

impl Search<'_> {
    fn follow(
        &mut self,
        certificate: &X509Certificate<'_>,
        der: &[u8],
        path: &mut Vec<Vec<u8>>,
    ) -> Result<(), &'static str> {
        if let Some(fault) = fault(certificate, self.now) {
            return Err(fault);
        }
        let own = certificate.subject().as_raw() == certificate.issuer().as_raw();
        if own && self.trusted.iter().any(|(known, _)| *known == der) {
            return Ok(());
        }
        if path.len() > self.depth {
            return Err("certificate chain too long");
        }
        let mut wrong = match (own, path.len()) {
            (true, 1) => "self-signed certificate",
            (true, _) => "self-signed certificate in certificate chain",
            (false, _) => "unable to get local issuer certificate",
        };
        let (trusted, between) = (self.trusted.clone(), self.between.clone());
        for (issuer_der, issuer) in trusted.iter().chain(&between) {
            let named = issuer.subject().as_raw() == certificate.issuer().as_raw();
            if !named || path.iter().any(|seen| seen == issuer_der) || !may_issue(issuer, path.len() - 1) {
                continue;
            }
            self.checks += 1;
            if self.checks > MOST_CHECKS {
                return Err("certificate chain too long");
            }
            let signed = Key::from_spki(issuer.public_key().raw).is_some_and(|key| is_signed_by(certificate, &key));
            if !signed {
                wrong = "certificate signature failure";
                continue;
            }
            path.push(issuer_der.to_vec());
            match self.follow(issuer, issuer_der, path) {
                Ok(()) => return Ok(()),
                Err(error) => wrong = error,
            }
            path.pop();
        }
        Err(wrong)
    }
}
