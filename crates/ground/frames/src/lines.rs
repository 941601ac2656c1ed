//! JSON lines (NDJSON): one value per line, ended by LF or CRLF. Blank lines are skipped, a last
//! line without its end counts. Whether a line is valid JSON is the reader's business.

use crate::{DEFAULT_LIMIT, FrameError, carry::Carry};
use memchr::memchr;

/// Cuts a byte stream into lines.
#[derive(Debug)]
pub struct Splitter {
    line: Carry,
    failed: Option<FrameError>,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

impl Splitter {
    /// A splitter that refuses a line above `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { line: Carry::new(limit, "line"), failed: None }
    }

    /// Feeds one chunk; `on_line` sees every non-blank line that it completes.
    ///
    /// # Errors
    /// [`FrameError::TooLong`]; from then on every call returns the same error.
    pub fn push(&mut self, chunk: &[u8], mut on_line: impl FnMut(&[u8])) -> Result<(), FrameError> {
        if let Some(e) = &self.failed {
            return Err(e.clone());
        }
        let result = self.split(chunk, &mut on_line);
        if let Err(e) = &result {
            self.failed = Some(e.clone());
        }
        result
    }

    /// The body has ended: hands out a last line without its end.
    ///
    /// # Errors
    /// The error of an earlier [`push`](Self::push).
    pub fn finish(&mut self, on_line: impl FnMut(&[u8])) -> Result<(), FrameError> {
        self.push(b"\n", on_line)
    }

    fn split(&mut self, chunk: &[u8], on_line: &mut dyn FnMut(&[u8])) -> Result<(), FrameError> {
        let mut rest = chunk;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.line.check(line.len())?;
                hand_out(line, on_line);
            } else {
                self.line.push(line)?;
                hand_out(self.line.bytes(), on_line);
                self.line.clear();
            }
        }
        self.line.push(rest)
    }
}

fn hand_out(line: &[u8], on_line: &mut dyn FnMut(&[u8])) {
    let line = line.trim_ascii();
    if !line.is_empty() {
        on_line(line);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut got = Vec::new();
        let mut s = Splitter::new(1 << 16);
        for p in pieces {
            s.push(p, |l| got.push(l.to_vec())).unwrap();
        }
        s.finish(|l| got.push(l.to_vec())).unwrap();
        got
    }

    #[test]
    fn lines_come_without_their_ends_and_blank_ones_not_at_all() {
        assert_eq!(read(&[b"{\"a\":1}\r\n\n  \n{\"b\":2}"]), [b"{\"a\":1}".to_vec(), b"{\"b\":2}".to_vec()]);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut s = Splitter::new(8);
        assert!(s.push(b"12345678", |_| {}).is_ok());
        assert!(s.push(b"9", |_| {}).is_err());
        assert!(s.push(b"\n", |_| {}).is_err());
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_lines(text in "[a-c\n\r ]{0,60}", at in any::<prop::sample::Index>()) {
            let bytes = text.as_bytes();
            let whole = read(&[bytes]);
            let cut = at.index(bytes.len() + 1);
            prop_assert_eq!(&read(&[&bytes[..cut], &bytes[cut..]]), &whole);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&read(&single), &whole);
        }
    }
}
