//! What keys do: sign, verify, encrypt, decrypt, agree; and making new ones.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey as Peer};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512, OaepAlgorithm,
    OaepPrivateDecryptingKey, OaepPublicEncryptingKey, Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, Ed25519KeyPair, RsaEncoding, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
};

use super::der;
use super::key::{Curve, Key};

/// How RSA pads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    Pkcs1,
    Pss,
    Oaep,
}

impl Padding {
    /// By OpenSSL's number.
    pub fn numbered(number: Option<i64>) -> Option<Padding> {
        match number {
            None | Some(1) => Some(Padding::Pkcs1),
            Some(4) => Some(Padding::Oaep),
            Some(6) => Some(Padding::Pss),
            _ => None,
        }
    }
}

type Bytes = Result<Vec<u8>, String>;

fn unsupported(digest: &str) -> String {
    format!("digest '{digest}' is not supported with this key")
}

/// A signature of a message. ECDSA's is DER, or `r` and `s` as they are if `raw`.
///
/// # Errors
/// A key without its private part, or a digest that this kind of key does not go with.
pub fn sign(key: &Key, message: &[u8], digest: &str, padding: Padding, raw: bool) -> Bytes {
    let failed = |_| "the key does not sign".to_owned();
    if !key.is_private() {
        return Err("the key is not private".to_owned());
    }
    match key {
        Key::Rsa { .. } => {
            let encoding: &'static dyn RsaEncoding = match (digest, padding) {
                ("sha256", Padding::Pkcs1) => &signature::RSA_PKCS1_SHA256,
                ("sha384", Padding::Pkcs1) => &signature::RSA_PKCS1_SHA384,
                ("sha512", Padding::Pkcs1) => &signature::RSA_PKCS1_SHA512,
                ("sha256", Padding::Pss) => &signature::RSA_PSS_SHA256,
                ("sha384", Padding::Pss) => &signature::RSA_PSS_SHA384,
                ("sha512", Padding::Pss) => &signature::RSA_PSS_SHA512,
                _ => return Err(unsupported(digest)),
            };
            let der = key.traditional().map(|(_, der)| der).unwrap_or_default();
            let pair = RsaKeyPair::from_der(&der).map_err(|error| error.to_string())?;
            let mut out = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), message, &mut out).map_err(failed)?;
            Ok(out)
        }
        Key::Ec { curve, .. } => {
            let own = match curve {
                Curve::P256 | Curve::K256 => "sha256",
                Curve::P384 => "sha384",
                Curve::P521 => "sha512",
            };
            let algorithm = match (curve, digest) {
                (Curve::P521, "sha224") => &signature::ECDSA_P521_SHA224_ASN1_SIGNING,
                (Curve::P521, "sha256") => &signature::ECDSA_P521_SHA256_ASN1_SIGNING,
                (Curve::P521, "sha384") => &signature::ECDSA_P521_SHA384_ASN1_SIGNING,
                (curve, digest) if digest == own => curve.signing(),
                _ => return Err(unsupported(digest)),
            };
            let der = key.pkcs8().unwrap_or_default();
            let pair = EcdsaKeyPair::from_private_key_der(algorithm, &der).map_err(|error| error.to_string())?;
            let signed = pair.sign(&SystemRandom::new(), message).map_err(failed)?;
            match raw {
                true => der::raw_signature(signed.as_ref(), curve.size()).ok_or_else(|| unsupported(digest)),
                false => Ok(signed.as_ref().to_vec()),
            }
        }
        Key::Ed25519 { x, d: Some(d) } => {
            let pair = Ed25519KeyPair::from_seed_and_public_key(d, x).map_err(|error| error.to_string())?;
            Ok(pair.sign(message).as_ref().to_vec())
        }
        Key::Ed25519 { .. } | Key::X25519 { .. } => Err("the key does not sign".to_owned()),
    }
}

/// Whether a signature is the key's.
///
/// # Errors
/// A digest that this kind of key does not go with.
pub fn verify(
    key: &Key,
    message: &[u8],
    given: &[u8],
    digest: &str,
    padding: Padding,
    raw: bool,
) -> Result<bool, String> {
    let algorithm: &'static dyn VerificationAlgorithm = match (key, padding) {
        (Key::Rsa { .. }, Padding::Pkcs1) => match digest {
            "sha1" => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
            "sha256" => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
            "sha384" => &signature::RSA_PKCS1_2048_8192_SHA384,
            "sha512" => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
            _ => return Err(unsupported(digest)),
        },
        (Key::Rsa { .. }, Padding::Pss) => match digest {
            "sha256" => &signature::RSA_PSS_2048_8192_SHA256,
            "sha384" => &signature::RSA_PSS_2048_8192_SHA384,
            "sha512" => &signature::RSA_PSS_2048_8192_SHA512,
            _ => return Err(unsupported(digest)),
        },
        (Key::Ec { curve, .. }, _) => curve.verifying(digest).ok_or_else(|| unsupported(digest))?,
        (Key::Ed25519 { .. }, _) => &signature::ED25519,
        _ => return Err("the key does not verify".to_owned()),
    };
    let public = match key {
        Key::Ec { point, .. } => point.clone(),
        Key::Ed25519 { x, .. } => x.clone(),
        other => other.pkcs1_public().unwrap_or_default(),
    };
    let changed = match key {
        Key::Ec { curve, .. } if raw => match der::der_signature(given, curve.size()) {
            Some(der) => Some(der),
            None => return Ok(false),
        },
        _ => None,
    };
    let given = changed.as_deref().unwrap_or(given);
    Ok(UnparsedPublicKey::new(algorithm, public).verify(message, given).is_ok())
}

