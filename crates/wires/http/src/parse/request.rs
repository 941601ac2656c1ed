//! A request head: request line, header fields, and what they say about the body that follows.

use gibbon_message::{Method, RequestHead, Version};
use memchr::{memchr, memchr2};

use super::fields::{self, FieldError, FieldLimits, Names};
use super::{Spans, target};
use crate::{BodyLength, HeadError};

/// Limits a request head is parsed under.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    pub max_headers: usize,
    pub ignore_invalid_headers: bool,
    /// Keep the request line as it came, also of a head that is refused.
    pub keep_line: bool,
}

/// What follows a head, and what becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFraming {
    /// Bytes the head took, leading empty lines included.
    pub consumed: usize,
    pub length: BodyLength,
    /// Whether the client wants to use the connection again.
    pub keep_alive: bool,
    /// Whether it waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
}

/// Parses one request head from the start of `input` into `head`. `None`: it is incomplete, and good
/// as far as it can be told. On an error `head` holds the request line if that much was good.
pub fn request_head(
    input: &[u8],
    limits: HeadLimits,
    spans: &mut Spans,
    head: &mut RequestHead,
) -> Result<Option<RequestFraming>, HeadError> {
    head.clear();
    let start = input.iter().take_while(|&&b| b == b'\r' || b == b'\n').count();
    let rest = input.get(start..).unwrap_or_default();
    if limits.keep_line {
        let end = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        head.line.extend_from_slice(rest.get(..end).unwrap_or_default());
    }
    let Some(lf) = memchr(b'\n', rest) else { return incomplete_line(rest) };
    let line = rest.get(..lf).unwrap_or_default();
    let authority = request_line(line.strip_suffix(b"\r").unwrap_or(line), head)?;

    let fields_start = start + lf + 1;
    let names = if limits.ignore_invalid_headers { Names::PlainOrDrop } else { Names::PlainOrRefuse };
    let field_limits = FieldLimits { lines: limits.max_headers, names, bare_lf: true };
    let Some(block) = fields::block(input, fields_start, field_limits, spans)? else { return Ok(None) };
    spans.load(input, fields_start, block, &mut head.headers)?;

    let seen = Seen::collect(input, spans)?;
    let framing = seen.framing(head.version, block.end)?;
    seen.check_host(head.version)?;
    if let Some(authority) = authority {
        // RFC 9112 3.2.2: the authority of an absolute form replaces the Host field.
        head.headers.set("Host", authority);
    }
    if matches!(head.method, Method::Trace | Method::Connect) {
        return Err(HeadError::MethodNotAllowed);
    }
    Ok(Some(framing))
}

impl From<FieldError> for HeadError {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::TooMany => HeadError::HeaderTooLarge,
            FieldError::Bad(why) => HeadError::BadRequest(why),
        }
    }
}

/// Tells rubbish (a TLS handshake, another protocol) from a request line still under way.
fn incomplete_line(line: &[u8]) -> Result<Option<RequestFraming>, HeadError> {
    let method = line.split(|&b| b == b' ').next().unwrap_or_default();
    let method = method.strip_suffix(b"\r").unwrap_or(method);
    if method.iter().all(|&b| is_method_byte(b)) { Ok(None) } else { Err(BAD_METHOD) }
}

const BAD_METHOD: HeadError = HeadError::BadRequest("invalid method");

/// nginx takes upper-case letters, `_` and `-`.
fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte == b'_' || byte == b'-'
}

/// Fills method, target and version; returns the authority of an absolute form.
fn request_line<'a>(line: &'a [u8], head: &mut RequestHead) -> Result<Option<&'a [u8]>, HeadError> {
    let (method, rest) = cut(line).ok_or(HeadError::BadRequest("no target in the request line"))?;
    if method.is_empty() || !method.iter().all(|&b| is_method_byte(b)) {
        return Err(BAD_METHOD);
    }
    head.method = Method::parse(method).ok_or(BAD_METHOD)?;
    let (target, rest) = cut(skip_spaces(rest)).ok_or(HeadError::BadRequest("no version in the request line"))?;
    let authority = target::read(target, &head.method, &mut head.target)?;
    head.version = version(skip_spaces(rest))?;
    Ok(authority)
}

