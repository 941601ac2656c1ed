//! Keys of RSA, elliptic curves and Curve25519 in the forms that plugins hand over: PEM, DER and JSON web keys. What they
//! do (sign, verify, encrypt, agree) is in `operations`.

use aws_lc_rs::agreement;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::der::{self, Reader};
use super::encrypted;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const X25519: &[u8] = &[0x2b, 0x65, 0x6e];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// Largest RSA modulus in bytes: longer ones cost an attacker nothing and a worker much.
const LARGEST_MODULUS: usize = 1024;

/// A named curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    P256,
    P384,
    P521,
    K256,
}

impl Curve {
    const ALL: [Curve; 4] = [Curve::P256, Curve::P384, Curve::P521, Curve::K256];

    fn oid(self) -> &'static [u8] {
        match self {
            Curve::P256 => &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
            Curve::P384 => &[0x2b, 0x81, 0x04, 0x00, 0x22],
            Curve::P521 => &[0x2b, 0x81, 0x04, 0x00, 0x23],
            Curve::K256 => &[0x2b, 0x81, 0x04, 0x00, 0x0a],
        }
    }

    /// Bytes of a coordinate.
    pub fn size(self) -> usize {
        match self {
            Curve::P256 | Curve::K256 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        }
    }

    /// OpenSSL's number of it.
    pub fn nid(self) -> u32 {
        match self {
            Curve::P256 => 415,
            Curve::K256 => 714,
            Curve::P384 => 715,
            Curve::P521 => 716,
        }
    }

    fn jwk_name(self) -> &'static str {
        match self {
            Curve::P256 => "P-256",
            Curve::P384 => "P-384",
            Curve::P521 => "P-521",
            Curve::K256 => "secp256k1",
        }
    }

    /// By OpenSSL's name or that of a JSON web key.
    pub fn named(name: &str) -> Option<Curve> {
        Some(match name {
            "prime256v1" | "secp256r1" | "P-256" => Curve::P256,
            "secp384r1" | "P-384" => Curve::P384,
            "secp521r1" | "P-521" => Curve::P521,
            "secp256k1" => Curve::K256,
            _ => return None,
        })
    }

    pub fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Curve::P256 => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
            Curve::P384 => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
            Curve::P521 => &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
            Curve::K256 => &signature::ECDSA_P256K1_SHA256_ASN1_SIGNING,
        }
    }

    pub fn verifying(self, digest: &str) -> Option<&'static EcdsaVerificationAlgorithm> {
        Some(match (self, digest) {
            (Curve::P256, "sha1") => &signature::ECDSA_P256_SHA1_ASN1,
            (Curve::P256, "sha256") => &signature::ECDSA_P256_SHA256_ASN1,
            (Curve::P256, "sha384") => &signature::ECDSA_P256_SHA384_ASN1,
            (Curve::P256, "sha512") => &signature::ECDSA_P256_SHA512_ASN1,
            (Curve::P384, "sha256") => &signature::ECDSA_P384_SHA256_ASN1,
            (Curve::P384, "sha384") => &signature::ECDSA_P384_SHA384_ASN1,
            (Curve::P384, "sha512") => &signature::ECDSA_P384_SHA512_ASN1,
            (Curve::P521, "sha224") => &signature::ECDSA_P521_SHA224_ASN1,
            (Curve::P521, "sha256") => &signature::ECDSA_P521_SHA256_ASN1,
            (Curve::P521, "sha384") => &signature::ECDSA_P521_SHA384_ASN1,
            (Curve::P521, "sha512") => &signature::ECDSA_P521_SHA512_ASN1,
            (Curve::K256, "sha256") => &signature::ECDSA_P256K1_SHA256_ASN1,
            _ => return None,
        })
    }

    pub fn agreement(self) -> Option<&'static agreement::Algorithm> {
        match self {
            Curve::P256 => Some(&agreement::ECDH_P256),
            Curve::P384 => Some(&agreement::ECDH_P384),
            Curve::P521 => Some(&agreement::ECDH_P521),
            Curve::K256 => None,
        }
    }
}

