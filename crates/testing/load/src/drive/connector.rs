//! Opening connections to the gateway, plain or TLS, with sessions resumed or not.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::command::{Drive, Protocol};

/// An open connection.
pub enum Link {
    /// Without TLS.
    Plain(TcpStream),
    /// With TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Link {
    /// Whether the TLS session goes on from an earlier one.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        match self {
            Link::Plain(_) => false,
            Link::Tls(stream) => stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}

/// Opens connections of one kind.
pub struct Connector {
    address: SocketAddr,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    /// A connector for a drive's address and protocol.
    ///
    /// # Errors
    /// When the host of the drive's requests is no server name.
    pub fn new(drive: &Drive) -> Result<Self> {
        if !drive.tls {
            return Ok(Self { address: drive.address, tls: None });
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Arc::new(TrustEverything(Arc::clone(&provider)));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        if matches!(drive.protocol, Protocol::Http2 | Protocol::Grpc) {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        if drive.protocol != Protocol::Resume {
            config.resumption = Resumption::disabled();
        }
        let name = ServerName::try_from("bench.test")?;
        Ok(Self { address: drive.address, tls: Some((TlsConnector::from(Arc::new(config)), name)) })
    }

    /// Opens one.
    ///
    /// # Errors
    /// What went wrong, as it is counted.
    pub async fn open(&self) -> Result<Link, &'static str> {
        let socket = TcpStream::connect(self.address).await.map_err(|_| "not connected")?;
        socket.set_nodelay(true).map_err(|_| "not connected")?;
        let Some((connector, name)) = &self.tls else { return Ok(Link::Plain(socket)) };
        let stream = connector.connect(name.clone(), socket).await.map_err(|_| "TLS handshake failed")?;
        Ok(Link::Tls(Box::new(stream)))
    }
}

/// A stand measures; whom it talks to was decided by whoever started the gateway a moment ago.
#[derive(Debug)]
struct TrustEverything(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustEverything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
