//! Length-prefixed messages of gRPC: one byte of flags, four of length, the message. Found in bytes that arrive split
//! anywhere.

use super::LONGEST_MESSAGE;

/// Flags of the frame of gRPC-Web that holds the trailers.
pub const TRAILERS: u8 = 0x80;
/// The message is compressed.
const COMPRESSED: u8 = 1;
const PREFIX: usize = 5;

/// Why bytes are no frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a message is larger than {LONGEST_MESSAGE} bytes")]
    TooLong,
    #[error("a message is compressed")]
    Compressed,
}

/// A message in its frame.
pub fn frame(flags: u8, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(PREFIX + message.len());
    out.push(flags);
    out.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(message);
    out
}

/// Bytes that have come, less the messages that were taken out.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    start: usize,
}

impl Frames {
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message, if it is there whole. The length that a frame announces is judged before its bytes are
    /// waited for.
    pub fn next(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let rest = self.bytes.get(self.start..).unwrap_or_default();
        let Some((&[flags, a, b, c, d], behind)) = rest.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > LONGEST_MESSAGE {
            return Err(FrameError::TooLong);
        }
        if flags & COMPRESSED != 0 {
            return Err(FrameError::Compressed);
        }
        let Some(message) = behind.get(..length) else { return Ok(None) };
        self.start += PREFIX + length;
        Ok(Some(message))
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
            let mut frames = Frames::default();
            let mut found: Vec<Vec<u8>> = Vec::new();
            for piece in stream.chunks(size) {
                frames.add(piece);
                while let Some(message) = frames.next().unwrap() {
                    found.push(message.to_vec());
                }
            }
            assert_eq!(found, [b"one".to_vec(), Vec::new(), vec![7; 300]], "pieces of {size}");
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_refused_before_its_bytes_come() {
        let mut frames = Frames::default();
        frames.add(&[0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(frames.next(), Err(FrameError::TooLong));
        let mut frames = Frames::default();
        frames.add(&[1, 0, 0, 0, 0]);
        assert_eq!(frames.next(), Err(FrameError::Compressed));
    }
}