fn oaep(digest: &str) -> Result<&'static OaepAlgorithm, String> {
    Ok(match digest {
        "sha1" => &OAEP_SHA1_MGF1SHA1,
        "sha256" => &OAEP_SHA256_MGF1SHA256,
        "sha384" => &OAEP_SHA384_MGF1SHA384,
        "sha512" => &OAEP_SHA512_MGF1SHA512,
        _ => return Err(unsupported(digest)),
    })
}

/// Encrypts to an RSA key.
///
/// # Errors
/// Another kind of key, or a text that is too long for it.
pub fn encrypt(key: &Key, text: &[u8], digest: &str, padding: Padding) -> Bytes {
    let failed = |_| "the text cannot be encrypted to this key".to_owned();
    if !matches!(key, Key::Rsa { .. }) {
        return Err("the key is not an RSA key".to_owned());
    }
    let public = PublicEncryptingKey::from_der(&key.spki()).map_err(|error| error.to_string())?;
    let mut out = vec![0; public.key_size_bytes()];
    match padding {
        Padding::Pkcs1 => {
            let key = Pkcs1PublicEncryptingKey::new(public).map_err(failed)?;
            key.encrypt(text, &mut out).map_err(failed)?;
        }
        Padding::Oaep => {
            let key = OaepPublicEncryptingKey::new(public).map_err(failed)?;
            key.encrypt(oaep(digest)?, text, &mut out, None).map_err(failed)?;
        }
        Padding::Pss => return Err("PSS pads signatures only".to_owned()),
    }
    Ok(out)
}

/// Decrypts what was encrypted to an RSA key. All failures look alike, so that nobody learns of the padding
/// (Bleichenbacher).
///
/// # Errors
/// Another kind of key, or a text that is not for it.
pub fn decrypt(key: &Key, text: &[u8], digest: &str, padding: Padding) -> Bytes {
    let failed = || "decryption failed".to_owned();
    let (Key::Rsa { .. }, Some(pkcs8)) = (key, key.pkcs8()) else {
        return Err("the key is not a private RSA key".to_owned());
    };
    let private = PrivateDecryptingKey::from_pkcs8(&pkcs8).map_err(|error| error.to_string())?;
    let mut out = vec![0; private.key_size_bytes()];
    let length = match padding {
        Padding::Pkcs1 => {
            let key = Pkcs1PrivateDecryptingKey::new(private).map_err(|_| failed())?;
            key.decrypt(text, &mut out).map_err(|_| failed())?.len()
        }
        Padding::Oaep => {
            let key = OaepPrivateDecryptingKey::new(private).map_err(|_| failed())?;
            key.decrypt(oaep(digest)?, text, &mut out, None).map_err(|_| failed())?.len()
        }
        Padding::Pss => return Err("PSS pads signatures only".to_owned()),
    };
    out.truncate(length);
    Ok(out)
}

/// The secret that two keys share (Diffie-Hellman).
///
/// # Errors
/// Keys of different kinds.
pub fn agree(own: &Key, peer: &Key) -> Bytes {
    let failed = |_| "the keys do not agree".to_owned();
    let (private, algorithm, public) = match (own, peer) {
        (Key::Ec { curve, d: Some(d), .. }, Key::Ec { curve: other, point, .. }) if curve == other => {
            let algorithm = curve.agreement().ok_or("the curve is for signatures only")?;
            (PrivateKey::from_private_key(algorithm, d).map_err(|error| error.to_string())?, algorithm, point)
        }
        (Key::X25519 { d: Some(d), .. }, Key::X25519 { x, .. }) => {
            let algorithm = &agreement::X25519;
            (PrivateKey::from_private_key(algorithm, d).map_err(|error| error.to_string())?, algorithm, x)
        }
        _ => return Err("the keys do not agree".to_owned()),
    };
    agreement::agree(&private, Peer::new(algorithm, public), (), |secret| Ok(secret.to_vec())).map_err(failed)
}

