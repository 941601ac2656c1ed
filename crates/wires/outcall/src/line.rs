//! Raw connections: TCP with or without TLS, UDP, unix sockets.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gibbon_net::Stream;
use gibbon_tls::Certificate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UdpSocket, UnixDatagram};

use crate::{Reach, Tls};

/// Where a raw connection leads to.
#[derive(Clone, Copy, Debug)]
pub enum LineTarget<'a> {
    Tcp { host: &'a str, port: u16 },
    Udp { host: &'a str, port: u16 },
    Unix { path: &'a str },
    UnixDatagram { path: &'a str },
}

/// A raw connection; it belongs to the runtime it was made on.
pub enum Line {
    Stream(Box<Stream>),
    Datagrams(UdpSocket),
    LocalDatagrams(UnixDatagram),
}

impl Line {
    /// Connects within `limit`.
    ///
    /// # Errors
    /// As the system says, with the peer's name.
    pub async fn connect(
        reach: &Reach,
        target: LineTarget<'_>,
        tls: Option<&Tls>,
        limit: Duration,
    ) -> io::Result<Line> {
        match target {
            LineTarget::Tcp { host, port } => Ok(Line::Stream(Box::new(reach.tcp(host, port, tls, limit).await?))),
            LineTarget::Unix { path } => Ok(Line::Stream(Box::new(reach.unix(path, limit).await?))),
            LineTarget::Udp { host, port } => {
                let found = tokio::time::timeout(limit, reach.resolve(host, port)).await;
                let address = found.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).await?;
                socket.connect(address).await?;
                Ok(Line::Datagrams(socket))
            }
            LineTarget::UnixDatagram { path } => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Ok(Line::LocalDatagrams(socket))
            }
        }
    }

    /// What has come, at most `max` bytes; empty at the end of a stream.
    ///
    /// # Errors
    /// As the system says.
    pub async fn read(&mut self, max: usize) -> io::Result<Bytes> {
        let mut buffer = BytesMut::with_capacity(max.min(64 * 1024));
        match self {
            Line::Stream(stream) => {
                let mut limited = (&mut **stream).take(max as u64);
                limited.read_buf(&mut buffer).await?;
            }
            Line::Datagrams(socket) => {
                socket.recv_buf(&mut buffer).await?;
            }
            Line::LocalDatagrams(socket) => {
                socket.recv_buf(&mut buffer).await?;
            }
        }
        Ok(buffer.freeze())
    }

    /// Sends all bytes; over UDP as one datagram.
    ///
    /// # Errors
    /// As the system says; a datagram that is too large is refused.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Line::Stream(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Line::Datagrams(socket) => socket.send(bytes).await.map(|_| ()),
            Line::LocalDatagrams(socket) => socket.send(bytes).await.map(|_| ()),
        }
    }

    /// Goes on in TLS on a connection that began in plain, and shows a certificate if there is one and the peer asks.
    ///
    /// # Errors
    /// When it is no plain stream, the handshake fails or takes too long.
    pub async fn start_tls(
        self,
        reach: &Reach,
        host: &str,
        tls: &Tls,
        identity: Option<Certificate>,
        limit: Duration,
    ) -> io::Result<Line> {
        match self {
            Line::Stream(stream) => {
                Ok(Line::Stream(Box::new(reach.start_tls(*stream, host, tls, identity, limit).await?)))
            }
            Line::Datagrams(_) | Line::LocalDatagrams(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Says goodbye; dropping the connection closes it.
    pub async fn close(&mut self) {
        if let Line::Stream(stream) = self {
            // The peer may be gone already.
            let _ = stream.shutdown().await;
        }
    }
}
