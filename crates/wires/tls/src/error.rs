//! What can go wrong while settings are compiled or a handshake is made, by reason, so that callers can
//! count, log and answer without reading text.

use std::io;

/// Why TLS settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("no TLS protocol version is left: of TLSv1.2 and TLSv1.3 at least one must be enabled")]
    NoProtocol,
    #[error("no usable cipher suite is left in {given:?} for the enabled protocol versions")]
    NoCipher { given: String },
    #[error("the TLS library refuses these settings: {0}")]
    Library(String),
}

/// Why a handshake failed, in words a counter can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HandshakeFailure {
    /// The peer did not finish in the time allowed.
    Timeout,
    /// The peer closed or reset the connection before the end.
    Closed,
    /// Bytes that are no TLS record, or a record that is too long or cannot be decrypted.
    BadRecord,
    /// No protocol version, cipher suite, group or signature scheme in common.
    NothingShared,
    /// No application protocol in common (RFC 7301, section 3.2).
    NoApplicationProtocol,
    /// There is no certificate to answer with.
    NoCertificate,
    /// The peer's certificate was refused: issuer, depth, date, name, usage or form.
    Verification,
    /// The peer sent a fatal alert.
    PeerAlert,
    /// Too many handshakes were unfinished already.
    TooManyUnfinished,
    /// Everything else; the error's text says what.
    Other,
}

impl HandshakeFailure {
    /// Every reason, in the order of [`HandshakeFailure::index`].
    pub const ALL: [HandshakeFailure; 10] = [
        Self::Timeout,
        Self::Closed,
        Self::BadRecord,
        Self::NothingShared,
        Self::NoApplicationProtocol,
        Self::NoCertificate,
        Self::Verification,
        Self::PeerAlert,
        Self::TooManyUnfinished,
        Self::Other,
    ];

    /// The reason as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::BadRecord => "bad_record",
            Self::NothingShared => "nothing_shared",
            Self::NoApplicationProtocol => "no_application_protocol",
            Self::NoCertificate => "no_certificate",
            Self::Verification => "verification",
            Self::PeerAlert => "peer_alert",
            Self::TooManyUnfinished => "too_many_unfinished",
            Self::Other => "other",
        }
    }

    /// A dense number for tables of counters: the position in [`HandshakeFailure::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

/// A failed handshake: the reason, and the cause for the log. Never holds key material.
#[derive(Debug, thiserror::Error)]
#[error("TLS handshake failed ({}): {}", .failure.label(), explain(.cause))]
pub struct HandshakeError {
    pub failure: HandshakeFailure,
    pub cause: io::Error,
}

impl HandshakeError {
    pub(crate) fn timeout() -> Self {
        Self { failure: HandshakeFailure::Timeout, cause: io::ErrorKind::TimedOut.into() }
    }

    pub(crate) fn too_many() -> Self {
        let cause = io::Error::other("too many handshakes are unfinished");
        Self { failure: HandshakeFailure::TooManyUnfinished, cause }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(cause: io::Error) -> Self {
        Self { failure: classify(&cause), cause }
    }
}

/// The cause in words. The library prints its certificate errors as identifiers.
fn explain(cause: &io::Error) -> String {
    use rustls::CertificateError as C;
    match cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(error)) => match error {
            C::Expired => "the peer's certificate has expired".to_owned(),
            C::NotValidYet => "the peer's certificate is not valid yet".to_owned(),
            C::UnknownIssuer => "the peer's certificate is not signed by a trusted authority".to_owned(),
            C::NotValidForName => "the peer's certificate is for another name".to_owned(),
            C::BadEncoding => "the peer's certificate cannot be read".to_owned(),
            C::BadSignature => "the peer does not hold its certificate's key, or a signature is wrong".to_owned(),
            C::Other(other) => format!("the peer's certificate: {}", other.0),
            other => format!("the peer's certificate: {other}"),
        },
        _ => cause.to_string(),
    }
}

fn classify(error: &io::Error) -> HandshakeFailure {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return classify_tls(tls);
    }
    match error.kind() {
        io::ErrorKind::TimedOut => HandshakeFailure::Timeout,
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => HandshakeFailure::Closed,
        io::ErrorKind::InvalidData => HandshakeFailure::BadRecord,
        _ => HandshakeFailure::Other,
    }
}

fn classify_tls(error: &rustls::Error) -> HandshakeFailure {
    use rustls::Error as E;
    match error {
        E::InvalidMessage(_)
        | E::DecryptError
        | E::PeerSentOversizedRecord
        | E::InappropriateMessage { .. }
        | E::InappropriateHandshakeMessage { .. }
        | E::PeerMisbehaved(_) => HandshakeFailure::BadRecord,
        E::PeerIncompatible(_) => HandshakeFailure::NothingShared,
        E::NoApplicationProtocol => HandshakeFailure::NoApplicationProtocol,
        E::InvalidCertificate(_) | E::NoCertificatesPresented | E::UnsupportedNameType => {
            HandshakeFailure::Verification
        }
        E::AlertReceived(_) => HandshakeFailure::PeerAlert,
        E::General(text) if text == crate::server::NO_CERTIFICATE => HandshakeFailure::NoCertificate,
        _ => HandshakeFailure::Other,
    }
}
