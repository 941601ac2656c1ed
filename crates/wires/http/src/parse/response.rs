//! A response head: status line, header fields, and what they say about the body that follows.

use gibbon_message::{Method, ResponseHead, Version};
use memchr::memchr;

use super::Spans;
use super::fields::{self, FieldError, FieldLimits, Names};
use crate::BodyLength;

/// Why an upstream's head is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    #[error("too many header lines")]
    TooManyHeaders,
    #[error("{0}")]
    Invalid(&'static str),
}

/// What follows a head, and what becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseFraming {
    /// Bytes the head took.
    pub consumed: usize,
    pub length: BodyLength,
    /// With an unknown length: chunked, or else until the connection closes.
    pub chunked: bool,
    /// Whether the connection may serve another request once the body has ended.
    pub keep_alive: bool,
}

/// Parses one response head, answering a request of `method`, from the start of `input` into `head`.
/// `None`: it is incomplete.
pub fn response_head(
    input: &[u8],
    max_headers: usize,
    method: &Method,
    spans: &mut Spans,
    head: &mut ResponseHead,
) -> Result<Option<ResponseFraming>, ResponseError> {
    head.clear();
    let Some(lf) = memchr(b'\n', input) else { return incomplete_line(input) };
    let line = input.get(..lf).unwrap_or_default();
    status_line(line.strip_suffix(b"\r").unwrap_or(line), head)?;

    let limits = FieldLimits { lines: max_headers, names: Names::TokenOrDrop, bare_lf: true };
    let Some(block) = fields::block(input, lf + 1, limits, spans)? else { return Ok(None) };
    spans.load(input, lf + 1, block, &mut head.headers)?;
    framing(input, spans, head, method, block.end).map(Some)
}

impl From<FieldError> for ResponseError {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::TooMany => ResponseError::TooManyHeaders,
            FieldError::Bad(why) => ResponseError::Invalid(why),
        }
    }
}

fn incomplete_line(line: &[u8]) -> Result<Option<ResponseFraming>, ResponseError> {
    let start = b"HTTP/1.";
    let seen = line.len().min(start.len());
    if line.get(..seen) == start.get(..seen) { Ok(None) } else { Err(ResponseError::Invalid("no HTTP/1 status line")) }
}