/// What an RSA private key has beyond the public one.
#[derive(Clone, PartialEq, Eq)]
pub struct RsaPrivate {
    pub d: Vec<u8>,
    pub p: Vec<u8>,
    pub q: Vec<u8>,
    pub dp: Vec<u8>,
    pub dq: Vec<u8>,
    pub qi: Vec<u8>,
}

/// A key; numbers are big-endian without leading zeros, or as long as the curve's.
#[derive(Clone, PartialEq, Eq)]
pub enum Key {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
        private: Option<RsaPrivate>,
    },
    /// `point` is uncompressed.
    Ec {
        curve: Curve,
        point: Vec<u8>,
        d: Option<Vec<u8>>,
    },
    Ed25519 {
        x: Vec<u8>,
        d: Option<Vec<u8>>,
    },
    X25519 {
        x: Vec<u8>,
        d: Option<Vec<u8>>,
    },
}

type Read = Result<Key, String>;

const MALFORMED: &str = "the key is malformed";

fn malformed() -> String {
    MALFORMED.to_owned()
}

/// The blocks of a PEM text: label and bytes.
pub fn pem_blocks(text: &str) -> Vec<(String, Vec<u8>)> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once("-----BEGIN ") {
        let Some((label, behind)) = behind.split_once("-----") else { break };
        let Some((body, behind)) = behind.split_once(&format!("-----END {label}-----")) else { break };
        rest = behind;
        // Headers of an encrypted key are no base64, and their block is skipped by whoever looks for keys.
        let digits: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        if let Ok(bytes) = STANDARD.decode(&digits) {
            blocks.push((label.to_owned(), bytes));
        }
    }
    blocks
}

impl Key {
    /// As [`read_with`](Self::read_with), of a key without a passphrase.
    ///
    /// # Errors
    /// As `read_with`.
    #[cfg(test)]
    pub fn read(bytes: &[u8]) -> Read {
        Key::read_with(bytes, None)
    }

    /// From PEM, DER or the text of a JSON web key; an encrypted one takes its passphrase.
    ///
    /// # Errors
    /// What is wrong with it, or that the passphrase is.
    pub fn read_with(bytes: &[u8], passphrase: Option<&[u8]>) -> Read {
        if let Ok(text) = std::str::from_utf8(bytes) {
            if text.contains("-----BEGIN ") {
                return Key::from_pem(text, passphrase);
            }
            if text.trim_start().starts_with('{') {
                let jwk = serde_json::from_str(text).map_err(|_| "the JWK is not JSON".to_owned())?;
                return Key::from_jwk(&jwk);
            }
        }
        Key::from_der(bytes)
    }

    /// The first key of a PEM text.
    ///
    /// # Errors
    /// As [`read_with`](Self::read_with).
    pub fn from_pem(text: &str, passphrase: Option<&[u8]>) -> Read {
        for (label, bytes) in pem_blocks(text) {
            match label.as_str() {
                "PUBLIC KEY" => return Key::from_spki(&bytes).ok_or_else(malformed),
                "RSA PUBLIC KEY" => return Key::from_pkcs1_public(&bytes).ok_or_else(malformed),
                "PRIVATE KEY" => return Key::from_pkcs8(&bytes),
                "RSA PRIVATE KEY" => return Key::from_pkcs1(&bytes).ok_or_else(malformed),
                "EC PRIVATE KEY" => return Key::from_sec1(&bytes, None),
                "ENCRYPTED PRIVATE KEY" => {
                    let passphrase = passphrase.ok_or("the key is encrypted: it takes a passphrase")?;
                    return Key::from_pkcs8(&encrypted::opened(&bytes, passphrase)?);
                }
                _ => {}
            }
        }
        Err(if text.contains("ENCRYPTED") {
            "of encrypted keys only those in the form of PKCS #8 are read".to_owned()
        } else {
            "no key found in the PEM text".to_owned()
        })
    }

    /// From any of the binary forms.
    ///
    /// # Errors
    /// As [`read_with`](Self::read_with).
    pub fn from_der(bytes: &[u8]) -> Read {
        let read = Key::from_spki(bytes)
            .or_else(|| Key::from_pkcs8(bytes).ok())
            .or_else(|| Key::from_pkcs1(bytes))
            .or_else(|| Key::from_sec1(bytes, None).ok())
            .or_else(|| Key::from_pkcs1_public(bytes));
        read.ok_or_else(malformed)
    }

