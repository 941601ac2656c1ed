//! From a name to a connection: the resolver, the connector and compiled TLS, within one deadline.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use gibbon_dns::Resolver;
use gibbon_net::{ConnectAddress, ConnectError, Connector, Stream, Target, TlsTarget};
use gibbon_tls::{
    Certificate, ClientTls, ClientTlsSettings, HandshakeFailure, IpSubject, Protocols, ServerName, TrustStore, Verify,
};

use crate::ReachError;

/// Certificates between leaf and root at most.
const DEPTH: u32 = 9;

/// TLS towards a peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tls {
    pub verify: bool,
    /// Name to verify and to send as SNI; `None` takes the host.
    pub server_name: Option<String>,
}

/// Makes connections by name.
pub struct Reach {
    resolver: Resolver,
    connector: Connector,
    /// Who vouches for peers; `None` means the system's authorities, read when first needed.
    trust: Option<TrustStore>,
    protocols: Protocols,
    verifying: OnceLock<ClientTls>,
    trusting: OnceLock<ClientTls>,
}

impl Reach {
    #[must_use]
    pub fn new(resolver: Resolver, trust: Option<TrustStore>) -> Self {
        let connector = Connector { local_address: None, keepalive: Some(Duration::from_secs(60)) };
        let protocols = ClientTlsSettings::default().protocols;
        Reach { resolver, connector, trust, protocols, verifying: OnceLock::new(), trusting: OnceLock::new() }
    }

    /// Speaks these versions of TLS only.
    #[must_use]
    pub fn with_protocols(mut self, protocols: Protocols) -> Self {
        self.protocols = protocols;
        self
    }

    /// Connects to a host over TCP, with TLS if asked for; everything within `limit`.
    ///
    /// # Errors
    /// The name does not resolve, nobody listens, TLS fails, or it takes too long.
    pub async fn tcp(&self, host: &str, port: u16, tls: Option<&Tls>, limit: Duration) -> Result<Stream, ReachError> {
        let timed = tokio::time::timeout(limit, self.tcp_in_order(host, port, tls, limit)).await;
        timed.unwrap_or_else(|_| Err(ReachError::Timeout { peer: format!("{host}:{port}"), limit }))
    }

    /// Goes on in TLS on a connection that began in plain; `host` is the peer's name unless the settings say another, and
    /// `identity` what is shown to a peer that asks.
    ///
    /// # Errors
    /// The connection is in TLS already, the handshake fails, or it takes too long.
    pub async fn start_tls(
        &self,
        stream: Stream,
        host: &str,
        tls: &Tls,
        identity: Option<Certificate>,
        limit: Duration,
    ) -> Result<Stream, ReachError> {
        let unusable = |cause: String| ReachError::Tls { peer: host.to_owned(), cause };
        let Stream::Plain(socket) = stream else { return Err(unusable("it is in TLS already".to_owned())) };
        let (mut compiled, name) = self.compiled(host, tls)?;
        if identity.is_some() {
            // Of this one connection: what a session remembers must not serve whoever presents something else.
            compiled = self.made(tls.verify, identity).map_err(unusable)?;
        }
        let timed = tokio::time::timeout(limit, compiled.connect(&name, socket)).await;
        let done = timed.map_err(|_| ReachError::Timeout { peer: host.to_owned(), limit })?;
        Ok(Stream::ClientTls(done.map_err(|error| unusable(error.to_string()))?))
    }

    /// TLS and the name to expect.
    fn compiled(&self, host: &str, tls: &Tls) -> Result<(ClientTls, ServerName), ReachError> {
        let unusable = |cause: String| ReachError::Tls { peer: host.to_owned(), cause };
        let name = tls.server_name.as_deref().unwrap_or(host);
        let name = ServerName::parse(name).ok_or_else(|| unusable(format!("'{name}' is no host name")))?;
        Ok((self.client_tls(tls.verify).map_err(unusable)?, name))
    }

    /// Connects to a unix socket.
    ///
    /// # Errors
    /// Nobody listens, or it takes too long.
    pub async fn unix(&self, path: &str, limit: Duration) -> Result<Stream, ReachError> {
        let address = ConnectAddress::Unix(path.into());
        let target = Target { address: &address, timeout: limit, tls: None, proxy_header: None };
        self.connector.connect(&target).await.map_err(|cause| ReachError::Connect { peer: path.to_owned(), cause })
    }

    /// One address of a host; the port is the record's own if it is a service record.
    ///
    /// # Errors
    /// The name does not resolve.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<SocketAddr, ReachError> {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(SocketAddr::new(ip, port));
        }
        let failed = |cause: String| ReachError::Resolve { host: host.to_owned(), cause };
        let answer = self.resolver.lookup(bare).await.map_err(|error| failed(error.to_string()))?;
        let record = answer.next().ok_or_else(|| failed("no addresses".to_owned()))?;
        Ok(SocketAddr::new(record.ip, if record.port == 0 { port } else { record.port }))
    }

    async fn tcp_in_order(
        &self,
        host: &str,
        port: u16,
        tls: Option<&Tls>,
        limit: Duration,
    ) -> Result<Stream, ReachError> {
        let peer = || format!("{host}:{port}");
        let unusable = |cause: String| ReachError::Tls { peer: peer(), cause };
        let address = ConnectAddress::Ip(self.resolve(host, port).await?);
        let compiled = tls.map(|tls| self.compiled(host, tls)).transpose()?;
        let tls = compiled.as_ref().map(|(tls, name)| TlsTarget { tls, name });
        let target = Target { address: &address, timeout: limit, tls, proxy_header: None };
        self.connector.connect(&target).await.map_err(|cause| match cause {
            ConnectError::Tls(error) if error.failure != HandshakeFailure::Timeout => unusable(error.to_string()),
            cause => ReachError::Connect { peer: peer(), cause },
        })
    }

    /// Compiled once per node, so that sessions are resumed.
    fn client_tls(&self, verify: bool) -> Result<ClientTls, String> {
        let place = if verify { &self.verifying } else { &self.trusting };
        if let Some(tls) = place.get() {
            return Ok(tls.clone());
        }
        let made = self.made(verify, None)?;
        Ok(place.get_or_init(|| made).clone())
    }

    fn made(&self, verify: bool, identity: Option<Certificate>) -> Result<ClientTls, String> {
        let verify = if verify {
            let trust = match &self.trust {
                Some(trust) => trust.clone(),
                None => TrustStore::system().map_err(|error| error.to_string())?,
            };
            Verify::On { trust, depth: DEPTH, ip_subject: IpSubject::ByAddress }
        } else {
            Verify::Off
        };
        let remembered_sessions = if identity.is_some() { 0 } else { ClientTlsSettings::default().remembered_sessions };
        let settings = ClientTlsSettings {
            verify,
            identity,
            remembered_sessions,
            protocols: self.protocols,
            ..ClientTlsSettings::default()
        };
        ClientTls::new(&settings).map_err(|error| error.to_string())
    }
}
