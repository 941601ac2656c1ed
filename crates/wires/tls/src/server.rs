//! The listener's side of TLS: settings compiled once and shared by all workers, and the handshake in one step
//! ([`ServerTls::accept`]) or two ([`ServerTls::start`], then [`Started::finish`]), for callers that must think between the
//! client's greeting and the answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    NoServerSessionStorage, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache, StoresServerSessions,
};
use rustls::sign::CertifiedKey;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::StartHandshake;

use crate::certificate::Certificate;
use crate::cipher::{Ciphers, Protocols};
use crate::error::{HandshakeError, SettingsError};
use crate::greeting::{self, Greeting};
use crate::hello::{ClientHello, normalise_name};
use crate::stream::ServerStream;
use crate::ticket::{Tickets, TimedSessions};
use crate::trust::TrustStore;

/// The library's text when the source has no certificate; it has no error of its own for that.
pub(crate) const NO_CERTIFICATE: &str = "no server certificate chain resolved";

/// Answers which certificate a client is shown. Asked once per full handshake, on the worker's thread.
pub trait CertificateSource: Send + Sync {
    /// The certificate for this greeting; nothing ends the handshake with an alert.
    fn certificate(&self, hello: &ClientHello) -> Option<Certificate>;
}

/// Whether sessions are resumed by tickets the client keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionTickets {
    Off,
    On,
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ClientCertificates {
    #[default]
    Ignore,
    /// Asked for, never demanded, and not judged here: possession of its key is proven, the chain is kept for
    /// whoever decides on trust. The authorities are named to the client as a hint; an empty set names none.
    Request { authorities: TrustStore },
}

/// Settings of a TLS listener.
#[derive(Debug, Clone)]
pub struct ServerTlsSettings {
    pub protocols: Protocols,
    pub ciphers: Ciphers,
    /// Whether our order of cipher suites decides, or the client's.
    pub prefer_server_ciphers: bool,
    /// Application protocols in our order of preference; a client that offers only others is refused.
    pub alpn: Vec<Vec<u8>>,
    pub tickets: SessionTickets,
    /// How long a session may be resumed, by ticket or from the cache.
    pub session_lifetime: Duration,
    /// How many sessions are kept for clients without tickets; 0 keeps none.
    pub session_cache: usize,
    pub client_certificates: ClientCertificates,
    /// The whole handshake's time, so that half-open connections end.
    pub handshake_timeout: Duration,
    /// How many handshakes may be unfinished at once, on all workers together; more are refused. Answers floods
    /// of half-open connections, each of which costs a client nothing and us up to some 20 KiB.
    pub unfinished_handshakes: usize,
}

impl Default for ServerTlsSettings {
    fn default() -> Self {
        Self {
            protocols: Protocols::default(),
            ciphers: Ciphers::default(),
            prefer_server_ciphers: true,
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            tickets: SessionTickets::On,
            session_lifetime: Duration::from_secs(24 * 3600),
            session_cache: 40_000,
            client_certificates: ClientCertificates::Ignore,
            handshake_timeout: Duration::from_secs(60),
            unfinished_handshakes: 16_384,
        }
    }
}

/// A compiled TLS listener. Cheap to clone; clones share ticket keys and the session cache.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    asking: Arc<Asking>,
    handshake_timeout: Duration,
    unfinished: Arc<Unfinished>,
}

/// The same listener for handshakes that ask the client for a certificate though the settings do not: compiled when the
/// first is made. It has ticket keys of its own, because a session that began without the question must not be resumed
/// in place of one that asks it, nor the other way round.
struct Asking {
    settings: ServerTlsSettings,
    source: Arc<dyn CertificateSource>,
    config: OnceLock<Option<Arc<ServerConfig>>>,
}

impl Asking {
    fn config(&self) -> Option<Arc<ServerConfig>> {
        let compiled = || {
            let client_certificates = ClientCertificates::Request { authorities: TrustStore::empty() };
            // Sessions are kept by the clients alone: a second cache would be as large as the first.
            let settings = ServerTlsSettings { client_certificates, session_cache: 0, ..self.settings.clone() };
            compile(&settings, Arc::clone(&self.source)).ok().map(Arc::new)
        };
        self.config.get_or_init(compiled).clone()
    }
}

