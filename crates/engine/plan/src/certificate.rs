//! Certificates as the plan holds them: PEM text, checked by the schema, parsed by `wires/tls`.

use uuid::Uuid;

/// A server or client certificate with its key, and a second pair of another key type.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    pub id: Uuid,
    pub cert: Box<str>,
    pub key: Box<str>,
    pub cert_alt: Option<Box<str>>,
    pub key_alt: Option<Box<str>>,
}

impl std::fmt::Debug for Certificate {
    /// Keys stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({})", self.id)
    }
}

/// A certificate authority's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityCertificate {
    pub id: Uuid,
    pub cert: Box<str>,
}
