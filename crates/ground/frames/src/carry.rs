//! The bytes of a frame that began in an earlier chunk. Bounded; empties without giving back more
//! than it should keep.

use crate::FrameError;

/// What an idle stream may keep allocated between frames.
const KEEP: usize = 16 * 1024;

/// A bounded buffer for the unfinished part of a frame.
#[derive(Debug)]
pub(crate) struct Carry {
    bytes: Vec<u8>,
    limit: usize,
    what: &'static str,
}

impl Carry {
    pub(crate) fn new(limit: usize, what: &'static str) -> Self {
        Self { bytes: Vec::new(), limit, what }
    }

    /// Appends, or refuses when the whole would be longer than the limit.
    pub(crate) fn push(&mut self, more: &[u8]) -> Result<(), FrameError> {
        self.check(more.len())?;
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    /// Whether `more` bytes still fit.
    pub(crate) fn check(&self, more: usize) -> Result<(), FrameError> {
        if self.bytes.len().saturating_add(more) > self.limit {
            return Err(FrameError::TooLong { what: self.what, limit: self.limit });
        }
        Ok(())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Empties the buffer. One large frame must not pin its memory for the life of the stream.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
    }
}