/// What comes before and behind the first space.
fn cut(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = memchr(b' ', line)?;
    Some((line.get(..space)?, line.get(space + 1..)?))
}

fn skip_spaces(bytes: &[u8]) -> &[u8] {
    let spaces = bytes.iter().take_while(|&&b| b == b' ').count();
    bytes.get(spaces..).unwrap_or_default()
}

/// `HTTP/1.x`, with spaces behind it. Minor versions above 1 speak 1.1 (RFC 9110 2.5).
fn version(text: &[u8]) -> Result<Version, HeadError> {
    const BAD: HeadError = HeadError::BadRequest("invalid HTTP version");
    let spaces = text.iter().rev().take_while(|&&b| b == b' ').count();
    let text = text.get(..text.len() - spaces).unwrap_or_default();
    let digits = text.strip_prefix(b"HTTP/").ok_or(BAD)?;
    let (major, minor) = digits.split_at(memchr(b'.', digits).ok_or(BAD)?);
    let minor = minor.get(1..).unwrap_or_default();
    let number = |text: &[u8]| match text {
        [_, ..] if text.len() <= 3 && text.iter().all(u8::is_ascii_digit) => {
            Ok(text.iter().fold(0u32, |n, &b| n * 10 + u32::from(b - b'0')))
        }
        _ => Err(BAD),
    };
    match (number(major)?, number(minor)?) {
        (0, _) => Err(BAD),
        (1, 0) => Ok(Version::Http10),
        (1, 1..=99) => Ok(Version::Http11),
        (1, _) => Err(BAD),
        _ => Err(HeadError::UnsupportedVersion),
    }
}

/// The fields that decide on framing and the connection, and those that may come only once.
#[derive(Debug, Default)]
struct Seen<'a> {
    host: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
    expect: Option<&'a [u8]>,
    close: bool,
    keep_alive: bool,
    /// One bit per name of [`ONCE`].
    once: u8,
}

/// Fields that nginx refuses to see twice, beside those kept in [`Seen`].
const ONCE: [&str; 7] = [
    "authorization",
    "content-range",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
];

impl<'a> Seen<'a> {
    fn collect(input: &'a [u8], spans: &Spans) -> Result<Self, HeadError> {
        let mut seen = Seen::default();
        for (name, value) in spans.iter() {
            // The length rules out most fields without looking at their letters.
            if matches!(name.len, 4 | 6 | 8 | 10 | 13 | 14 | 17 | 19) {
                seen.note(fields::slice(input, name), fields::slice(input, value))?;
            }
        }
        Ok(seen)
    }

    fn note(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), HeadError> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let slot = match (name.len(), name.first().map_or(0, u8::to_ascii_lowercase)) {
            (4, b'h') if is("host") => &mut self.host,
            (6, b'e') if is("expect") => &mut self.expect,
            (14, b'c') if is("content-length") => &mut self.content_length,
            (17, b't') if is("transfer-encoding") => &mut self.transfer_encoding,
            (10, b'c') if is("connection") => {
                for option in fields::list(value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
                return Ok(());
            }
            (8 | 13 | 17 | 19, b'a' | b'c' | b'i') => return self.note_once(name),
            _ => return Ok(()),
        };
        if slot.replace(value).is_some() {
            return Err(HeadError::BadRequest("a field that may come once came twice"));
        }
        Ok(())
    }

    fn note_once(&mut self, name: &[u8]) -> Result<(), HeadError> {
        let Some(at) = ONCE.iter().position(|once| name.eq_ignore_ascii_case(once.as_bytes())) else { return Ok(()) };
        let bit = 1 << at;
        if self.once & bit != 0 {
            return Err(HeadError::BadRequest("a field that may come once came twice"));
        }
        self.once |= bit;
        Ok(())
    }