    /// From a SubjectPublicKeyInfo (RFC 5280).
    pub fn from_spki(bytes: &[u8]) -> Option<Key> {
        let mut outer = Reader::new(bytes).sequence()?;
        let mut algorithm = outer.sequence()?;
        let oid = algorithm.take(der::OID)?;
        let (unused, key) = outer.take(der::BIT_STRING)?.split_first()?;
        if *unused != 0 {
            return None;
        }
        match oid {
            RSA | RSA_PSS => Key::from_pkcs1_public(key),
            EC => {
                let named = algorithm.take(der::OID)?;
                Key::public_point(Curve::ALL.into_iter().find(|curve| curve.oid() == named)?, key)
            }
            ED25519 if key.len() == 32 => Some(Key::Ed25519 { x: key.to_vec(), d: None }),
            X25519 if key.len() == 32 => Some(Key::X25519 { x: key.to_vec(), d: None }),
            _ => None,
        }
    }

    fn public_point(curve: Curve, point: &[u8]) -> Option<Key> {
        let whole = point.first() == Some(&4) && point.len() == curve.size() * 2 + 1;
        whole.then(|| Key::Ec { curve, point: point.to_vec(), d: None })
    }

    fn from_pkcs1_public(bytes: &[u8]) -> Option<Key> {
        let mut numbers = Reader::new(bytes).sequence()?;
        let (n, e) = (numbers.unsigned()?, numbers.unsigned()?);
        (numbers.is_empty() && n.len() <= LARGEST_MODULUS && !e.is_empty() && e.len() <= 8).then_some(Key::Rsa {
            n,
            e,
            private: None,
        })
    }

    fn from_pkcs1(bytes: &[u8]) -> Option<Key> {
        let mut numbers = Reader::new(bytes).sequence()?;
        // The version: two primes.
        if numbers.take(der::INTEGER)? != [0] {
            return None;
        }
        let mut next = || numbers.unsigned();
        let (n, e, d) = (next()?, next()?, next()?);
        let (p, q, dp, dq, qi) = (next()?, next()?, next()?, next()?, next()?);
        (n.len() <= LARGEST_MODULUS).then_some(Key::Rsa { n, e, private: Some(RsaPrivate { d, p, q, dp, dq, qi }) })
    }

    /// RFC 5208 and 5958.
    fn from_pkcs8(bytes: &[u8]) -> Read {
        let parts = || {
            let mut outer = Reader::new(bytes).sequence()?;
            outer.take(der::INTEGER)?;
            let mut algorithm = outer.sequence()?;
            let oid = algorithm.take(der::OID)?;
            Some((oid, algorithm.take(der::OID), outer.take(der::OCTET_STRING)?))
        };
        let (oid, curve, key) = parts().ok_or_else(malformed)?;
        let seed = || Reader::new(key).take(der::OCTET_STRING).filter(|seed| seed.len() == 32).ok_or_else(malformed);
        match oid {
            RSA | RSA_PSS => Key::from_pkcs1(key).ok_or_else(malformed),
            EC => Key::from_sec1(key, curve),
            ED25519 => Key::ed25519_private(seed()?),
            X25519 => Key::x25519_private(seed()?),
            _ => Err("the key is of an unknown kind".to_owned()),
        }
    }

    /// RFC 5915.
    fn from_sec1(bytes: &[u8], curve: Option<&[u8]>) -> Read {
        let parts = || {
            let mut outer = Reader::new(bytes).sequence()?;
            outer.take(der::INTEGER)?;
            let d = outer.take(der::OCTET_STRING)?;
            let named = outer.take(0xa0).and_then(|inner| Reader::new(inner).take(der::OID));
            Some((d, named.or(curve)?))
        };
        let (d, oid) = parts().ok_or_else(malformed)?;
        let curve = Curve::ALL.into_iter().find(|curve| curve.oid() == oid).ok_or("the curve is unknown")?;
        Key::ec_private(curve, d)
    }

