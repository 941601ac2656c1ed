//! An HTTP/1.1 client for byte-exact tests: it sends exactly the bytes it is given and reads answers strictly.
//!
//! It repairs nothing and hides nothing: interim answers, chunk sizes, trailers and how the body ended are all part
//! of a [`Response`]. Building correct requests is the test's business; HTTP/2 is tested with other tools.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::reader::{Chunked, Fields, Reader, is_reset, lossy};

/// How long a read may wait before the test fails: long enough for a busy machine, short enough for a hang to show.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Where a message body ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none: HEAD, 204, 304, or a request without a length.
    None,
    /// Content-Length gave its size.
    Length,
    /// Chunked; the sizes of the chunks as sent, the last (empty) one left out.
    Chunked(Vec<usize>),
    /// The connection was closed after it.
    UntilClose,
}

/// A status line and its field lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// `HTTP/1.1` as sent.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// The phrase after the status code, perhaps empty.
    pub reason: String,
    /// The field lines.
    pub headers: Fields,
}

/// One answer, whole.
#[derive(Clone)]
pub struct Response {
    /// 1xx answers that came before the final one (101 is final).
    pub interim: Vec<Head>,
    /// The final head.
    pub head: Head,
    /// The body with its framing removed.
    pub body: Vec<u8>,
    /// How the body ended.
    pub framing: Framing,
    /// Trailer fields of a chunked body.
    pub trailers: Fields,
}

impl Response {
    /// The final status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)
    }

    /// The body as text, invalid UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not JSON; the error shows the body.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.text()))
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("interim", &self.interim)
            .field("head", &self.head)
            .field("body", &self.text())
            .field("framing", &self.framing)
            .field("trailers", &self.trailers)
            .finish()
    }
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Transport {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.read(into),
            Transport::Tls(stream) => match stream.read(into) {
                // A peer that closes without close_notify: the bytes so far were authentic, the end was not.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                other => other,
            },
        }
    }
}

/// One connection.
pub struct Client {
    reader: Reader<Transport>,
}