    /// RFC 9112 6.3, refusing whatever could be framed in two ways.
    fn framing(&self, version: Version, consumed: usize) -> Result<RequestFraming, HeadError> {
        let length = match (self.transfer_encoding, self.content_length) {
            (Some(_), _) if version == Version::Http10 => {
                return Err(HeadError::BadRequest("Transfer-Encoding in HTTP/1.0"));
            }
            (Some(coding), _) if !coding.eq_ignore_ascii_case(b"chunked") => {
                return Err(HeadError::UnsupportedTransferEncoding);
            }
            (Some(_), Some(_)) => return Err(HeadError::BadRequest("both Content-Length and Transfer-Encoding")),
            (Some(_), None) => BodyLength::Unknown,
            (None, Some(text)) => {
                BodyLength::Exact(fields::content_length(text).ok_or(HeadError::BadRequest("invalid Content-Length"))?)
            }
            (None, None) => BodyLength::None,
        };
        let keep_alive = !self.close && (version != Version::Http10 || self.keep_alive);
        let expects = self.expect.is_some_and(|e| e.eq_ignore_ascii_case(b"100-continue"));
        let has_body = !matches!(length, BodyLength::None | BodyLength::Exact(0));
        let expect_continue = expects && has_body && version != Version::Http10;
        Ok(RequestFraming { consumed, length, keep_alive, expect_continue })
    }

