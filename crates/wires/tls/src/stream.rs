//! Byte streams over a finished handshake. Thin: the library does the work, this hides its name.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::info::TlsInfo;

/// A connection accepted by [`crate::ServerTls`]. Boxed within: its state is about a kilobyte.
pub struct ServerStream<S>(Box<tokio_rustls::server::TlsStream<S>>);

/// A connection made by [`crate::ClientTls`]. Boxed within, as [`ServerStream`].
pub struct ClientStream<S>(Box<tokio_rustls::client::TlsStream<S>>);

impl<S> ServerStream<S> {
    pub(crate) fn new(inner: tokio_rustls::server::TlsStream<S>) -> Self {
        Self(Box::new(inner))
    }

    /// What the handshake agreed on.
    pub fn info(&self) -> TlsInfo<'_> {
        let connection = self.0.get_ref().1;
        TlsInfo::new(connection.server_name(), connection)
    }

    /// The transport below.
    pub fn transport(&self) -> &S {
        self.0.get_ref().0
    }
}

impl<S> ClientStream<S> {
    pub(crate) fn new(inner: tokio_rustls::client::TlsStream<S>) -> Self {
        Self(Box::new(inner))
    }

    /// What the handshake agreed on. The server name is not repeated: the caller chose it.
    pub fn info(&self) -> TlsInfo<'_> {
        TlsInfo::new(None, self.0.get_ref().1)
    }

    /// The transport below.
    pub fn transport(&self) -> &S {
        self.0.get_ref().0
    }
}

macro_rules! delegate {
    ($stream:ident) => {
        impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for $stream<S> {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_read(cx, buffer)
            }
        }

        impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for $stream<S> {
            fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.0).poll_write(cx, bytes)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.0).poll_write_vectored(cx, slices)
            }

            fn is_write_vectored(&self) -> bool {
                self.0.is_write_vectored()
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_flush(cx)
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_shutdown(cx)
            }
        }
    };
}

delegate!(ServerStream);
delegate!(ClientStream);