    /// Its public point is worked out.
    fn ec_private(curve: Curve, d: &[u8]) -> Read {
        let d = der::padded(d, curve.size()).ok_or_else(malformed)?;
        let algorithm = [der::element(der::OID, EC), der::element(der::OID, curve.oid())];
        let sec1 = der::sequence(&[der::unsigned(&[1]), der::element(der::OCTET_STRING, &d)]);
        let pkcs8 =
            der::sequence(&[der::unsigned(&[0]), der::sequence(&algorithm), der::element(der::OCTET_STRING, &sec1)]);
        let pair = EcdsaKeyPair::from_private_key_der(curve.signing(), &pkcs8).map_err(|_| malformed())?;
        Ok(Key::Ec { curve, point: pair.public_key().as_ref().to_vec(), d: Some(d) })
    }

    fn ed25519_private(seed: &[u8]) -> Read {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| malformed())?;
        Ok(Key::Ed25519 { x: pair.public_key().as_ref().to_vec(), d: Some(seed.to_vec()) })
    }

    fn x25519_private(d: &[u8]) -> Read {
        let key = agreement::PrivateKey::from_private_key(&agreement::X25519, d).map_err(|_| malformed())?;
        let public = key.compute_public_key().map_err(|_| malformed())?;
        Ok(Key::X25519 { x: public.as_ref().to_vec(), d: Some(d.to_vec()) })
    }

    /// RFC 7517, 7518 and 8037.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_jwk(jwk: &Value) -> Read {
        let member = |name: &str| -> Result<Option<Vec<u8>>, String> {
            let Some(text) = jwk.get(name).and_then(Value::as_str) else { return Ok(None) };
            let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
            bytes.map(Some).map_err(|_| format!("member '{name}' of the JWK is not base64url"))
        };
        let needed = |name: &str| member(name)?.ok_or_else(|| format!("the JWK lacks its member '{name}'"));
        match jwk.get("kty").and_then(Value::as_str) {
            Some("RSA") => {
                let number = |name: &str| Ok::<_, String>(der::trimmed(&needed(name)?).to_vec());
                let (n, e) = (number("n")?, number("e")?);
                if n.len() > LARGEST_MODULUS || e.len() > 8 {
                    return Err(malformed());
                }
                let private = match member("d")? {
                    None => None,
                    Some(_) => Some(RsaPrivate {
                        d: number("d")?,
                        p: number("p")?,
                        q: number("q")?,
                        dp: number("dp")?,
                        dq: number("dq")?,
                        qi: number("qi")?,
                    }),
                };
                Ok(Key::Rsa { n, e, private })
            }
            Some("EC") => {
                let name = jwk.get("crv").and_then(Value::as_str).unwrap_or_default();
                let curve = Curve::named(name).ok_or_else(|| format!("curve '{name}' is unknown"))?;
                if let Some(d) = member("d")? {
                    return Key::ec_private(curve, &d);
                }
                let side = |name: &str| der::padded(&needed(name)?, curve.size()).ok_or_else(malformed);
                Ok(Key::Ec { curve, point: [vec![4], side("x")?, side("y")?].concat(), d: None })
            }
            Some("OKP") => {
                let edwards = match jwk.get("crv").and_then(Value::as_str) {
                    Some("Ed25519") => true,
                    Some("X25519") => false,
                    other => return Err(format!("curve '{}' is unknown", other.unwrap_or_default())),
                };
                match (member("d")?, edwards) {
                    (Some(d), true) => Key::ed25519_private(&d),
                    (Some(d), false) => Key::x25519_private(&d),
                    (None, edwards) => {
                        let x = needed("x")?;
                        match (x.len(), edwards) {
                            (32, true) => Ok(Key::Ed25519 { x, d: None }),
                            (32, false) => Ok(Key::X25519 { x, d: None }),
                            _ => Err(malformed()),
                        }
                    }
                }
            }
            other => Err(format!("keys of type '{}' are not supported", other.unwrap_or_default())),
        }
    }

    pub fn is_private(&self) -> bool {
        match self {
            Key::Rsa { private, .. } => private.is_some(),
            Key::Ec { d, .. } | Key::Ed25519 { d, .. } | Key::X25519 { d, .. } => d.is_some(),
        }
    }

    fn algorithm(&self) -> Vec<u8> {
        der::sequence(&match self {
            Key::Rsa { .. } => vec![der::element(der::OID, RSA), vec![5, 0]],
            Key::Ec { curve, .. } => vec![der::element(der::OID, EC), der::element(der::OID, curve.oid())],
            Key::Ed25519 { .. } => vec![der::element(der::OID, ED25519)],
            Key::X25519 { .. } => vec![der::element(der::OID, X25519)],
        })
    }

    /// As a SubjectPublicKeyInfo.
    pub fn spki(&self) -> Vec<u8> {
        let key = match self {
            Key::Rsa { .. } => self.pkcs1_public().unwrap_or_default(),
            Key::Ec { point, .. } => point.clone(),
            Key::Ed25519 { x, .. } | Key::X25519 { x, .. } => x.clone(),
        };
        der::sequence(&[self.algorithm(), der::bits(&key)])
    }

    /// RFC 8017, of RSA keys.
    pub fn pkcs1_public(&self) -> Option<Vec<u8>> {
        let Key::Rsa { n, e, .. } = self else { return None };
        Some(der::sequence(&[der::unsigned(n), der::unsigned(e)]))
    }

    /// The private key in the form of its own kind: PKCS #1 or SEC 1.
    pub fn traditional(&self) -> Option<(&'static str, Vec<u8>)> {
        match self {
            Key::Rsa { n, e, private: Some(RsaPrivate { d, p, q, dp, dq, qi }) } => {
                let numbers = [&vec![0], n, e, d, p, q, dp, dq, qi].map(|number| der::unsigned(number));
                Some(("RSA PRIVATE KEY", der::sequence(&numbers)))
            }
            Key::Ec { curve, point, d: Some(d) } => {
                let named = der::element(0xa0, &der::element(der::OID, curve.oid()));
                let public = der::element(0xa1, &der::bits(point));
                let parts = [der::unsigned(&[1]), der::element(der::OCTET_STRING, d), named, public];
                Some(("EC PRIVATE KEY", der::sequence(&parts)))
            }
            _ => None,
        }
    }

    /// The private key as PKCS #8.
    pub fn pkcs8(&self) -> Option<Vec<u8>> {
        let key = match self {
            Key::Ed25519 { d: Some(d), .. } | Key::X25519 { d: Some(d), .. } => der::element(der::OCTET_STRING, d),
            other => other.traditional()?.1,
        };
        Some(der::sequence(&[der::unsigned(&[0]), self.algorithm(), der::element(der::OCTET_STRING, &key)]))
    }

    /// As a JSON web key.
    pub fn jwk(&self, private: bool) -> Value {
        let mut fields = Map::new();
        let mut put = |name: &str, bytes: &[u8]| {
            fields.insert(name.to_owned(), json!(URL_SAFE_NO_PAD.encode(bytes)));
        };
        let kind = match self {
            Key::Rsa { n, e, private: own } => {
                put("n", n);
                put("e", e);
                if let (Some(RsaPrivate { d, p, q, dp, dq, qi }), true) = (own, private) {
                    for (name, number) in [("d", d), ("p", p), ("q", q), ("dp", dp), ("dq", dq), ("qi", qi)] {
                        put(name, number);
                    }
                }
                ("RSA", None)
            }
            Key::Ec { curve, point, d } => {
                let sides = point.get(1..).unwrap_or_default();
                let (x, y) = sides.split_at_checked(curve.size()).unwrap_or_default();
                put("x", x);
                put("y", y);
                if let (Some(d), true) = (d, private) {
                    put("d", d);
                }
                ("EC", Some(curve.jwk_name()))
            }
            Key::Ed25519 { x, d } | Key::X25519 { x, d } => {
                put("x", x);
                if let (Some(d), true) = (d, private) {
                    put("d", d);
                }
                ("OKP", Some(if matches!(self, Key::Ed25519 { .. }) { "Ed25519" } else { "X25519" }))
            }
        };
        fields.insert("kty".to_owned(), json!(kind.0));
        if let Some(curve) = kind.1 {
            fields.insert("crv".to_owned(), json!(curve));
        }
        Value::Object(fields)
    }
}
