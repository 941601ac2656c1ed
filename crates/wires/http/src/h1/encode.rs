//! Heads as bytes. Framing fields are written here and nowhere else.

use gibbon_message::{Headers, Method, ResponseHead, reason};

use crate::BodyLength;

/// What a response head says beyond the fields given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseLines<'a> {
    /// Written unless the head has one.
    pub date: Option<&'a [u8]>,
    pub length: LengthLine,
    pub connection: ConnectionLine,
}

/// The field that delimits a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LengthLine {
    None,
    Exact(u64),
    Chunked,
    /// The `Content-Length` among the given fields, for an answer that has no body itself.
    AsGiven,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionLine {
    /// With the seconds of a `Keep-Alive: timeout=` field, if one is wanted.
    KeepAlive(Option<u64>),
    Close,
    /// As given; for informational heads and 101.
    AsGiven,
}

pub(crate) fn write_response_head(out: &mut Vec<u8>, head: &ResponseHead, lines: ResponseLines<'_>) {
    out.reserve(head.headers.wire_len() + 160);
    write_status_line(out, head.status);
    let mut date = lines.date;
    let mut offers_upgrade = false;
    head.headers.write_lines(out, |name, value| {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match shape(name) {
            (4, b'd') if date.is_some() && is("date") => date = None,
            // `Connection: Upgrade` belongs to an `Upgrade` field that the service offers (426, RFC 9110 15.5.22).
            (10, b'c') if lines.connection != ConnectionLine::AsGiven && is("connection") => {
                offers_upgrade |= value.eq_ignore_ascii_case(b"upgrade");
                return false;
            }
            (10, b'k') if lines.connection != ConnectionLine::AsGiven => return !is("keep-alive"),
            (14, b'c') if lines.length != LengthLine::AsGiven => return !is("content-length"),
            (17, b't') => return !is("transfer-encoding"),
            _ => {}
        }
        true
    });
    if let Some(date) = date {
        write_field(out, b"Date", date);
    }
    write_length(out, lines.length);
    match lines.connection {
        ConnectionLine::KeepAlive(None) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        ConnectionLine::KeepAlive(Some(seconds)) => {
            out.extend_from_slice(b"Connection: keep-alive\r\nKeep-Alive: timeout=");
            out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        ConnectionLine::Close => out.extend_from_slice(b"Connection: close\r\n"),
        ConnectionLine::AsGiven => {}
    }
    if offers_upgrade {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// A 1xx head. It has no body, so nothing that would delimit one is written.
pub(crate) fn write_informational(out: &mut Vec<u8>, status: u16, headers: &Headers) {
    write_status_line(out, status);
    write_fields_unframed(out, headers);
    out.extend_from_slice(b"\r\n");
}

/// A request head. The target cannot break the line, whatever it holds.
pub(crate) fn write_request_head(
    out: &mut Vec<u8>,
    method: &Method,
    target: &[u8],
    headers: &Headers,
    length: BodyLength,
) {
    out.reserve(headers.wire_len() + target.len() + 128);
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    write_target(out, target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_fields_unframed(out, headers);
    write_length(
        out,
        match length {
            BodyLength::None => LengthLine::None,
            BodyLength::Exact(length) => LengthLine::Exact(length),
            BodyLength::Unknown => LengthLine::Chunked,
        },
    );
    out.extend_from_slice(b"\r\n");
}

/// Trailer fields and the empty line behind them.
pub(crate) fn write_trailers(out: &mut Vec<u8>, trailers: Option<&Headers>) {
    if let Some(trailers) = trailers {
        write_fields_unframed(out, trailers);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn write_fields_unframed(out: &mut Vec<u8>, headers: &Headers) {
    headers.write_lines(out, |name, _| match shape(name) {
        (14, b'c') => !name.eq_ignore_ascii_case(b"content-length"),
        (17, b't') => !name.eq_ignore_ascii_case(b"transfer-encoding"),
        _ => true,
    });
}

/// Length and first letter in lower case: enough to tell nearly every name from the few that matter.
fn shape(name: &[u8]) -> (usize, u8) {
    (name.len(), name.first().map_or(0, u8::to_ascii_lowercase))
}

fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn write_length(out: &mut Vec<u8>, length: LengthLine) {
    match length {
        LengthLine::None | LengthLine::AsGiven => {}
        LengthLine::Exact(length) => {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        LengthLine::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
}

fn write_target(out: &mut Vec<u8>, target: &[u8]) {
    let breaks = |b: &u8| *b <= b' ' || *b == 0x7f;
    if target.is_empty() {
        out.push(b'/');
    } else if !target.iter().any(breaks) {
        out.extend_from_slice(target);
    } else {
        for byte in target {
            if breaks(byte) {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            } else {
                out.push(*byte);
            }
        }
    }
}

/// The line before a chunk of `length` bytes.
pub(crate) fn write_chunk_size(out: &mut Vec<u8>, length: usize) {
    let mut digits = [0u8; 16];
    let mut rest = length;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef".get(rest & 15).copied().unwrap_or(b'0');
        rest >>= 4;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn chunk_sizes_are_hexadecimal_without_padding() {
        for (length, line) in [(0, "0\r\n"), (10, "a\r\n"), (4096, "1000\r\n"), (usize::MAX, "ffffffffffffffff\r\n")] {
            assert_eq!(text(|out| write_chunk_size(out, length)), line);
        }
    }

    #[test]
    fn framing_fields_of_the_caller_give_way() {
        let mut head = ResponseHead::new(200);
        for (name, value) in [("X-A", "1"), ("content-length", "9"), ("Transfer-Encoding", "gzip"), ("Connection", "x")]
        {
            head.headers.append(name, value);
        }
        let lines =
            ResponseLines { date: None, length: LengthLine::Exact(5), connection: ConnectionLine::KeepAlive(None) };
        let expected = "HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n";
        assert_eq!(text(|out| write_response_head(out, &head, lines)), expected);
    }

    #[test]
    fn a_date_is_added_unless_there_is_one() {
        let lines = ResponseLines { date: Some(b"now"), length: LengthLine::None, connection: ConnectionLine::Close };
        let mut head = ResponseHead::new(204);
        let expected = "HTTP/1.1 204 No Content\r\nDate: now\r\nConnection: close\r\n\r\n";
        assert_eq!(text(|out| write_response_head(out, &head, lines)), expected);
        head.headers.append("date", "then");
        let expected = "HTTP/1.1 204 No Content\r\ndate: then\r\nConnection: close\r\n\r\n";
        assert_eq!(text(|out| write_response_head(out, &head, lines)), expected);
    }

    #[test]
    fn a_target_cannot_break_the_request_line() {
        let headers = Headers::new();
        let line =
            |target: &[u8]| text(|out| write_request_head(out, &Method::Get, target, &headers, BodyLength::None));
        assert_eq!(line(b"/a b\r\nX: y"), "GET /a%20b%0D%0AX:%20y HTTP/1.1\r\n\r\n");
        assert_eq!(line(b""), "GET / HTTP/1.1\r\n\r\n");
    }
}
