//! One request and its answer on an upstream connection, with the two directions usable side by side.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use gibbon_message::{Headers, Method, ResponseHead};

use super::{ClientError, h1, h2};
use crate::BodyLength;

/// How long may pass between two successive reads, and between two successive writes.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub read: Duration,
    pub send: Duration,
}

/// The request side of an exchange. Buffered like [`Responder`](crate::Responder).
pub struct Writer<'a> {
    inner: WriterInner<'a>,
}

enum WriterInner<'a> {
    H1(h1::Writer<'a>),
    H2(h2::Writer<'a>),
}

impl<'a> Writer<'a> {
    pub(super) fn h1(writer: h1::Writer<'a>) -> Self {
        Writer { inner: WriterInner::H1(writer) }
    }

    pub(super) fn h2(writer: h2::Writer<'a>) -> Self {
        Writer { inner: WriterInner::H2(writer) }
    }

    /// Begins the request. `Content-Length` and `Transfer-Encoding` of the headers give way to `length`;
    /// `BodyLength::None` sends neither.
    pub fn head(
        &mut self,
        method: &Method,
        target: &[u8],
        headers: &Headers,
        length: BodyLength,
    ) -> Result<(), ClientError> {
        match &mut self.inner {
            WriterInner::H1(writer) => writer.head(method, target, headers, length),
            WriterInner::H2(writer) => writer.head(method, target, headers, length),
        }
    }

    /// Adds to the body. A future given up before its end spoils the request.
    pub async fn data(&mut self, data: &[u8]) -> Result<(), ClientError> {
        match &mut self.inner {
            WriterInner::H1(writer) => writer.data(data).await,
            WriterInner::H2(writer) => writer.data(data).await,
        }
    }

    /// Sends what is buffered.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        match &mut self.inner {
            WriterInner::H1(writer) => writer.flush().await,
            WriterInner::H2(writer) => writer.flush().await,
        }
    }

    /// Awaits `future`, and flushes first if it is not ready at once. It is taken pinned: by value it would be held, and
    /// moved, twice.
    pub async fn flush_while<F: Future>(&mut self, mut future: Pin<&mut F>) -> Result<F::Output, ClientError> {
        if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return Ok(output);
        }
        self.flush().await?;
        Ok(future.await)
    }

    /// Ends the request and sends what is buffered.
    pub async fn finish(&mut self, trailers: Option<&Headers>) -> Result<(), ClientError> {
        match &mut self.inner {
            WriterInner::H1(writer) => writer.finish(trailers).await,
            WriterInner::H2(writer) => writer.finish(trailers).await,
        }
    }

    /// Bytes handed to the connection for this request (HTTP/2: of its body).
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        match &self.inner {
            WriterInner::H1(writer) => writer.bytes_sent(),
            WriterInner::H2(writer) => writer.bytes_sent(),
        }
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
pub struct Reader<'a> {
    inner: ReaderInner<'a>,
}

enum ReaderInner<'a> {
    H1(h1::Reader<'a>),
    H2(h2::Reader<'a>),
}

impl<'a> Reader<'a> {
    pub(super) fn h1(reader: h1::Reader<'a>) -> Self {
        Reader { inner: ReaderInner::H1(reader) }
    }

    pub(super) fn h2(reader: h2::Reader<'a>) -> Self {
        Reader { inner: ReaderInner::H2(reader) }
    }

    /// The next head, answering a request of `method`. The read timeout runs once the request is out.
    pub async fn head(&mut self, head: &mut ResponseHead, method: &Method) -> Result<Answer, ClientError> {
        match &mut self.inner {
            ReaderInner::H1(reader) => reader.head(head, method).await,
            ReaderInner::H2(reader) => reader.head(head).await,
        }
    }

    /// The next piece of the body, `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<&[u8]>, ClientError> {
        match &mut self.inner {
            ReaderInner::H1(reader) => reader.chunk().await,
            ReaderInner::H2(reader) => reader.chunk().await,
        }
    }

    /// Trailer fields; only after the end.
    #[must_use]
    pub fn trailers(&self) -> Option<&Headers> {
        match &self.inner {
            ReaderInner::H1(reader) => reader.trailers(),
            ReaderInner::H2(reader) => reader.trailers(),
        }
    }

    /// Whether everything was read: the next chunk would be `None` without waiting.
    #[must_use]
    pub fn is_end(&self) -> bool {
        match &self.inner {
            ReaderInner::H1(reader) => reader.is_end(),
            ReaderInner::H2(reader) => reader.is_end(),
        }
    }

    /// Bytes of this answer taken from the wire, heads and framing included (HTTP/2: the body alone).
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        match &self.inner {
            ReaderInner::H1(reader) => reader.bytes_received(),
            ReaderInner::H2(reader) => reader.bytes_received(),
        }
    }
}