impl Client {
    /// Opens a plain connection.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        Ok(Self { reader: Reader::new(Transport::Plain(tcp(address)?)) })
    }

    /// Opens a TLS connection that accepts whatever certificate the peer shows (ask for it with
    /// [`Client::peer_certificate`]). `alpn` may be empty.
    ///
    /// # Errors
    /// When the handshake fails.
    pub fn connect_tls(address: SocketAddr, server_name: &str, alpn: &[&str]) -> Result<Self> {
        let mut config = trusting_config()?;
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self::connect_tls_with(address, server_name, config)
    }

    /// Opens a TLS connection with a configuration of the test's own (client certificates, protocol versions).
    ///
    /// # Errors
    /// When the handshake fails.
    pub fn connect_tls_with(address: SocketAddr, server_name: &str, config: ClientConfig) -> Result<Self> {
        let name = ServerName::try_from(server_name.to_owned())?;
        let mut socket = tcp(address)?;
        let mut session = ClientConnection::new(Arc::new(config), name)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket).context("TLS handshake")?;
        }
        Ok(Self { reader: Reader::new(Transport::Tls(Box::new(StreamOwned::new(session, socket)))) })
    }

    /// The peer's leaf certificate in DER, on a TLS connection.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<Vec<u8>> {
        match &self.reader.stream {
            Transport::Plain(_) => None,
            Transport::Tls(stream) => Some(stream.conn.peer_certificates()?.first()?.to_vec()),
        }
    }

    /// The protocol that ALPN settled on.
    #[must_use]
    pub fn alpn(&self) -> Option<String> {
        match &self.reader.stream {
            Transport::Plain(_) => None,
            Transport::Tls(stream) => stream.conn.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned()),
        }
    }

    /// Our end of the connection.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn local_address(&self) -> Result<SocketAddr> {
        Ok(self.socket().local_addr()?)
    }

    /// Changes how long one read may wait ([`PATIENCE`] at first).
    ///
    /// # Errors
    /// When the socket is gone or `wait` is zero.
    pub fn set_patience(&self, wait: Duration) -> Result<()> {
        Ok(self.socket().set_read_timeout(Some(wait))?)
    }

    /// Sends these bytes, nothing more and nothing less.
    ///
    /// # Errors
    /// When the peer closed the connection.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        match &mut self.reader.stream {
            Transport::Plain(socket) => socket.write_all(bytes.as_ref())?,
            Transport::Tls(stream) => {
                stream.write_all(bytes.as_ref())?;
                stream.flush()?;
            }
        }
        Ok(())
    }

    /// Says that no more will be sent, and keeps reading.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn half_close(&mut self) -> Result<()> {
        if let Transport::Tls(stream) = &mut self.reader.stream {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        Ok(self.socket().shutdown(Shutdown::Write)?)
    }

    /// Sends a request and reads its answer; the method is taken from the request's first word.
    ///
    /// # Errors
    /// When the connection breaks or the answer is not HTTP.
    pub fn exchange(&mut self, request: impl AsRef<[u8]>) -> Result<Response> {
        let bytes = request.as_ref();
        let method = bytes.split(|b| *b == b' ').next().unwrap_or_default().to_vec();
        self.send(bytes)?;
        self.read_response(&lossy(&method))
    }

    /// Reads one final answer and the interim ones before it. `method` decides whether a body may follow.
    ///
    /// # Errors
    /// When the connection ends early, nothing comes in time, or the framing is wrong.
    pub fn read_response(&mut self, method: &str) -> Result<Response> {
        let mut interim = Vec::new();
        let head = loop {
            let head = self.read_head()?;
            if head.status == 101 || head.status >= 200 {
                break head;
            }
            interim.push(head);
        };
        let (body, framing, trailers) = self.read_body(&head, method)?;
        Ok(Response { interim, head, body, framing, trailers })
    }

    /// Reads one status line with its fields, interim or final, and leaves what follows unread.
    ///
    /// # Errors
    /// When the connection ends early or what comes is no HTTP/1 head.
    pub fn read_head(&mut self) -> Result<Head> {
        let text = lossy(&self.read_until(b"\r\n\r\n")?);
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let mut parts = status_line.splitn(3, ' ');
        let version = parts.next().unwrap_or_default().to_owned();
        ensure!(version.starts_with("HTTP/1."), "not an HTTP/1 status line: {status_line:?}");
        let status = parts.next().unwrap_or_default().parse().with_context(|| format!("status in {status_line:?}"))?;
        let reason = parts.next().unwrap_or_default().to_owned();
        Ok(Head { version, status, reason, headers: Fields::parse(lines)? })
    }

    /// Reads exactly `count` bytes: what follows an upgrade, or a piece of a body.
    ///
    /// # Errors
    /// When the connection ends before.
    pub fn read_exact(&mut self, count: usize) -> Result<Vec<u8>> {
        self.reader.read_exact(count)
    }

    /// Reads up to and including a separator.
    ///
    /// # Errors
    /// When the connection ends before it came.
    pub fn read_until(&mut self, separator: &[u8]) -> Result<Vec<u8>> {
        self.reader.read_until(separator)
    }

    /// Reads everything until the peer closes; a reset counts as the end.
    ///
    /// # Errors
    /// When the peer keeps the connection open for longer than the patience.
    pub fn read_to_end(&mut self) -> Result<Vec<u8>> {
        loop {
            match self.reader.fill() {
                Ok(true) => {}
                Ok(false) => return Ok(std::mem::take(&mut self.reader.buffer)),
                Err(error) if is_reset(&error) => {
                    return Ok(std::mem::take(&mut self.reader.buffer));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the peer to close and fails if it sends anything first.
    ///
    /// # Errors
    /// When bytes come, or the connection stays open for longer than the patience.
    pub fn expect_close(&mut self) -> Result<()> {
        let rest = self.read_to_end()?;
        ensure!(rest.is_empty(), "expected a closed connection, got {:?}", lossy(&rest));
        Ok(())
    }

    fn read_body(&mut self, head: &Head, method: &str) -> Result<(Vec<u8>, Framing, Fields)> {
        if method == "HEAD" || matches!(head.status, 101 | 204 | 304) || (method == "CONNECT" && head.status < 300) {
            return Ok((Vec::new(), Framing::None, Fields::default()));
        }
        if let Some(coding) = head.headers.get("transfer-encoding") {
            ensure!(coding.eq_ignore_ascii_case("chunked"), "transfer coding {coding:?}");
            let Chunked { body, sizes, trailers } = self.reader.read_chunked()?;
            return Ok((body, Framing::Chunked(sizes), trailers));
        }
        if let Some(length) = head.headers.get("content-length") {
            return Ok((self.reader.read_length(length)?, Framing::Length, Fields::default()));
        }
        Ok((self.read_to_end()?, Framing::UntilClose, Fields::default()))
    }

    fn socket(&self) -> &TcpStream {
        match &self.reader.stream {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => &stream.sock,
        }
    }
}

/// One request on a connection of its own.
///
/// # Errors
/// As [`Client::connect`] and [`Client::exchange`].
pub fn once(address: SocketAddr, request: impl AsRef<[u8]>) -> Result<Response> {
    Client::connect(address)?.exchange(request)
}

/// `GET target` with `Host: host` on a connection of its own.
///
/// # Errors
/// As [`once`].
pub fn get(address: SocketAddr, host: &str, target: &str) -> Result<Response> {
    once(address, format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
}

fn tcp(address: SocketAddr) -> Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&address, PATIENCE).with_context(|| format!("connect to {address}"))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// A client configuration that trusts every certificate: what the gateway shows is for the test to judge.
///
/// # Errors
/// When the TLS provider refuses its own default protocol versions.
pub fn trusting_config() -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(TrustEverything(Arc::clone(&provider)));
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

#[derive(Debug)]
struct TrustEverything(Arc<rustls::crypto::CryptoProvider>);

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
