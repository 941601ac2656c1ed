//! Length-prefixed messages of gRPC: one byte of flags, four of length, the message.

use crate::FrameError;

/// Flags of the frame of gRPC-Web that holds the trailers.
pub const TRAILERS: u8 = 0x80;
/// The message is compressed.
const COMPRESSED: u8 = 1;
const PREFIX: usize = 5;

/// A message in its frame.
#[must_use]
pub fn frame(flags: u8, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(PREFIX + message.len());
    out.push(flags);
    out.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(message);
    out
}

/// Finds the messages in bytes that arrive split anywhere. Compressed ones are refused: nobody here asks for them.
#[derive(Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    start: usize,
    limit: usize,
    failed: Option<FrameError>,
}

impl Frames {
    /// Messages may have `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Frames { bytes: Vec::new(), start: 0, limit, failed: None }
    }

    /// Takes what came. Take the messages out after each piece: at most one that is not whole stays here.
    pub fn add(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.bytes.drain(..self.start);
            self.start = 0;
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// The next message, if it is there whole. The length that a frame announces is judged before its bytes are
    /// waited for.
    ///
    /// # Errors
    /// A message above the limit, or a compressed one; the same from then on.
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let rest = self.bytes.get(self.start..).unwrap_or_default();
        let Some(&[flags, a, b, c, d]) = rest.first_chunk::<PREFIX>() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > self.limit {
            return Err(self.fail(FrameError::TooLong { what: "gRPC message", limit: self.limit }));
        }
        if flags & COMPRESSED != 0 {
            return Err(self.fail(FrameError::Broken { format: "gRPC message", reason: "it is compressed" }));
        }
        let from = self.start + PREFIX;
        if self.bytes.len() < from + length {
            return Ok(None);
        }
        self.start = from + length;
        Ok(self.bytes.get(from..self.start))
    }

    fn fail(&mut self, error: FrameError) -> FrameError {
        self.bytes = Vec::new();
        self.start = 0;
        self.failed = Some(error.clone());
        error
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_wherever_the_bytes_are_split() {
        let stream = [frame(0, b"one"), frame(0, b""), frame(0, &[7; 300])].concat();
        for size in 1..stream.len() {
            let mut frames = Frames::new(300);
            let mut found: Vec<Vec<u8>> = Vec::new();
            for piece in stream.chunks(size) {
                frames.add(piece);
                while let Some(message) = frames.next_message().unwrap() {
                    found.push(message.to_vec());
                }
            }
            assert_eq!(found, [b"one".to_vec(), Vec::new(), vec![7; 300]], "pieces of {size}");
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_refused_before_its_bytes_come_and_nothing_is_found_behind_it() {
        for (start, words) in [(&[0, 0xff, 0xff, 0xff, 0xff][..], "longer"), (&[1, 0, 0, 0, 0], "compressed")] {
            let mut frames = Frames::new(1000);
            frames.add(start);
            assert!(frames.next_message().unwrap_err().to_string().contains(words));
            frames.add(&frame(0, b"more"));
            assert!(frames.next_message().is_err());
        }
    }
}
