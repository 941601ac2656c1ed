//! How large a head may grow before it is complete: nginx's rule of one small and a few large buffers.
//!
//! A line never straddles two buffers; one that does not fit the rest of the current buffer opens a
//! large one. Only heads that are incomplete or larger than the small buffer are scanned.

use memchr::memchr;

use crate::{HeadError, ServerSettings};

/// Looks at each byte of a growing head once.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Bytes looked at.
    position: usize,
    line_start: usize,
    /// Complete lines that held something.
    lines: usize,
    /// Room left in the current buffer.
    free: usize,
    large_used: usize,
}

impl Scan {
    pub(crate) fn new(settings: &ServerSettings) -> Self {
        Scan { position: 0, line_start: 0, lines: 0, free: settings.header_buffer, large_used: 0 }
    }

    /// Looks at what was added to `input` (all bytes of the head so far). `true`: the head is complete.
    pub(crate) fn advance(&mut self, input: &[u8], settings: &ServerSettings) -> Result<bool, HeadError> {
        while let Some(lf) = memchr(b'\n', input.get(self.position..).unwrap_or_default()) {
            let line_end = self.position + lf + 1;
            let line = input.get(self.line_start..line_end).unwrap_or_default();
            self.take(line.len(), settings)?;
            self.position = line_end;
            self.line_start = line_end;
            match (line, self.lines) {
                // Empty lines before the request line.
                (b"\n" | b"\r\n", 0) => {}
                (b"\n" | b"\r\n", _) => return Ok(true),
                _ => self.lines += 1,
            }
        }
        self.position = input.len();
        self.check_unfinished(input.len() - self.line_start, settings)?;
        Ok(false)
    }

    /// Bytes a head may have at most.
    pub(crate) fn limit(settings: &ServerSettings) -> usize {
        let (count, size) = settings.large_header_buffers;
        settings.header_buffer + count * size
    }

    fn take(&mut self, length: usize, settings: &ServerSettings) -> Result<(), HeadError> {
        let (count, size) = settings.large_header_buffers;
        if length > self.free {
            if length > size || self.large_used == count {
                return Err(self.too_large());
            }
            self.large_used += 1;
            self.free = size;
        }
        self.free -= length;
        Ok(())
    }

    /// A line without end that already fits nowhere.
    fn check_unfinished(&self, length: usize, settings: &ServerSettings) -> Result<(), HeadError> {
        let (count, size) = settings.large_header_buffers;
        let next = if self.large_used < count { size } else { 0 };
        if length < self.free.max(next) { Ok(()) } else { Err(self.too_large()) }
    }

    fn too_large(&self) -> HeadError {
        if self.lines == 0 { HeadError::UriTooLong } else { HeadError::HeaderTooLarge }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn scan(head: &str) -> Result<bool, HeadError> {
        let settings = ServerSettings::default();
        Scan::new(&settings).advance(head.as_bytes(), &settings)
    }

    fn head(target: usize, values: &[usize]) -> String {
        let fields: String = values.iter().map(|n| format!("X: {}\r\n", "b".repeat(*n))).collect();
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n{fields}\r\n", "a".repeat(target))
    }

    #[test]
    fn a_line_must_fit_one_large_buffer() {
        assert_eq!(scan(&head(8000, &[])), Ok(true));
        assert_eq!(scan(&head(8200, &[])), Err(HeadError::UriTooLong));
        assert_eq!(scan(&head(9000, &[])), Err(HeadError::UriTooLong));
        assert_eq!(scan(&head(0, &[8000])), Ok(true));
        assert_eq!(scan(&head(0, &[8300])), Err(HeadError::HeaderTooLarge));
    }

    #[test]
    fn a_head_must_fit_the_small_and_all_large_buffers() {
        assert_eq!(scan(&head(0, &[8000; 4])), Ok(true));
        assert_eq!(scan(&head(0, &[8000; 5])), Err(HeadError::HeaderTooLarge));
        // A large buffer takes one such line, not one and a half.
        assert_eq!(scan(&head(0, &[5000; 4])), Ok(true));
        assert_eq!(scan(&head(0, &[5000; 5])), Err(HeadError::HeaderTooLarge));
    }

    #[test]
    fn an_endless_line_is_refused_before_it_ends() {
        assert_eq!(scan(&"A".repeat(8000)), Ok(false));
        assert_eq!(scan(&"A".repeat(8200)), Err(HeadError::UriTooLong));
        assert_eq!(scan(&format!("GET / HTTP/1.1\r\n{}", "A".repeat(8200))), Err(HeadError::HeaderTooLarge));
    }

    #[test]
    fn a_head_that_comes_in_pieces_is_looked_at_once() {
        let settings = ServerSettings::default();
        let whole = format!("\r\n{}", head(10, &[20, 30]));
        let mut scan = Scan::new(&settings);
        for end in 0..whole.len() {
            assert_eq!(scan.advance(&whole.as_bytes()[..end], &settings), Ok(false), "{end}");
        }
        assert_eq!(scan.advance(whole.as_bytes(), &settings), Ok(true));
    }
}
