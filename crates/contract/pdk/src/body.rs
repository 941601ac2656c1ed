//! The request body as plugins see it: unread while it streams, whole once somebody asked for it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// A body that was too large for memory and lies in a file that is gone when the last handle is.
#[derive(Clone)]
pub struct SpooledBody {
    pub file: Arc<std::fs::File>,
    pub len: u64,
}

impl fmt::Debug for SpooledBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpooledBody({} bytes)", self.len)
    }
}

/// State of the request body.
#[derive(Clone, Debug, Default)]
pub enum RequestBody {
    /// The request has none.
    #[default]
    Empty,
    /// Not read yet: return [`Flow::ReadBody`](crate::Flow::ReadBody) to have it buffered.
    Unread,
    /// Whole, in memory; also what a plugin sets to replace the body.
    Whole(Bytes),
    /// Whole, but above `client_body_buffer_size`.
    Spooled(SpooledBody),
}

impl RequestBody {
    #[must_use]
    pub fn is_unread(&self) -> bool {
        matches!(self, RequestBody::Unread)
    }

    /// The bytes, if the body is whole and in memory; empty for a request without one.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            RequestBody::Empty => Some(&[]),
            RequestBody::Whole(bytes) => Some(bytes),
            RequestBody::Unread | RequestBody::Spooled(_) => None,
        }
    }
}
