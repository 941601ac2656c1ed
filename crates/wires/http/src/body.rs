//! A request body as the service reads it, whatever the protocol.

use gibbon_message::Headers;

use crate::{BodyError, h1, h2};

/// How long a body is, as far as its head tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    None,
    Exact(u64),
    /// Chunked, until the connection closes, or HTTP/2 without a `content-length`.
    Unknown,
}

impl BodyLength {
    /// The number of bytes, when it is known.
    #[must_use]
    pub fn exact(self) -> Option<u64> {
        match self {
            BodyLength::None => Some(0),
            BodyLength::Exact(length) => Some(length),
            BodyLength::Unknown => None,
        }
    }
}

/// How a client went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It will send nothing more (half-close); it may still read the answer.
    Finished,
    /// The connection or stream broke.
    Broken,
}

/// The body of one request. Chunks are lent: each is valid until the next call.
pub struct RequestBody<'a> {
    inner: Inner<'a>,
}

enum Inner<'a> {
    H1(h1::Body<'a>),
    H2(h2::Body<'a>),
}

impl<'a> RequestBody<'a> {
    pub(crate) fn h1(body: h1::Body<'a>) -> Self {
        RequestBody { inner: Inner::H1(body) }
    }

    pub(crate) fn h2(body: h2::Body<'a>) -> Self {
        RequestBody { inner: Inner::H2(body) }
    }

    #[must_use]
    pub fn length(&self) -> BodyLength {
        match &self.inner {
            Inner::H1(body) => body.length,
            Inner::H2(body) => body.length,
        }
    }

    /// The next piece, `None` at the end. The first call sends `100 Continue` if the client waits for
    /// it and no answer has begun.
    pub async fn chunk(&mut self) -> Result<Option<&[u8]>, BodyError> {
        match &mut self.inner {
            Inner::H1(body) => body.chunk().await,
            Inner::H2(body) => body.chunk().await,
        }
    }

    /// Trailer fields; only after the end.
    #[must_use]
    pub fn trailers(&self) -> Option<&Headers> {
        match &self.inner {
            Inner::H1(body) => body.source.trailers.as_deref(),
            Inner::H2(body) => body.inflow.trailers(),
        }
    }

    /// Whether everything was read: the next chunk would be `None` without waiting.
    #[must_use]
    pub fn is_end(&self) -> bool {
        match &self.inner {
            Inner::H1(body) => body.source.decoder.is_end(),
            Inner::H2(body) => body.inflow.is_end(),
        }
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        match &self.inner {
            Inner::H1(body) => body.link.continue_wanted.get(),
            Inner::H2(body) => body.link.continue_wanted.get(),
        }
    }

    /// Bytes of this request taken from the wire so far, head and framing included
    /// (HTTP/2: of the body alone).
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        match &self.inner {
            Inner::H1(body) => body.source.received(),
            Inner::H2(body) => body.inflow.received(),
        }
    }

    /// Waits until the client is gone. Costs no system call while nothing happens; what arrives
    /// meanwhile is kept for [`chunk`](Self::chunk), up to one buffer.
    pub async fn closed(&mut self) -> Gone {
        match &mut self.inner {
            Inner::H1(body) => body.closed().await,
            Inner::H2(body) => body.closed().await,
        }
    }

    pub(crate) fn into_h1(self) -> Option<h1::Body<'a>> {
        match self.inner {
            Inner::H1(body) => Some(body),
            Inner::H2(_) => None,
        }
    }
}