/// A new key: `RSA` with so many bits, `EC` on a curve, `Ed25519` or `X25519`.
///
/// # Errors
/// A kind or size that is not made here.
pub fn generate(kind: &str, bits: u32, curve: &str) -> Result<Key, String> {
    let failed = |_| "the key cannot be made".to_owned();
    match kind {
        "RSA" => {
            let size = match bits {
                2048 => KeySize::Rsa2048,
                3072 => KeySize::Rsa3072,
                4096 => KeySize::Rsa4096,
                8192 => KeySize::Rsa8192,
                _ => return Err("RSA keys have 2048, 3072, 4096 or 8192 bits".to_owned()),
            };
            let pair = RsaKeyPair::generate(size).map_err(failed)?;
            let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
            Key::from_der(der.as_ref())
        }
        "EC" => {
            let curve = Curve::named(curve).ok_or_else(|| format!("curve '{curve}' is unknown"))?;
            let pair = EcdsaKeyPair::generate(curve.signing()).map_err(failed)?;
            Key::from_der(pair.to_pkcs8v1().map_err(failed)?.as_ref())
        }
        "Ed25519" => {
            let pair = Ed25519KeyPair::generate().map_err(failed)?;
            Key::from_der(pair.to_pkcs8v1().map_err(failed)?.as_ref())
        }
        "X25519" => {
            let mut d = [0; 32];
            aws_lc_rs::rand::fill(&mut d).map_err(failed)?;
            let wrapped = der::element(der::OCTET_STRING, &d);
            let algorithm = der::sequence(&[der::element(der::OID, &[0x2b, 0x65, 0x6e])]);
            Key::from_der(&der::sequence(&[der::unsigned(&[0]), algorithm, der::element(der::OCTET_STRING, &wrapped)]))
        }
        other => Err(format!("keys of type '{other}' are not made here")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use aws_lc_rs::signature::KeyPair as _;
    use proptest::prelude::*;

    fn again(key: &Key) -> Vec<Key> {
        let pem = |label: &str, der: &[u8]| crate::native::text::pem(label, der);
        let (label, own) = key.traditional().unwrap_or_else(|| ("PRIVATE KEY", key.pkcs8().unwrap()));
        vec![
            Key::read(pem("PRIVATE KEY", &key.pkcs8().unwrap()).as_bytes()).unwrap(),
            Key::read(pem(label, &own).as_bytes()).unwrap(),
            Key::read(&key.pkcs8().unwrap()).unwrap(),
            Key::read(key.jwk(true).to_string().as_bytes()).unwrap(),
        ]
    }

    fn public(key: &Key) -> Vec<Key> {
        vec![Key::read(&key.spki()).unwrap(), Key::read(key.jwk(false).to_string().as_bytes()).unwrap()]
    }

    #[test]
    fn every_form_of_a_key_signs_and_every_public_form_verifies() {
        for (kind, curve, digest, padding) in [
            ("RSA", "", "sha256", Padding::Pkcs1),
            ("RSA", "", "sha384", Padding::Pss),
            ("EC", "P-256", "sha256", Padding::Pkcs1),
            ("EC", "P-384", "sha384", Padding::Pkcs1),
            ("EC", "P-521", "sha512", Padding::Pkcs1),
            ("EC", "secp256k1", "sha256", Padding::Pkcs1),
            ("Ed25519", "", "", Padding::Pkcs1),
        ] {
            let key = generate(kind, 2048, curve).unwrap();
            for raw in [false, true] {
                for form in again(&key) {
                    assert!(form == key, "{kind} {curve}");
                    let signed = sign(&form, b"text", digest, padding, raw).unwrap();
                    for public in public(&key) {
                        assert!(!public.is_private());
                        assert_eq!(verify(&public, b"text", &signed, digest, padding, raw), Ok(true), "{kind} {curve}");
                        assert_eq!(verify(&public, b"texT", &signed, digest, padding, raw), Ok(false));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_encrypted_to_a_key_only_it_reads() {
        let (key, other) = (generate("RSA", 2048, "").unwrap(), generate("RSA", 2048, "").unwrap());
        for padding in [Padding::Pkcs1, Padding::Oaep] {
            let hidden = encrypt(&key, b"secret", "sha256", padding).unwrap();
            assert_eq!(decrypt(&key, &hidden, "sha256", padding).unwrap(), b"secret");
            assert_ne!(decrypt(&other, &hidden, "sha256", padding).ok().as_deref(), Some(&b"secret"[..]));
        }
    }

    #[test]
    fn two_keys_agree() {
        for (kind, curve) in [("EC", "P-256"), ("EC", "P-384"), ("X25519", "")] {
            let (one, two) = (generate(kind, 0, curve).unwrap(), generate(kind, 0, curve).unwrap());
            assert_eq!(agree(&one, &two).unwrap(), agree(&two, &one).unwrap());
        }
    }

    #[test]
    fn a_point_is_that_of_its_key() {
        let key = generate("EC", 0, "P-256").unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(Curve::P256.signing(), &key.pkcs8().unwrap()).unwrap();
        assert!(matches!(&key, Key::Ec { point, .. } if point == pair.public_key().as_ref()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Key::read(&bytes);
        }
    }
}
