//! One request and its answer on an upstream connection, with the two directions usable side by side.

use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use gibbon_message::{Headers, Method, ResponseHead};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{ClientError, ClientErrorKind, ClientSettings};
use crate::{BodyLength, Worker};

/// How long may pass between two successive reads, and between two successive writes.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub read: Duration,
    pub send: Duration,
}

/// One HTTP/1 connection to an upstream.
#[derive(Debug)]
pub struct Connection<S> {
    io: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    #[must_use]
    pub fn new(io: S, worker: &Rc<Worker>, settings: Rc<ClientSettings>) -> Self {
        let _ = (worker, settings);
        Connection { io }
    }

    /// Begins the next exchange.
    pub fn exchange(&mut self, timeouts: Timeouts) -> (Writer<'_>, Reader<'_>) {
        let _ = timeouts;
        (Writer { inner: PhantomData }, Reader { inner: PhantomData })
    }

    /// Whether the last exchange left the connection fit for another: both directions ended cleanly,
    /// neither side asked to close, no byte came that was not announced.
    #[must_use]
    pub fn reusable(&self) -> bool {
        false
    }

    /// Exchanges begun.
    #[must_use]
    pub fn requests(&self) -> u64 {
        0
    }

    /// After 101: the bare stream and what the upstream sent behind its head.
    #[must_use]
    pub fn into_raw(self) -> (S, Vec<u8>) {
        (self.io, Vec::new())
    }
}

/// One HTTP/2 connection to an upstream, shared by any number of streams. Clones are the same connection.
#[derive(Clone, Debug)]
pub struct H2Connection {
    inner: Rc<()>,
}

impl H2Connection {
    /// Exchanges the prefaces and spawns the local task that drives the connection.
    pub async fn handshake<S>(io: S, worker: &Rc<Worker>, settings: Rc<ClientSettings>) -> Result<Self, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let _ = (io, worker, settings);
        Ok(H2Connection { inner: Rc::new(()) })
    }

    /// Whether new streams may be opened.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let () = *self.inner;
        false
    }

    /// Streams open now.
    #[must_use]
    pub fn active(&self) -> usize {
        0
    }

    /// Waits until the peer's stream limit allows one more, and gives a stream to begin an exchange on.
    pub async fn stream(&self) -> Result<H2Stream, ClientError> {
        Err(ClientError { kind: ClientErrorKind::Closed, received: false, reused: false })
    }
}

/// One stream of an [`H2Connection`].
#[derive(Debug)]
pub struct H2Stream {
    inner: (),
}

impl H2Stream {
    /// Begins the exchange; only once.
    pub fn exchange(&mut self, timeouts: Timeouts) -> (Writer<'_>, Reader<'_>) {
        let _ = (timeouts, self.inner);
        (Writer { inner: PhantomData }, Reader { inner: PhantomData })
    }
}

/// The request side of an exchange. Buffered like [`Responder`](crate::Responder).
#[derive(Debug)]
pub struct Writer<'a> {
    inner: PhantomData<&'a ()>,
}

impl Writer<'_> {
    /// Begins the request. `Content-Length` and `Transfer-Encoding` of the headers give way to `length`;
    /// `BodyLength::None` sends neither.
    pub fn head(
        &mut self,
        method: &Method,
        target: &[u8],
        headers: &Headers,
        length: BodyLength,
    ) -> Result<(), ClientError> {
        let _ = (method, target, headers, length, self.inner);
        Err(closed())
    }

    pub async fn data(&mut self, data: &[u8]) -> Result<(), ClientError> {
        let _ = data;
        Err(closed())
    }

    /// Sends what is buffered.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        Err(closed())
    }

    /// Awaits `future`, and flushes first if it is not ready at once.
    pub async fn flush_while<F: Future>(&mut self, future: F) -> Result<F::Output, ClientError> {
        Ok(future.await)
    }

    /// Ends the request and sends what is buffered.
    pub async fn finish(&mut self, trailers: Option<&Headers>) -> Result<(), ClientError> {
        let _ = trailers;
        Err(closed())
    }

    /// Bytes handed to the connection for this request.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        0
    }
}

/// What a head turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A 1xx other than 101: another head follows.
    Informational,
    /// 101: the connection is a tunnel now, see [`Connection::into_raw`].
    Upgrade,
    Final(BodyLength),
}

/// The answer side of an exchange. Chunks are lent: each is valid until the next call.
#[derive(Debug)]
pub struct Reader<'a> {
    inner: PhantomData<&'a ()>,
}

impl Reader<'_> {
    /// The next head, answering a request of `method`.
    pub async fn head(&mut self, head: &mut ResponseHead, method: &Method) -> Result<Answer, ClientError> {
        let _ = (head, method, self.inner);
        Err(closed())
    }

    /// The next piece of the body, `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<&[u8]>, ClientError> {
        Err(closed())
    }

    /// Trailer fields; only after the end.
    #[must_use]
    pub fn trailers(&self) -> Option<&Headers> {
        None
    }

    /// Whether everything was read: the next chunk would be `None` without waiting.
    #[must_use]
    pub fn is_end(&self) -> bool {
        true
    }

    /// Bytes of this answer taken from the wire, heads and framing included.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        0
    }
}

fn closed() -> ClientError {
    ClientError { kind: ClientErrorKind::Closed, received: false, reused: false }
}
