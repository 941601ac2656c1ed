//! The upstream's side of TLS: settings compiled once per distinct set and shared, so that sessions are resumed
//! across connections and across changes of configuration that do not touch them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::certificate::Certificate;
use crate::cipher::{Ciphers, Protocols};
use crate::error::{HandshakeError, SettingsError};
use crate::stream::ClientStream;
use crate::trust::TrustStore;
use crate::verify::ServerVerifier;

/// How a certificate is matched when the peer is addressed by IP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IpSubject {
    /// By the addresses of its subject alternative name extension (RFC 9110, section 4.3.5).
    #[default]
    ByAddress,
    /// Never: it must carry the address as a DNS name, as OpenSSL's host check (and so nginx) demands.
    AsDnsName,
}

/// Whether and how the peer's certificate is verified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verify {
    Off,
    On {
        trust: TrustStore,
        /// At most so many intermediate certificates between leaf and trusted root, as OpenSSL counts.
        depth: u32,
        ip_subject: IpSubject,
    },
}

/// Settings of connections to a TLS server. Equal settings share one [`ClientTls`] through the cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientTlsSettings {
    pub verify: Verify,
    /// Presented whenever the server asks for a certificate.
    pub identity: Option<Certificate>,
    /// Application protocols to offer; none sends no such extension.
    pub alpn: Vec<Vec<u8>>,
    pub protocols: Protocols,
    pub ciphers: Ciphers,
    /// How many servers' sessions are remembered for resumption; 0 turns it off.
    pub remembered_sessions: usize,
}

impl Default for ClientTlsSettings {
    fn default() -> Self {
        Self {
            verify: Verify::Off,
            identity: None,
            alpn: Vec::new(),
            protocols: Protocols::default(),
            ciphers: Ciphers::default(),
            remembered_sessions: 256,
        }
    }
}

/// The name a server is expected to have: sent as SNI if it is a DNS name, and verified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerName(rustls_pki_types::ServerName<'static>);

impl ServerName {
    /// A DNS name or an IP address (IPv6 with or without brackets). Nothing if it is neither.
    pub fn parse(host: &str) -> Option<Self> {
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let host = host.strip_suffix('.').unwrap_or(host);
        rustls_pki_types::ServerName::try_from(host).ok().map(|name| Self(name.to_owned()))
    }
}

impl From<std::net::IpAddr> for ServerName {
    fn from(address: std::net::IpAddr) -> Self {
        Self(rustls_pki_types::ServerName::IpAddress(address.into()))
    }
}

/// Compiled upstream settings with their session memory. Cheap to clone.
#[derive(Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    pub fn new(settings: &ClientTlsSettings) -> Result<Self, SettingsError> {
        let builder = ClientConfig::builder_with_provider(settings.ciphers.provider(settings.protocols)?)
            .with_protocol_versions(&settings.protocols.versions()?)
            .map_err(|error| SettingsError::Library(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ServerVerifier::new(settings.verify.clone())));
        let mut config = match &settings.identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(Identity(identity.certified_key()))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&settings.alpn);
        config.resumption = match settings.remembered_sessions {
            0 => Resumption::disabled(),
            bound => Resumption::in_memory_sessions(bound),
        };
        Ok(Self(Arc::new(config)))
    }

    /// Whether both are one: they then share their session memory.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Makes the handshake over a connected transport. The caller bounds the time.
    pub async fn connect<S>(&self, name: &ServerName, io: S) -> Result<ClientStream<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = TlsConnector::from(self.0.clone());
        Ok(ClientStream::new(Box::pin(connector.connect(name.0.clone(), io)).await?))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
impl ClientTls {
    /// The first bytes a connection to `name` would send.
    pub(crate) fn greeting(&self, name: &ServerName) -> Vec<u8> {
        let mut connection = rustls::ClientConnection::new(self.0.clone(), name.0.clone()).unwrap();
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).unwrap();
        bytes
    }
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientTls")
    }
}

/// Gives equal settings the same [`ClientTls`], for as long as somebody holds it.
#[derive(Debug, Default)]
pub struct ClientTlsCache {
    known: Mutex<HashMap<ClientTlsSettings, Weak<ClientConfig>>>,
}

impl ClientTlsCache {
    pub fn get(&self, settings: &ClientTlsSettings) -> Result<ClientTls, SettingsError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = known.get(settings).and_then(Weak::upgrade) {
            return Ok(ClientTls(config));
        }
        let made = ClientTls::new(settings)?;
        // The table follows the configuration in force: what nobody holds any more goes when something new comes.
        known.retain(|_, config| config.strong_count() > 0);
        known.insert(settings.clone(), Arc::downgrade(&made.0));
        Ok(made)
    }

    /// How many distinct settings are remembered.
    pub fn len(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Presents one certificate whatever authorities the server names, as OpenSSL does.
#[derive(Debug)]
struct Identity(Arc<CertifiedKey>);

impl ResolvesClientCert for Identity {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