/// `HTTP/1.x SSS[ reason]`. The reason is dropped: it carries nothing (RFC 9112 4).
fn status_line(line: &[u8], head: &mut ResponseHead) -> Result<(), ResponseError> {
    const BAD: ResponseError = ResponseError::Invalid("invalid status line");
    let rest = line.strip_prefix(b"HTTP/1.").ok_or(ResponseError::Invalid("no HTTP/1 status line"))?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (minor, rest) = rest.split_at(digits);
    head.version = match minor {
        b"0" => Version::Http10,
        [_] | [_, _] => Version::Http11,
        _ => return Err(BAD),
    };
    let [b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', reason @ ..] = rest else { return Err(BAD) };
    if !(reason.is_empty() || reason.first() == Some(&b' ')) || reason.iter().any(|&b| b == 0 || b == b'\r') {
        return Err(BAD);
    }
    head.status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    Ok(())
}

/// RFC 9112 6.3, refusing whatever could be framed in two ways.
fn framing(
    input: &[u8],
    spans: &Spans,
    head: &ResponseHead,
    method: &Method,
    consumed: usize,
) -> Result<ResponseFraming, ResponseError> {
    let mut content_length = None;
    let mut chunked = false;
    let (mut close, mut keep_alive) = (false, false);
    for (name, value) in spans.iter().filter(|(name, _)| matches!(name.len, 10 | 14 | 17)) {
        let (name, value) = (fields::slice(input, name), fields::slice(input, value));
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = fields::content_length(value).ok_or(ResponseError::Invalid("invalid Content-Length"))?;
            if content_length.replace(length).is_some() {
                return Err(ResponseError::Invalid("more than one Content-Length"));
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(ResponseError::Invalid("transfer coding other than chunked"));
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            for option in fields::list(value) {
                close |= option.eq_ignore_ascii_case(b"close");
                keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
    }
    if chunked && content_length.is_some() {
        return Err(ResponseError::Invalid("both Content-Length and Transfer-Encoding"));
    }
    let bodiless = *method == Method::Head || matches!(head.status, 100..=199 | 204 | 304);
    let length = match (bodiless, content_length) {
        (true, _) => BodyLength::None,
        (false, Some(length)) => BodyLength::Exact(length),
        (false, None) => BodyLength::Unknown,
    };
    let delimited = length != BodyLength::Unknown || chunked;
    // Chunked framing in HTTP/1.0 is suspect (RFC 9112 6.1): read it, but do not go on after it.
    let persists = if head.version == Version::Http10 { keep_alive && !chunked } else { true };
    let keep_alive = persists && !close && delimited;
    Ok(ResponseFraming { consumed, length, chunked: chunked && !bodiless, keep_alive })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(method: Method, input: &str) -> Result<Option<(ResponseHead, ResponseFraming)>, ResponseError> {
        let mut head = ResponseHead::default();
        let framing = response_head(input.as_bytes(), 100, &method, &mut Spans::default(), &mut head)?;
        Ok(framing.map(|framing| (head, framing)))
    }

    fn framing(input: &str) -> ResponseFraming {
        parse(Method::Get, input).unwrap().unwrap().1
    }

    #[test]
    fn status_lines_in_use_are_read() {
        for line in ["HTTP/1.1 200 OK", "HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.1 200 a b", "HTTP/1.2 200 OK"] {
            let (head, _) = parse(Method::Get, &format!("{line}\r\n\r\n")).unwrap().unwrap();
            assert_eq!((head.status, head.version), (200, Version::Http11), "{line}");
        }
        let (head, _) = parse(Method::Get, "HTTP/1.0 999 x\n\n").unwrap().unwrap();
        assert_eq!((head.status, head.version), (999, Version::Http10));
    }

    #[test]
    fn other_status_lines_are_refused() {
        for line in [
            "HTTP/1.1 20 OK",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 099 x",
            "HTTP/1.1200 OK",
            "HTTP/2 200 OK",
            "ICY 200 OK",
            "<html>",
        ] {
            assert!(parse(Method::Get, &format!("{line}\r\n\r\n")).is_err(), "{line}");
        }
        assert!(parse(Method::Get, "SSH-2.0").is_err());
    }

    #[test]
    fn the_body_is_framed_by_length_chunks_or_close() {
        let sized = framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        assert_eq!((sized.length, sized.keep_alive), (BodyLength::Exact(5), true));
        let chunked = framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!((chunked.length, chunked.chunked, chunked.keep_alive), (BodyLength::Unknown, true, true));
        let closing = framing("HTTP/1.1 200 OK\r\n\r\n");
        assert_eq!((closing.length, closing.chunked, closing.keep_alive), (BodyLength::Unknown, false, false));
    }

    #[test]
    fn some_answers_have_no_body_whatever_they_say() {
        let fields = "Content-Length: 5\r\n\r\n";
        for status in [101, 103, 204, 304] {
            let found = framing(&format!("HTTP/1.1 {status} x\r\n{fields}"));
            assert_eq!((found.length, found.keep_alive), (BodyLength::None, true), "{status}");
        }
        let (_, head) = parse(Method::Head, &format!("HTTP/1.1 200 OK\r\n{fields}")).unwrap().unwrap();
        assert_eq!(head.length, BodyLength::None);
        let (_, head) = parse(Method::Head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap().unwrap();
        assert_eq!((head.length, head.chunked), (BodyLength::None, false));
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: x\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "X-A: 1\r\n folded\r\n",
            "X A: 1\r\n",
            "X-A: a\0b\r\n",
        ] {
            assert!(parse(Method::Get, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).is_err(), "{fields:?}");
        }
    }

    #[test]
    fn the_connection_is_kept_if_both_sides_may() {
        let kept = |version: &str, fields: &str| {
            framing(&format!("HTTP/{version} 200 OK\r\nContent-Length: 0\r\n{fields}\r\n")).keep_alive
        };
        assert!(kept("1.1", ""));
        assert!(!kept("1.1", "Connection: close\r\n"));
        assert!(!kept("1.0", ""));
        assert!(kept("1.0", "Connection: keep-alive\r\n"));
    }

    #[test]
    fn names_beyond_nginx_requests_are_kept() {
        let (head, _) = parse(Method::Get, "HTTP/1.1 200 OK\r\nX.dot: 1\r\nX(Y): 2\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.headers.get("x.dot"), Some(&b"1"[..]));
        assert_eq!(head.headers.len(), 1);
    }
}
