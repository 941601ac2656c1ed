//! Connects to an upstream: TCP or unix socket, PROXY protocol header, TLS, all within one deadline.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use gibbon_tls::{ClientTls, HandshakeError, HandshakeFailure, ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, UnixStream};
use tokio::time::timeout;

use crate::proxy_protocol::ProxyHeader;
use crate::socket::Socket;
use crate::stream::Stream;

/// Where to connect to. Names are resolved elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ConnectAddress {
    Ip(SocketAddr),
    Unix(PathBuf),
}

/// TLS towards a target.
#[derive(Debug, Clone, Copy)]
pub struct TlsTarget<'a> {
    pub tls: &'a ClientTls,
    pub name: &'a ServerName,
}

/// One connection to be made.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub address: &'a ConnectAddress,
    /// The time for everything, TLS included.
    pub timeout: Duration,
    pub tls: Option<TlsTarget<'a>>,
    /// Sent first, before TLS, as receivers expect it.
    pub proxy_header: Option<&'a ProxyHeader>,
}

/// Why a connection could not be made, in words a retry rule or a counter can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectFailure {
    Refused,
    Timeout,
    /// No route to host or network.
    Unreachable,
    /// The peer closed or reset before the connection was usable.
    Closed,
    /// This machine's fault: no descriptors, ports or memory left, or a wrong local address.
    Local,
    /// The peer's certificate was refused.
    TlsVerification,
    /// TLS failed for another reason.
    Tls(HandshakeFailure),
    Other,
}

/// A connection that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("connect: {0}")]
    Socket(#[source] io::Error),
    #[error("local address {address}: {cause}")]
    LocalAddress { address: IpAddr, cause: io::Error },
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    #[error("sending the PROXY protocol header: {0}")]
    ProxyHeader(#[source] io::Error),
    #[error(transparent)]
    Tls(#[from] HandshakeError),
}

impl ConnectError {
    /// The reason.
    pub fn failure(&self) -> ConnectFailure {
        match self {
            Self::Timeout(_) => ConnectFailure::Timeout,
            Self::LocalAddress { .. } => ConnectFailure::Local,
            Self::Socket(error) | Self::ProxyHeader(error) => of_socket(error),
            Self::Tls(error) => match error.failure {
                HandshakeFailure::Verification => ConnectFailure::TlsVerification,
                HandshakeFailure::Timeout => ConnectFailure::Timeout,
                other => ConnectFailure::Tls(other),
            },
        }
    }
}

fn of_socket(error: &io::Error) -> ConnectFailure {
    use io::ErrorKind as K;
    match error.kind() {
        K::ConnectionRefused | K::NotFound => ConnectFailure::Refused,
        K::TimedOut => ConnectFailure::Timeout,
        K::HostUnreachable | K::NetworkUnreachable => ConnectFailure::Unreachable,
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof => ConnectFailure::Closed,
        K::AddrNotAvailable | K::AddrInUse | K::OutOfMemory | K::PermissionDenied => ConnectFailure::Local,
        _ => match error.raw_os_error() {
            Some(nix::libc::EMFILE | nix::libc::ENFILE | nix::libc::ENOBUFS) => ConnectFailure::Local,
            _ => ConnectFailure::Other,
        },
    }
}

/// Makes connections with one set of socket options.
#[derive(Debug, Clone, Default)]
pub struct Connector {
    /// Connect from this address; the family must be the target's.
    pub local_address: Option<IpAddr>,
    /// Probe idle connections; absent leaves it to the system (off).
    pub keepalive: Option<Duration>,
}

impl Connector {
    /// Connects. Dropping the future abandons the attempt.
    pub async fn connect(&self, target: &Target<'_>) -> Result<Stream, ConnectError> {
        timeout(target.timeout, self.connect_in_order(target))
            .await
            .unwrap_or(Err(ConnectError::Timeout(target.timeout)))
    }

    async fn connect_in_order(&self, target: &Target<'_>) -> Result<Stream, ConnectError> {
        let mut socket = self.open(target.address).await?;
        if let Some(header) = target.proxy_header {
            let mut bytes = Vec::with_capacity(108);
            header.encode(&mut bytes);
            socket.write_all(&bytes).await.map_err(ConnectError::ProxyHeader)?;
        }
        match &target.tls {
            None => Ok(Stream::Plain(socket)),
            Some(TlsTarget { tls, name }) => {
                socket.expect_records(true);
                Ok(Stream::ClientTls(tls.connect(name, socket).await?))
            }
        }
    }

    async fn open(&self, address: &ConnectAddress) -> Result<Socket, ConnectError> {
        match address {
            ConnectAddress::Ip(address) => self.open_tcp(*address).await,
            ConnectAddress::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(ConnectError::Socket)?;
                Ok(Socket::unix(stream))
            }
        }
    }

    async fn open_tcp(&self, address: SocketAddr) -> Result<Socket, ConnectError> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = socket.map_err(ConnectError::Socket)?;
        socket.set_nodelay(true).map_err(ConnectError::Socket)?;
        if let Some(idle) = self.keepalive {
            let probes = TcpKeepalive::new().with_time(idle);
            SockRef::from(&socket).set_tcp_keepalive(&probes).map_err(ConnectError::Socket)?;
        }
        if let Some(local) = self.local_address {
            let wrong = |cause| ConnectError::LocalAddress { address: local, cause };
            nix::sys::socket::setsockopt(&socket, crate::option::BindAddressNoPort, &true)
                .map_err(|error| wrong(error.into()))?;
            socket.bind(SocketAddr::new(local, 0)).map_err(wrong)?;
        }
        let stream = socket.connect(address).await.map_err(ConnectError::Socket)?;
        Ok(Socket::tcp(stream, address))
    }
}
