//! Judges the certificate that a client has shown, after the handshake: a listener keeps every chain (see
//! [`ClientCertificates`](crate::ClientCertificates)) and leaves the consequences to the protocol spoken on it.

use rustls::CertificateError;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::identity::describe;
use crate::trust::TrustStore;
use crate::verify::{Usage, trusted};

/// Who vouches for a listener's clients. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClientTrust {
    authorities: TrustStore,
    depth: u32,
}

/// Why a client's certificate is not trusted; shown in OpenSSL's words, which logs and headers are searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientDistrust {
    #[error("self-signed certificate")]
    SelfSigned,
    #[error("unable to verify the first certificate")]
    UnknownAuthority,
    #[error("certificate has expired")]
    Expired,
    #[error("certificate is not yet valid")]
    NotYetValid,
    #[error("certificate signature failure")]
    BadSignature,
    /// Too many intermediates, not made for clients, not understood.
    #[error("certificate rejected")]
    Rejected,
}

impl ClientDistrust {
    /// Whether the certificate itself is sound and only nobody we know vouches for it.
    #[must_use]
    pub fn is_of_authority(self) -> bool {
        matches!(self, ClientDistrust::SelfSigned | ClientDistrust::UnknownAuthority)
    }
}

impl ClientTrust {
    /// `depth`: how many intermediate certificates a chain may have.
    #[must_use]
    pub fn new(authorities: TrustStore, depth: u32) -> Self {
        ClientTrust { authorities, depth }
    }

    /// Who vouches; clients are told their names.
    #[must_use]
    pub fn authorities(&self) -> &TrustStore {
        &self.authorities
    }

    /// Judges a chain in DER, leaf first.
    ///
    /// # Errors
    /// Why it is not trusted now; an empty chain is [`ClientDistrust::Rejected`].
    pub fn judge(&self, chain: &[Vec<u8>]) -> Result<(), ClientDistrust> {
        let chain: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let Some((leaf, intermediates)) = chain.split_first() else { return Err(ClientDistrust::Rejected) };
        match trusted(&self.authorities, self.depth, Usage::Client, leaf, intermediates, UnixTime::now()) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(error)) => Err(distrust(&error, leaf)),
            Err(_) => Err(ClientDistrust::Rejected),
        }
    }
}

fn distrust(error: &CertificateError, leaf: &CertificateDer<'_>) -> ClientDistrust {
    match error {
        CertificateError::UnknownIssuer if describe(leaf).is_some_and(|d| d.subject == d.issuer) => {
            ClientDistrust::SelfSigned
        }
        CertificateError::UnknownIssuer => ClientDistrust::UnknownAuthority,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => ClientDistrust::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => ClientDistrust::NotYetValid,
        CertificateError::BadSignature => ClientDistrust::BadSignature,
        _ => ClientDistrust::Rejected,
    }
}

/// What a listener asks of its clients' certificates.
#[derive(Clone, Debug)]
pub struct ClientRule {
    pub trust: ClientTrust,
    /// Whoever shows none is refused.
    pub required: bool,
    /// A sound certificate of an authority nobody named passes; what is behind may judge it.
    pub any_authority: bool,
}

/// What became of a client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientVerdict {
    NoneShown,
    Trusted,
    Distrusted(ClientDistrust),
}

impl ClientRule {
    #[must_use]
    pub fn verdict(&self, chain: &[Vec<u8>]) -> ClientVerdict {
        match self.trust.judge(chain) {
            _ if chain.is_empty() => ClientVerdict::NoneShown,
            Ok(()) => ClientVerdict::Trusted,
            Err(why) => ClientVerdict::Distrusted(why),
        }
    }

    /// Whether such a client is refused.
    #[must_use]
    pub fn refuses(&self, verdict: ClientVerdict) -> bool {
        match verdict {
            ClientVerdict::NoneShown => self.required,
            ClientVerdict::Trusted => false,
            ClientVerdict::Distrusted(why) => !(self.any_authority && why.is_of_authority()),
        }
    }
}

impl std::fmt::Display for ClientVerdict {
    /// As nginx's `$ssl_client_verify`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ClientVerdict::NoneShown => f.write_str("NONE"),
            ClientVerdict::Trusted => f.write_str("SUCCESS"),
            ClientVerdict::Distrusted(why) => write!(f, "FAILED:{why}"),
        }
    }
}
