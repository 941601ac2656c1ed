//! What a finished handshake agreed on, for logs, plugins and forwarding decisions.

use rustls::{CommonState, HandshakeKind, ProtocolVersion};

/// The outcome of a handshake, borrowed from its stream.
#[derive(Clone, Copy)]
pub struct TlsInfo<'a> {
    /// The server name asked for, lower case; absent if none was sent.
    pub sni: Option<&'a str>,
    /// The application protocol agreed on.
    pub alpn: Option<&'a [u8]>,
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite under OpenSSL's name.
    pub cipher: &'static str,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    state: &'a CommonState,
}

impl<'a> TlsInfo<'a> {
    pub(crate) fn new(sni: Option<&'a str>, state: &'a CommonState) -> Self {
        let version = match state.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "",
        };
        let suite = state.negotiated_cipher_suite().map(|suite| suite.suite());
        Self {
            sni,
            alpn: state.alpn_protocol(),
            version,
            cipher: suite.and_then(crate::cipher::openssl_name).unwrap_or(""),
            resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
            state,
        }
    }

    /// The chain the peer presented as DER, leaf first; empty if it presented none.
    pub fn peer_certificates(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.state.peer_certificates().unwrap_or_default().iter().map(AsRef::as_ref)
    }
}

impl std::fmt::Debug for TlsInfo<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsInfo")
            .field("sni", &self.sni)
            .field("alpn", &self.alpn.map(String::from_utf8_lossy))
            .field("version", &self.version)
            .field("cipher", &self.cipher)
            .field("resumed", &self.resumed)
            .finish_non_exhaustive()
    }
}