/// How one handshake departs from the listener's settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Departure {
    /// Asks the client for a certificate, which it may refuse to show.
    pub ask_client: bool,
    /// Makes a session that cannot be resumed.
    pub no_resumption: bool,
}

/// What a connection to a TLS listener turned out to be.
pub enum Accepted<S> {
    Tls(ServerStream<S>),
    /// The first byte was no TLS handshake: most likely plain HTTP. With the bytes read so far.
    Plain {
        io: S,
        read: Vec<u8>,
    },
}

/// A connection whose greeting has arrived.
pub enum Greeted<S> {
    Tls(Started<S>),
    /// As [`Accepted::Plain`].
    Plain {
        io: S,
        read: Vec<u8>,
    },
}

/// A handshake between the client's greeting and our answer.
pub struct Started<S> {
    handshake: Box<StartHandshake<S>>,
    hello: ClientHello,
    deadline: Instant,
    place: Place,
}

/// Handshakes begun and not finished.
#[derive(Debug)]
struct Unfinished {
    count: AtomicUsize,
    bound: usize,
}

impl Unfinished {
    fn enter(self: &Arc<Self>) -> Result<Place, HandshakeError> {
        let raised = |count: usize| (count < self.bound).then_some(count + 1);
        match self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raised) {
            Ok(_) => Ok(Place(self.clone())),
            Err(_) => Err(HandshakeError::too_many()),
        }
    }
}

/// One of the unfinished handshakes, until dropped.
struct Place(Arc<Unfinished>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ServerTls {
    pub fn new(settings: &ServerTlsSettings, source: Arc<dyn CertificateSource>) -> Result<Self, SettingsError> {
        let config = Arc::new(compile(settings, Arc::clone(&source))?);
        let unfinished = Unfinished { count: AtomicUsize::new(0), bound: settings.unfinished_handshakes };
        Ok(Self {
            config,
            asking: Arc::new(Asking { settings: settings.clone(), source, config: OnceLock::new() }),
            handshake_timeout: settings.handshake_timeout,
            unfinished: Arc::new(unfinished),
        })
    }

    /// This listener for one handshake that departs from its settings.
    #[must_use]
    pub fn departing(&self, departure: Departure) -> Self {
        let mut changed = self.clone();
        let asks_anyway = self.asking.settings.client_certificates != ClientCertificates::Ignore;
        if departure.ask_client
            && !asks_anyway
            && let Some(asking) = self.asking.config()
        {
            changed.config = asking;
        }
        if departure.no_resumption {
            let mut once = (*changed.config).clone();
            once.session_storage = Arc::new(NoServerSessionStorage {});
            once.ticketer = Arc::new(NoTickets);
            once.send_tls13_tickets = 0;
            changed.config = Arc::new(once);
        }
        changed
    }

    /// Makes the whole handshake within the settings' time.
    pub async fn accept<S>(&self, io: S) -> Result<Accepted<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match self.start(io).await? {
            Greeted::Tls(started) => Ok(Accepted::Tls(started.finish(self).await?)),
            Greeted::Plain { io, read } => Ok(Accepted::Plain { io, read }),
        }
    }

    /// Reads until the client's greeting is there, or until it is clear that none comes. The time allowed for
    /// the whole handshake begins now.
    pub async fn start<S>(&self, io: S) -> Result<Greeted<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let place = self.unfinished.enter()?;
        let deadline = Instant::now() + self.handshake_timeout;
        // Boxed, as is the rest of the handshake: a connection's task must not stay as large as its first moments.
        match timeout_at(deadline, Box::pin(greeting::read(io))).await.map_err(|_| HandshakeError::timeout())?? {
            Greeting::Hello(handshake) => {
                let hello = greeting_of(&handshake.client_hello());
                Ok(Greeted::Tls(Started { handshake, hello, deadline, place }))
            }
            Greeting::Plain { io, read } => Ok(Greeted::Plain { io, read }),
        }
    }
}

