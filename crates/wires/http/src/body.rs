//! A request body as the service reads it, whatever the protocol.

use gibbon_message::Headers;

use crate::BodyError;

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
#[derive(Debug)]
pub struct RequestBody<'a> {
    inner: &'a (),
}

impl RequestBody<'_> {
    #[must_use]
    pub fn length(&self) -> BodyLength {
        BodyLength::None
    }

    /// The next piece, `None` at the end. The first call sends `100 Continue` if the client waits for
    /// it and no answer has begun.
    pub async fn chunk(&mut self) -> Result<Option<&[u8]>, BodyError> {
        let () = self.inner;
        Ok(None)
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

    /// Whether the client waits for `100 Continue` before it sends the body.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        false
    }

    /// Bytes of this request taken from the wire so far, head and framing included.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        0
    }

    /// Waits until the client is gone. Costs no system call while nothing happens; what arrives
    /// meanwhile is kept for [`chunk`](Self::chunk), up to one buffer.
    pub async fn closed(&mut self) -> Gone {
        std::future::pending().await
    }
}
