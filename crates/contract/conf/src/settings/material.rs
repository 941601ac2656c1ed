//! Certificates and keys: a path, PEM text, or PEM in base64. What is inside is read by whoever speaks TLS.

use std::path::{Path, PathBuf};

use base64::Engine as _;

use crate::Surroundings;
use crate::settings::Builder;
use crate::values::MASK;

/// A certificate or key as given.
#[derive(Clone, PartialEq, Eq)]
pub enum Material {
    /// A file.
    Path(PathBuf),
    /// PEM text, already decoded from base64 if it was encoded.
    Pem(String),
}

impl std::fmt::Debug for Material {
    /// PEM text may be a private key and is not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Pem(_) => f.write_str("Pem(…)"),
        }
    }
}

impl Material {
    pub(crate) fn parse(text: &str, surroundings: &dyn Surroundings) -> Option<Self> {
        // A long text is no path, and asking the file system about it may fail for its length alone.
        if text.len() < 4096 && !text.contains('\n') && surroundings.exists(Path::new(text)) {
            return Some(Self::Path(PathBuf::from(text)));
        }
        let is_pem = |text: &str| text.contains("-----BEGIN ");
        if is_pem(text) {
            return Some(Self::Pem(text.to_owned()));
        }
        let packed: String = text.split_ascii_whitespace().collect();
        let bytes = base64::engine::general_purpose::STANDARD.decode(packed).ok()?;
        String::from_utf8(bytes).ok().filter(|decoded| is_pem(decoded)).map(Self::Pem)
    }

    /// The value for an error message: a path is shown, anything that may be a key is not.
    pub(crate) fn shown<'a>(text: &'a str, name: &str) -> &'a str {
        let may_be_a_path = text.len() < 256 && text.contains('/') && !text.contains(['\n', '=']);
        if may_be_a_path || !crate::table::is_secret(name) { text } else { MASK }
    }
}

/// Certificates and their keys, in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPairSource {
    /// Certificate, with its chain.
    pub cert: Material,
    /// Private key.
    pub key: Material,
}

impl KeyPairSource {
    /// Pairs of two list settings, `<prefix>ssl_cert` and `<prefix>ssl_cert_key`.
    pub(crate) fn pairs(b: &mut Builder<'_>, prefix: &str) -> Vec<Self> {
        let (cert_name, key_name) = (format!("{prefix}ssl_cert"), format!("{prefix}ssl_cert_key"));
        let (certs, keys) = (b.values.list(&cert_name), b.values.list(&key_name));
        if certs.is_empty() && keys.is_empty() {
            return Vec::new();
        }
        if keys.is_empty() {
            b.fault(&cert_name, format!("{key_name} must be specified"));
        } else if certs.is_empty() {
            b.fault(&key_name, format!("{cert_name} must be specified"));
        } else if certs.len() != keys.len() {
            let message = format!(
                "{cert_name} was specified {} times while {key_name} was specified {} times",
                certs.len(),
                keys.len()
            );
            b.fault(&cert_name, message);
        }
        let load = |b: &mut Builder<'_>, name: &str, what: &str, text: &str| {
            let material = Material::parse(text, b.surroundings);
            if material.is_none() {
                b.fault(name, format!("{name}: failed loading {what} from {}", Material::shown(text, name)));
            }
            material
        };
        let mut pairs = Vec::new();
        for (cert, key) in certs.iter().zip(&keys) {
            let cert = load(b, &cert_name, "certificate", cert);
            let key = load(b, &key_name, "key", key);
            pairs.extend(cert.zip(key).map(|(cert, key)| Self { cert, key }));
        }
        pairs
    }
}