fn greeting_of(hello: &rustls::server::ClientHello<'_>) -> ClientHello {
    ClientHello {
        sni: hello.server_name().and_then(normalise_name),
        alpn: hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect(),
        signature_schemes: hello.signature_schemes().iter().map(|scheme| u16::from(*scheme)).collect(),
    }
}

impl<S> Started<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    pub fn hello(&self) -> &ClientHello {
        &self.hello
    }

    /// Finishes with the settings and the certificate source of `tls`, which need not be the one it began with.
    pub async fn finish(self, tls: &ServerTls) -> Result<ServerStream<S>, HandshakeError> {
        self.finish_by(tls.config.clone()).await
    }

    /// Finishes with this certificate instead of asking the source.
    pub async fn finish_with(
        self,
        tls: &ServerTls,
        certificate: &Certificate,
    ) -> Result<ServerStream<S>, HandshakeError> {
        let mut config = (*tls.config).clone();
        config.cert_resolver = Arc::new(Fixed(certificate.certified_key()));
        self.finish_by(Arc::new(config)).await
    }

    async fn finish_by(self, config: Arc<ServerConfig>) -> Result<ServerStream<S>, HandshakeError> {
        let Self { handshake, deadline, place, .. } = self;
        let finished = timeout_at(deadline, Box::pin(handshake.into_stream(config))).await;
        drop(place);
        Ok(ServerStream::new(finished.map_err(|_| HandshakeError::timeout())??))
    }
}

fn compile(settings: &ServerTlsSettings, source: Arc<dyn CertificateSource>) -> Result<ServerConfig, SettingsError> {
    let provider = settings.ciphers.provider(settings.protocols)?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&settings.protocols.versions()?)
        .map_err(|error| SettingsError::Library(error.to_string()))?;
    let builder = match &settings.client_certificates {
        ClientCertificates::Ignore => builder.with_no_client_auth(),
        ClientCertificates::Request { authorities } => {
            builder.with_client_cert_verifier(Arc::new(KeepClientCertificate::new(authorities)))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(AskSource(source)));
    config.ignore_client_order = settings.prefer_server_ciphers;
    config.alpn_protocols.clone_from(&settings.alpn);
    config.session_storage = sessions(settings);
    match settings.tickets {
        SessionTickets::On => {
            let tickets = Tickets::new(settings.session_lifetime)
                .ok_or_else(|| SettingsError::Library("no randomness for ticket keys".to_owned()))?;
            config.ticketer = Arc::new(tickets);
        }
        SessionTickets::Off if settings.session_cache == 0 => config.send_tls13_tickets = 0,
        SessionTickets::Off => {}
    }
    Ok(config)
}

fn sessions(settings: &ServerTlsSettings) -> Arc<dyn StoresServerSessions> {
    match settings.session_cache {
        0 => Arc::new(NoServerSessionStorage {}),
        bound => Arc::new(TimedSessions::new(ServerSessionMemoryCache::new(bound), settings.session_lifetime)),
    }
}

/// Sessions that nobody can resume.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _plain: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _cipher: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

struct AskSource(Arc<dyn CertificateSource>);

impl std::fmt::Debug for AskSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AskSource")
    }
}

impl ResolvesServerCert for AskSource {
    fn resolve(&self, hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.certificate(&greeting_of(&hello)).map(|certificate| certificate.certified_key())
    }
}

#[derive(Debug)]
struct Fixed(Arc<CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// Asks for a certificate and keeps whatever comes.
#[derive(Debug)]
struct KeepClientCertificate {
    authorities: Vec<DistinguishedName>,
}

impl KeepClientCertificate {
    fn new(authorities: &TrustStore) -> Self {
        let authorities =
            authorities.anchors().iter().map(|anchor| DistinguishedName::in_sequence(&anchor.subject)).collect();
        Self { authorities }
    }
}

impl ClientCertVerifier for KeepClientCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.authorities
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crate::signature::verify_tls12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crate::signature::verify_tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crate::signature::schemes()
    }
}
