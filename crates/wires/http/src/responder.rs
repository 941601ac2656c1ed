//! The answer side of one exchange, whatever the protocol.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use gibbon_message::{Headers, ResponseHead};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::h1::{self, Stage};
use crate::{BodyLength, RequestBody, SendError, h2};

/// Writes one answer: any number of informational heads, one head, data, and the end.
///
/// Head and data are buffered: they leave together, when the buffer is full, the announced length is
/// reached, or [`flush`](Self::flush) or [`finish`](Self::finish) is called. Before waiting for more
/// data, flush (or use [`flush_while`](Self::flush_while)), so that a stream is never held back.
pub struct Responder<'a> {
    inner: Inner<'a>,
}

enum Inner<'a> {
    H1(h1::Answer<'a>),
    H2(h2::Answer<'a>),
}

impl<'a> Responder<'a> {
    pub(crate) fn h1(answer: h1::Answer<'a>) -> Self {
        Responder { inner: Inner::H1(answer) }
    }

    pub(crate) fn h2(answer: h2::Answer<'a>) -> Self {
        Responder { inner: Inner::H2(answer) }
    }

    /// Sends a 1xx head at once; nothing to a client of HTTP/1.0. 101 is left to
    /// [`upgrade`](Self::upgrade).
    pub async fn informational(&mut self, status: u16, headers: &Headers) -> Result<(), SendError> {
        match &mut self.inner {
            Inner::H1(answer) => answer.informational(status, headers).await,
            Inner::H2(answer) => answer.informational(status, headers),
        }
    }

    /// Begins the answer. Framing is the wire's: `Content-Length` and `Transfer-Encoding` of the given
    /// headers give way to `length`, `Connection` and `Keep-Alive` to what the connection will do. Where no
    /// body may follow (HEAD, 304) a `Content-Length` in the headers stays.
    pub fn head(&mut self, head: &ResponseHead, length: BodyLength) -> Result<(), SendError> {
        match &mut self.inner {
            Inner::H1(answer) => answer.head(head, length),
            Inner::H2(answer) => answer.head(head, length),
        }
    }

    /// Adds to the body. Swallowed where no body may follow (HEAD, 204, 304). A future given up before its
    /// end spoils the answer.
    pub async fn data(&mut self, data: &[u8]) -> Result<(), SendError> {
        match &mut self.inner {
            Inner::H1(answer) => answer.data(data).await,
            Inner::H2(answer) => answer.data(data).await,
        }
    }

    /// Sends what is buffered.
    pub async fn flush(&mut self) -> Result<(), SendError> {
        match &mut self.inner {
            Inner::H1(answer) => answer.flush().await,
            Inner::H2(answer) => answer.flush().await,
        }
    }

    /// Awaits `future`, and flushes first if it is not ready at once. It is taken pinned: by value it would be held, and
    /// moved, twice.
    pub async fn flush_while<F: Future>(&mut self, mut future: Pin<&mut F>) -> Result<F::Output, SendError> {
        if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return Ok(output);
        }
        self.flush().await?;
        Ok(future.await)
    }

    /// Ends the answer. Trailers are sent where the framing has room for them (chunked, HTTP/2).
    pub async fn finish(&mut self, trailers: Option<&Headers>) -> Result<(), SendError> {
        match &mut self.inner {
            Inner::H1(answer) => answer.finish(trailers).await,
            Inner::H2(answer) => answer.finish(trailers).await,
        }
    }

    /// Cuts the answer off so that the client sees it is incomplete: HTTP/1 closes without the end of the
    /// body, HTTP/2 resets the stream.
    pub fn abort(&mut self) {
        match &mut self.inner {
            Inner::H1(answer) => answer.abort(),
            Inner::H2(answer) => answer.abort(),
        }
    }

    /// Makes this exchange the last of its connection (HTTP/1: `Connection: close`; HTTP/2: GOAWAY).
    /// Before [`head`](Self::head).
    pub fn close_after(&mut self) {
        match &mut self.inner {
            Inner::H1(answer) => answer.link.keep_alive.set(false),
            Inner::H2(answer) => answer.link.close_after.set(true),
        }
    }

    /// Whether a final head was given.
    #[must_use]
    pub fn begun(&self) -> bool {
        match &self.inner {
            Inner::H1(answer) => answer.link.stage.get() != Stage::Waiting,
            Inner::H2(answer) => answer.link.stage.get() != Stage::Waiting,
        }
    }

    /// Bytes handed to the connection for this answer, heads and framing included. What is still buffered
    /// does not count (HTTP/2: the body alone).
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        match &self.inner {
            Inner::H1(answer) => answer.sink.sent,
            Inner::H2(answer) => answer.outflow.body_sent,
        }
    }

    /// Bytes of the body given so far.
    #[must_use]
    pub fn body_bytes_sent(&self) -> u64 {
        match &self.inner {
            Inner::H1(answer) => answer.sink.body_sent,
            Inner::H2(answer) => answer.outflow.body_sent,
        }
    }

    /// Sends a 101 head and turns the connection into a tunnel. `Connection` and `Upgrade` are taken from
    /// the head. HTTP/1.1 only.
    pub async fn upgrade(self, head: &ResponseHead, body: RequestBody<'a>) -> Result<Upgraded<'a>, SendError> {
        match (self.inner, body.into_h1()) {
            (Inner::H1(answer), Some(body)) => answer.upgrade(head, body).await.map(|tunnel| Upgraded { tunnel }),
            _ => Err(SendError::Misuse("upgrade of a stream that is not HTTP/1.1")),
        }
    }
}

/// A client connection after 101: raw bytes both ways, beginning with what came behind the request.
pub struct Upgraded<'a> {
    tunnel: h1::Tunnel<'a>,
}

impl Upgraded<'_> {
    /// Bytes handed to the connection, the 101 head included.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.tunnel.bytes_sent()
    }
}

impl AsyncRead for Upgraded<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.tunnel.poll_read(cx, buf)
    }
}

impl AsyncWrite for Upgraded<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.tunnel.poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.tunnel.poll_write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tunnel.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tunnel.poll_shutdown(cx)
    }
}