    fn check_host(&self, version: Version) -> Result<(), HeadError> {
        match self.host {
            None if version == Version::Http10 => Ok(()),
            None => Err(HeadError::BadRequest("no Host header")),
            Some(host) if target::is_host(host) => Ok(()),
            Some(_) => Err(HeadError::BadRequest("invalid Host header")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { max_headers: 100, ignore_invalid_headers: true, keep_line: true };

    fn parse(input: &str) -> Result<Option<(RequestHead, RequestFraming)>, HeadError> {
        let mut head = RequestHead::default();
        let framing = request_head(input.as_bytes(), LIMITS, &mut Spans::default(), &mut head)?;
        Ok(framing.map(|framing| (head, framing)))
    }

    fn parsed(input: &str) -> (RequestHead, RequestFraming) {
        parse(input).unwrap().unwrap()
    }

    fn refused(input: &str) -> u16 {
        parse(input).unwrap_err().status()
    }

    fn with_fields(fields: &str) -> String {
        format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
    }

    fn fields(head: &RequestHead) -> Vec<(String, String)> {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        head.headers.iter().map(|(n, v)| (text(n), text(v))).collect()
    }

    #[test]
    fn a_plain_head_is_taken_apart() {
        let (head, framing) = parsed("GET /a?b=c HTTP/1.1\r\nHost: x.test\r\nX-A:  1 \t\r\nX-B:\r\n\r\nrest");
        assert_eq!(head.method, Method::Get);
        assert_eq!(head.target, b"/a?b=c");
        assert_eq!(head.version, Version::Http11);
        let expected = [("Host", "x.test"), ("X-A", "1"), ("X-B", "")].map(|(n, v)| (n.to_string(), v.to_string()));
        assert_eq!(fields(&head), expected);
        assert_eq!(framing.length, BodyLength::None);
        assert!(framing.keep_alive);
    }

    #[test]
    fn what_nginx_takes_harmlessly_is_taken() {
        for input in [
            "GET / HTTP/1.1\nHost: a\n\n",
            "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET   /   HTTP/1.1  \r\nHost: a\r\n\r\n",
            "GET / HTTP/1.10\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "_GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /caf\u{e9}#x\"<> HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert!(parse(input).unwrap().is_some(), "{input:?}");
        }
    }

    #[test]
    fn bad_request_lines_are_refused() {
        for (input, status) in [
            ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\t\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("GET ?x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /x?a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /\r\nHost: a\r\n\r\n", 400),
            ("\x16\x03\x01\x02", 400),
            ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
            ("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
            ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ] {
            assert_eq!(refused(input), status, "{input:?}");
        }
    }

    #[test]
    fn header_lines_that_could_be_read_in_two_ways_are_refused() {
        for fields in [
            "X-Space : 1\r\n",
            " Folded: 1\r\n",
            "X-A: 1\r\n folded\r\n",
            "X-A: 1\r\n\tfolded\r\n",
            "X-Nul: a\0b\r\n",
            "X-Cr: a\rb\r\n",
            "X-Cr: a\r\r\n",
            "X\rY: a\r\n",
            ": empty\r\n",
        ] {
            assert_eq!(refused(&with_fields(fields)), 400, "{fields:?}");
        }
    }

    #[test]
    fn odd_fields_are_dropped_or_made_harmless() {
        let (head, _) = parsed(&with_fields("NoColon\r\nX(Y): 1\r\nX.dot: 2\r\nX_under: 3\r\nX-Ctl: a\x01b\r\n"));
        let expected = [("Host", "a"), ("NoColon", ""), ("X_under", "3"), ("X-Ctl", "a%01b")];
        assert_eq!(fields(&head), expected.map(|(n, v)| (n.to_string(), v.to_string())));
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for (fields, status) in [
            ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Content-Length: 3\r\nContent-Length: 3\r\n", 400),
            ("Content-Length: 3\r\nContent-Length: 4\r\n", 400),
            ("Content-Length: -1\r\n", 400),
            ("Content-Length: +3\r\n", 400),
            ("Content-Length: 3, 3\r\n", 400),
            ("Content-Length: 0x3\r\n", 400),
            ("Content-Length:\r\n", 400),
            ("Content-Length: 99999999999999999999\r\n", 400),
            ("Transfer-Encoding: identity\r\n", 501),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
            ("Transfer-Encoding: chunked, chunked\r\n", 501),
            ("Transfer-Encoding:\r\n", 501),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Host: b\r\n", 400),
            ("Authorization: x\r\nAuthorization: y\r\n", 400),
        ] {
            assert_eq!(refused(&with_fields(fields)), status, "{fields:?}");
        }
        assert_eq!(refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
    }

    #[test]
    fn the_body_length_is_found() {
        assert_eq!(parsed(&with_fields("content-length: 007\r\n")).1.length, BodyLength::Exact(7));
        assert_eq!(parsed(&with_fields("Transfer-Encoding: Chunked\r\n")).1.length, BodyLength::Unknown);
        assert!(parsed(&with_fields("Content-Length: 1\r\nExpect: 100-Continue\r\n")).1.expect_continue);
        assert!(!parsed(&with_fields("Expect: 100-continue\r\n")).1.expect_continue);
    }

    #[test]
    fn the_client_says_whether_it_will_come_again() {
        let asks = |version: &str, connection: &str| {
            parsed(&format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n")).1.keep_alive
        };
        assert!(asks("1.1", ""));
        assert!(!asks("1.1", "Connection: x, Close\r\n"));
        assert!(!asks("1.0", ""));
        assert!(asks("1.0", "Connection: Keep-Alive\r\n"));
        assert!(!asks("1.0", "Connection: keep-alive\r\nConnection: close\r\n"));
    }

    #[test]
    fn a_host_is_wanted_from_1_1_on() {
        assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), 400);
        for host in ["", "a b", "a/b", "a..b", ":80"] {
            assert_eq!(refused(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), 400, "{host:?}");
        }
    }

    #[test]
    fn every_beginning_of_a_good_head_is_incomplete() {
        let whole = "\r\nPOST http://b/x HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nContent-Length: 3\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]).unwrap().map(|_| ()), None, "{end}");
        }
        assert_eq!(parsed(whole).1.consumed, whole.len());
    }

    #[test]
    fn the_request_line_is_kept_as_it_came_also_of_rubbish() {
        let kept = |input: &[u8]| {
            let mut head = RequestHead::default();
            let _ = request_head(input, LIMITS, &mut Spans::default(), &mut head);
            String::from_utf8(head.line).unwrap()
        };
        assert_eq!(kept(b"\r\nGET  http://a/b   HTTP/1.1\r\nHost: a\r\n\r\n"), "GET  http://a/b   HTTP/1.1");
        assert_eq!(kept(b"GET /%zz HTTP/1.1\nHost: a\n\n"), "GET /%zz HTTP/1.1");
        assert_eq!(kept(b"\x16\x03\x01"), "\x16\x03\x01");
        let unkept = HeadLimits { keep_line: false, ..LIMITS };
        let mut head = RequestHead { line: b"former".to_vec(), ..RequestHead::default() };
        let _ = request_head(b"GET / HTTP/1.0\n\n", unkept, &mut Spans::default(), &mut head);
        assert!(head.line.is_empty());
    }

    #[test]
    fn a_refused_head_still_tells_its_request_line() {
        let mut head = RequestHead::default();
        let input = b"PUT /x HTTP/1.1\r\nHost: a\r\nbad name: 1\r\n\r\n";
        assert!(request_head(input, LIMITS, &mut Spans::default(), &mut head).is_err());
        assert_eq!((head.method, head.target), (Method::Put, b"/x".to_vec()));
    }
}
