//! The request target: origin form, absolute form or `*`, and what its path may hold.

use gibbon_message::Method;
use memchr::memchr;

use crate::HeadError;

/// Appends the target in origin form (or `*`) to `out`; returns the authority of an absolute form.
pub(super) fn read<'a>(target: &'a [u8], method: &Method, out: &mut Vec<u8>) -> Result<Option<&'a [u8]>, HeadError> {
    if target.iter().any(|&b| b < 0x20 || b == 0x7f) {
        return Err(HeadError::BadRequest("control character in the request target"));
    }
    if target == b"*" && *method == Method::Options {
        out.extend_from_slice(target);
        return Ok(None);
    }
    let authority = if target.first() == Some(&b'/') {
        out.extend_from_slice(target);
        None
    } else {
        Some(absolute_form(target, out).ok_or(HeadError::BadRequest("invalid request target"))?)
    };
    check_path(out)?;
    Ok(authority)
}

/// As nginx, refuses a path with broken escapes or an escaped NUL, and one whose dot segments lead above
/// its root, escaped or not: nothing behind the gateway can be meant by it.
pub(crate) fn check_path(target: &[u8]) -> Result<(), HeadError> {
    let end = target.iter().position(|&b| b == b'?' || b == b'#').unwrap_or(target.len());
    let path = target.get(..end).unwrap_or_default();
    if memchr(b'%', path).is_none() && !path.windows(3).any(|w| w == b"/..") {
        return Ok(());
    }
    let mut depth = 0u32;
    let mut segment = Segment::default();
    let mut rest = path;
    while let Some((byte, after)) = next_decoded(rest)? {
        if byte == b'/' {
            depth = std::mem::take(&mut segment).apply(depth)?;
        } else {
            segment.push(byte);
        }
        rest = after;
    }
    segment.apply(depth).map(|_| ())
}

fn next_decoded(path: &[u8]) -> Result<Option<(u8, &[u8])>, HeadError> {
    const BAD: HeadError = HeadError::BadRequest("invalid escape in the request path");
    let hex = |b: &u8| char::from(*b).to_digit(16).map(|d| d as u8);
    match path {
        [] => Ok(None),
        [b'%', high, low, rest @ ..] => match (hex(high), hex(low)) {
            (Some(0), Some(0)) => Err(BAD),
            (Some(high), Some(low)) => Ok(Some((high << 4 | low, rest))),
            _ => Err(BAD),
        },
        [b'%', ..] => Err(BAD),
        [byte, rest @ ..] => Ok(Some((*byte, rest))),
    }
}

/// What has been seen of one path segment.
#[derive(Debug, Default)]
struct Segment {
    length: usize,
    dots: usize,
}

impl Segment {
    fn push(&mut self, byte: u8) {
        self.length += 1;
        self.dots += usize::from(byte == b'.');
    }

    /// How deep below the root the path is behind this segment.
    fn apply(self, depth: u32) -> Result<u32, HeadError> {
        match (self.length, self.dots) {
            (0, _) | (1, 1) => Ok(depth),
            (2, 2) => depth.checked_sub(1).ok_or(HeadError::BadRequest("the request path leads above its root")),
            _ => Ok(depth + 1),
        }
    }
}

/// `scheme://authority[/path][?query]`; appends path and query to `out`, returns the authority.
fn absolute_form<'a>(target: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let colon = memchr(b':', target)?;
    let (scheme, rest) = target.split_at(colon);
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    let rest = rest.strip_prefix(b"://").filter(|_| is_scheme)?;
    let end = rest.iter().position(|&b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !is_uri_authority(authority) {
        return None;
    }
    if path.first() != Some(&b'/') {
        out.push(b'/');
    }
    out.extend_from_slice(path);
    Some(authority)
}

/// A name or address with an optional port, and no user information.
fn is_uri_authority(authority: &[u8]) -> bool {
    let (host, port) = match authority.first() {
        Some(b'[') => match memchr(b']', authority) {
            Some(end) => authority.split_at(end + 1),
            None => return false,
        },
        _ => authority.split_at(memchr(b':', authority).unwrap_or(authority.len())),
    };
    let is_name = |h: &[u8]| h.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    let is_literal = |h: &[u8]| h.iter().all(|&b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b'[' | b']'));
    let good_host = if host.first() == Some(&b'[') { host.len() > 2 && is_literal(host) } else { is_name(host) };
    let good_port = port.is_empty() || (port.first() == Some(&b':') && port.iter().skip(1).all(u8::is_ascii_digit));
    !host.is_empty() && good_host && good_port
}

/// What nginx takes for a host: not empty, no blanks, slashes or empty labels.
pub(crate) fn is_host(host: &[u8]) -> bool {
    let bad = |&b: &u8| b <= b' ' || b == 0x7f || b == b'/' || b == b'\\';
    !host.is_empty()
        && host.first() != Some(&b':')
        && host != b"."
        && !host.iter().any(bad)
        && !host.windows(2).any(|pair| pair == b"..")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn origin(target: &str) -> Result<(String, Option<String>), HeadError> {
        let mut out = Vec::new();
        let authority = read(target.as_bytes(), &Method::Get, &mut out)?;
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        Ok((text(&out), authority.map(text)))
    }

    #[test]
    fn an_absolute_target_gives_path_and_host() {
        for (target, path, host) in [
            ("http://b", "/", "b"),
            ("http://b:81/x?y", "/x?y", "b:81"),
            ("HTTP://b?q", "/?q", "b"),
            ("ftp://b/x", "/x", "b"),
            ("http://[::1]:80/", "/", "[::1]:80"),
        ] {
            assert_eq!(origin(target), Ok((path.to_string(), Some(host.to_string()))), "{target}");
        }
        for target in
            ["http://", "http:///x", "http:/b", "1http://b", "http://u@b/", "http://b:x/", "http://[::1", "b/x"]
        {
            assert!(origin(target).is_err(), "{target}");
        }
    }

    #[test]
    fn a_path_stays_below_its_root() {
        for path in
            ["/a/..", "/a/../b", "/a//../b", "/...", "/..a", "/a/%2e%2e/b", "/?/../..", "/a%2fb/../..", "/%25zz"]
        {
            assert!(origin(path).is_ok(), "{path}");
        }
        for path in ["/..", "/../a", "/a/../..", "//..", "/./..", "/%2e%2e", "/.%2E/a", "/%2e%2e%2fa", "/a%2f../../.."]
        {
            assert_eq!(origin(path).unwrap_err().status(), 400, "{path}");
        }
    }

    #[test]
    fn escapes_in_a_path_are_whole() {
        for path in ["/%", "/%2", "/%zz", "/%00", "/a%0"] {
            assert_eq!(origin(path).unwrap_err().status(), 400, "{path}");
        }
        assert!(origin("/?%zz").is_ok());
    }
}
