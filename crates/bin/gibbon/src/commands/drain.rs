//! Tells the node's Status API to answer that it is not ready, so that a load balancer sends its requests elsewhere.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use gibbon_conf::Listener;
use gibbon_conf::listen::Address;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::brand::Brand;
use crate::cli::Where;
use crate::exit::Outcome;
use crate::output::Output;
use crate::{machine, prefix};

const TIMEOUT: Duration = Duration::from_secs(1);
const REQUEST: &str = "POST /status/ready HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
    Content-Length: 21\r\nConnection: close\r\n\r\n{\"status\":\"draining\"}";
/// The status line is all that is read.
const LONGEST_HEAD: u64 = 1024;

/// Sends the request. Like Kong's, the command ends with 0 and says in words when it could not.
pub fn drain(place: &Where, brand: Brand, out: &Output) -> Outcome {
    let at = machine::prefix_of(place, out)?;
    let loaded = if prefix::is_prepared(&at) { machine::load_prepared(&at)? } else { machine::load(place, out, true)? };
    let Some(listener) = loaded.settings.listeners.status.first() else {
        out.say("No status listeners found in configuration.");
        return Ok(());
    };
    let scheme = if listener.ssl { "https" } else { "http" };
    let url = format!("{scheme}://{}:{}/status/ready", listener.host(), listener.port());
    match post(listener) {
        Ok(204) => out.done(format!("{}'s status successfully changed to 'draining'", brand.name())),
        Ok(status) => out.say(format!("Unexpected response status from {url}: {status}")),
        Err(error) => out.say(format!("Failed to send request to {url}: {error:#}")),
    }
    Ok(())
}

trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

fn post(listener: &Listener) -> anyhow::Result<u16> {
    let mut connection = connect(listener)?;
    connection.write_all(REQUEST.as_bytes())?;
    let mut head = Vec::new();
    // A peer that ends TLS without saying so, or closes early, has still answered if the status line is there.
    let _ = connection.take(LONGEST_HEAD).read_to_end(&mut head);
    let head = String::from_utf8_lossy(&head);
    let status = head.split_ascii_whitespace().nth(1).and_then(|status| status.parse().ok());
    status.context("closed")
}

fn connect(listener: &Listener) -> anyhow::Result<Box<dyn Connection>> {
    let host = match &listener.addr {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            return secured(listener, stream);
        }
        Address::Tcp(address) if address.ip().is_unspecified() && address.is_ipv4() => "127.0.0.1".to_owned(),
        Address::Tcp(address) if address.ip().is_unspecified() => "[::1]".to_owned(),
        Address::Tcp(_) | Address::Name { .. } => listener.host(),
    };
    let mut addresses = format!("{host}:{}", listener.port()).to_socket_addrs()?;
    let address = addresses.next().context("no address")?;
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    secured(listener, stream)
}

fn secured<S: Read + Write + 'static>(listener: &Listener, stream: S) -> anyhow::Result<Box<dyn Connection>> {
    if !listener.ssl {
        return Ok(Box::new(stream));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ThisMachineOnly))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").context("a server name")?;
    let tls = ClientConnection::new(Arc::new(config), name)?;
    Ok(Box::new(StreamOwned::new(tls, stream)))
}

/// Accepts any certificate: the peer is the node of this prefix, reached at the address it listens on, and its certificate
/// is self-signed as a rule. Nothing secret is sent.
#[derive(Debug)]
struct ThisMachineOnly;

impl ServerCertVerifier for ThisMachineOnly {
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
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
