//! A connection as the rest of the house sees it: plain or over TLS, accepted or made.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use gibbon_tls::{ClientStream, ServerStream, TlsInfo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::proxy_protocol::ProxyHeader;
use crate::socket::{PeerAddress, Socket};

/// A byte stream to a client or an upstream. Dropping it closes; `shutdown` closes our direction only.
pub enum Stream {
    Plain(Socket),
    /// Accepted with TLS.
    ServerTls(ServerStream<Socket>),
    /// Made with TLS.
    ClientTls(ClientStream<Socket>),
}

impl Stream {
    /// The socket below.
    pub fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::ServerTls(stream) => stream.transport(),
            Self::ClientTls(stream) => stream.transport(),
        }
    }

    /// The socket's other end.
    pub fn peer(&self) -> PeerAddress {
        self.socket().peer()
    }

    /// Our end.
    pub fn local(&self) -> PeerAddress {
        self.socket().local()
    }

    /// The PROXY protocol header that came ahead of the connection.
    pub fn proxy_header(&self) -> Option<&ProxyHeader> {
        self.socket().proxy_header()
    }

    /// What the TLS handshake agreed on; nothing for a plain connection.
    pub fn tls_info(&self) -> Option<TlsInfo<'_>> {
        match self {
            Self::Plain(_) => None,
            Self::ServerTls(stream) => Some(stream.info()),
            Self::ClientTls(stream) => Some(stream.info()),
        }
    }
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Stream::ServerTls($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Stream::ClientTls($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(cx))
    }
}
