//! Where an HTTP/1.1 message ends: only as much parsing as counting needs, on bytes that arrive in pieces.

use memchr::memmem;

/// What a head says about its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes up to and with the empty line.
    pub length: usize,
    /// The status code; 0 for a request.
    pub status: u16,
    /// How the body ends.
    pub body: Body,
    /// Whether the sender closes afterwards.
    pub close: bool,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// After so many bytes.
    Length(usize),
    /// With an empty chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// Reads an answer's head; none while it is incomplete.
#[must_use]
pub fn answer_head(bytes: &[u8], head_only: bool) -> Option<Head> {
    let length = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let head = bytes.get(..length)?;
    let status = status_of(head);
    let body = match framing(head) {
        _ if head_only || matches!(status, 101 | 204 | 304) || status < 200 => Body::Length(0),
        Some(body) => body,
        None => Body::UntilClose,
    };
    Some(Head { length, status, body, close: says_close(head) })
}

/// Reads a request's head; none while it is incomplete.
#[must_use]
pub fn request_head(bytes: &[u8]) -> Option<Head> {
    let length = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let head = bytes.get(..length)?;
    // Most requests of a benchmark: nothing to look for.
    let body = if head.starts_with(b"GET ") { None } else { framing(head) };
    Some(Head { length, status: 0, body: body.unwrap_or(Body::Length(0)), close: says_close(head) })
}

/// The length of a chunked body at the start of `bytes`, with the bytes of content in it; none while it is incomplete.
#[must_use]
pub fn chunked_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let (mut at, mut content) = (0, 0);
    loop {
        let line = bytes.get(at..)?;
        let end = memmem::find(line, b"\r\n")?;
        let size = hexadecimal(line.get(..end)?);
        at += end + 2;
        if size == 0 {
            // Trailers, perhaps, then an empty line.
            let rest = bytes.get(at..)?;
            if rest.starts_with(b"\r\n") {
                return Some((at + 2, content));
            }
            return Some((at + memmem::find(rest, b"\r\n\r\n")? + 4, content));
        }
        at += size + 2;
        content += size;
        if at > bytes.len() {
            return None;
        }
    }
}

fn status_of(head: &[u8]) -> u16 {
    let digits = head.get(9..12).unwrap_or_default();
    digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit.saturating_sub(b'0')))
}

fn hexadecimal(line: &[u8]) -> usize {
    let digits = line.iter().map_while(|byte| char::from(*byte).to_digit(16));
    digits.fold(0, |size, digit| (size << 4) | digit as usize)
}

fn framing(head: &[u8]) -> Option<Body> {
    if let Some(value) = field(head, b"content-length:") {
        return Some(Body::Length(
            value
                .iter()
                .filter(|byte| byte.is_ascii_digit())
                .fold(0, |length, digit| length * 10 + usize::from(*digit - b'0')),
        ));
    }
    field(head, b"transfer-encoding:").map(|_| Body::Chunked)
}

fn says_close(head: &[u8]) -> bool {
    field(head, b"connection:").is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// The value of the first field line that starts with `name` (lower case, with its colon).
fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = head;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        rest = rest.get(end + 1..)?;
        if rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            let value = rest.get(name.len()..)?;
            return value.get(..memchr::memchr(b'\r', value)?);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_once_its_head_is_complete() {
        let text = b"HTTP/1.1 200 OK\r\nserver: x\r\ncontent-LENGTH:  42\r\nConnection: close\r\n\r\nbody";
        let head = answer_head(text, false).unwrap();
        assert_eq!(head, Head { length: text.len() - 4, status: 200, body: Body::Length(42), close: true });
        assert_eq!(answer_head(&text[..40], false), None);
        assert_eq!(answer_head(text, true).unwrap().body, Body::Length(0));
    }

    #[test]
    fn a_body_without_length_ends_with_its_chunks_or_the_connection() {
        let chunked = answer_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false).unwrap();
        assert_eq!(chunked.body, Body::Chunked);
        assert_eq!(answer_head(b"HTTP/1.0 200 OK\r\n\r\n", false).unwrap().body, Body::UntilClose);
        assert_eq!(answer_head(b"HTTP/1.1 204 No\r\n\r\n", false).unwrap().body, Body::Length(0));
    }

    #[test]
    fn a_chunked_body_is_measured_when_it_is_whole() {
        let body = b"3\r\nabc\r\nA;x\r\n0123456789\r\n0\r\nX: y\r\n\r\nrest";
        assert_eq!(chunked_length(body), Some((body.len() - 4, 13)));
        for cut in 0..body.len() - 5 {
            assert_eq!(chunked_length(&body[..cut]), None, "{cut}");
        }
        assert_eq!(chunked_length(b"0\r\n\r\n"), Some((5, 0)));
    }

    #[test]
    fn requests_have_a_body_only_if_they_say_so() {
        assert_eq!(request_head(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap().body, Body::Length(0));
        assert_eq!(request_head(b"POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\n").unwrap().body, Body::Length(7));
    }
}
