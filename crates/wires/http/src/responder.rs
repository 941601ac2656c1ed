//! The answer side of one exchange, whatever the protocol.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use gibbon_message::{Headers, ResponseHead};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{BodyLength, RequestBody, SendError};

/// Writes one answer: any number of informational heads, one head, data, and the end.
///
/// Head and data are buffered: they leave together, when the buffer is full, the announced length is
/// reached, or [`flush`](Self::flush) or [`finish`](Self::finish) is called. Before waiting for more
/// data, flush (or use [`flush_while`](Self::flush_while)), so that a stream is never held back.
#[derive(Debug)]
pub struct Responder<'a> {
    inner: &'a (),
}

impl<'a> Responder<'a> {
    /// Sends a 1xx head at once; nothing to a client of HTTP/1.0.
    pub async fn informational(&mut self, status: u16, headers: &Headers) -> Result<(), SendError> {
        let _ = (status, headers, self.inner);
        Err(SendError::Closed)
    }

    /// Begins the answer. Framing is the wire's: `Content-Length` and `Transfer-Encoding` of the given
    /// headers give way to `length`, `Connection` and `Keep-Alive` to what the connection will do. Where no
    /// body may follow (HEAD, 304) a `Content-Length` in the headers stays.
    pub fn head(&mut self, head: &ResponseHead, length: BodyLength) -> Result<(), SendError> {
        let _ = (head, length);
        Err(SendError::Closed)
    }

    /// Adds to the body. Swallowed where no body may follow (HEAD, 204, 304).
    pub async fn data(&mut self, data: &[u8]) -> Result<(), SendError> {
        let _ = data;
        Err(SendError::Closed)
    }

    /// Sends what is buffered.
    pub async fn flush(&mut self) -> Result<(), SendError> {
        Err(SendError::Closed)
    }

    /// Awaits `future`, and flushes first if it is not ready at once.
    pub async fn flush_while<F: Future>(&mut self, future: F) -> Result<F::Output, SendError> {
        Ok(future.await)
    }

    /// Ends the answer. Trailers are sent where the framing has room for them (chunked, HTTP/2).
    pub async fn finish(&mut self, trailers: Option<&Headers>) -> Result<(), SendError> {
        let _ = trailers;
        Err(SendError::Closed)
    }

    /// Cuts the answer off so that the client sees it is incomplete: HTTP/1 closes without the end of the
    /// body, HTTP/2 resets the stream.
    pub fn abort(&mut self) {}

    /// Makes this exchange the last of its connection (HTTP/1: `Connection: close`; HTTP/2: GOAWAY).
    /// Before [`head`](Self::head).
    pub fn close_after(&mut self) {}

    /// Whether a final head was given.
    #[must_use]
    pub fn begun(&self) -> bool {
        false
    }

    /// Bytes handed to the connection for this answer, heads and framing included.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        0
    }

    /// The same without heads and framing.
    #[must_use]
    pub fn body_bytes_sent(&self) -> u64 {
        0
    }

    /// Sends a 101 head and turns the connection into a tunnel. `Connection` and `Upgrade` are taken from
    /// the head. HTTP/1 only.
    pub async fn upgrade(self, head: &ResponseHead, body: RequestBody<'a>) -> Result<Upgraded<'a>, SendError> {
        let _ = (head, body);
        Err(SendError::Closed)
    }
}

/// A client connection after 101: raw bytes both ways, beginning with what came behind the request.
#[derive(Debug)]
pub struct Upgraded<'a> {
    inner: &'a (),
}

impl AsyncRead for Upgraded<'_> {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let () = self.inner;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
