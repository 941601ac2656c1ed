//! URI paths as Kong treats them: normalisation for matching and escaping for the upstream.
//!
//! Rules: RFC 3986 6.2.2 with Kong's own choices (reserved characters stay escaped, `//` merges).

use std::borrow::Cow;

/// Normalises a path: decodes what need not be escaped, removes dot segments, merges slashes.
/// Borrowed when the path is already normal, which is the common case on the request path.
#[must_use]
pub fn normalize(path: &[u8]) -> Cow<'_, [u8]> {
    if is_plainly_normal(path) {
        return Cow::Borrowed(path);
    }
    Cow::Owned(merge_slashes(&remove_dot_segments(&decode_unreserved(path))))
}

/// True only if no rule can apply: no `%`, no `//`, no segment starting with a dot.
fn is_plainly_normal(path: &[u8]) -> bool {
    if path.first() != Some(&b'/') {
        return false;
    }
    let mut previous = 0u8;
    for &byte in path {
        if byte == b'%' || (previous == b'/' && (byte == b'/' || byte == b'.')) {
            return false;
        }
        previous = byte;
    }
    true
}

/// Decodes `%XX` except for reserved characters and `%` itself, whose escapes become upper case.
fn decode_unreserved(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(h), Some(l)) = (hex(*high), hex(*low))
        {
            let decoded = h << 4 | l;
            if is_reserved(decoded) {
                out.extend_from_slice(&[b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
            } else {
                out.push(decoded);
            }
            rest = after;
            continue;
        }
        out.push(byte);
        rest = tail;
    }
    out
}

/// RFC 3986 5.2.4.
fn remove_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let mut input = path;
    while !input.is_empty() {
        if let Some(rest) = input.strip_prefix(b"../").or_else(|| input.strip_prefix(b"./")) {
            input = rest;
        } else if input.starts_with(b"/./") {
            input = input.get(2..).unwrap_or_default();
        } else if input == b"/." {
            input = b"/";
        } else if input.starts_with(b"/../") {
            input = input.get(3..).unwrap_or_default();
            drop_last_segment(&mut out);
        } else if input == b"/.." {
            input = b"/";
            drop_last_segment(&mut out);
        } else if input == b"." || input == b".." {
            input = b"";
        } else {
            let skip = usize::from(input.first() == Some(&b'/'));
            let end = memchr::memchr(b'/', input.get(skip..).unwrap_or_default()).map_or(input.len(), |i| i + skip);
            out.extend_from_slice(input.get(..end).unwrap_or_default());
            input = input.get(end..).unwrap_or_default();
        }
    }
    out
}

fn drop_last_segment(out: &mut Vec<u8>) {
    let cut = memchr::memrchr(b'/', out).unwrap_or(0);
    out.truncate(cut);
}

fn merge_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for &byte in path {
        if byte != b'/' || out.last() != Some(&b'/') {
            out.push(byte);
        }
    }
    out
}

/// Percent-escapes every byte outside of what Kong sends to an upstream unescaped
/// (`!#$&'()*+,/:;=?@[]`, alphanumerics, `-_.~%`), into `out`.
pub fn escape_into(out: &mut Vec<u8>, path: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in path {
        if passes_unescaped(byte) {
            out.push(byte);
        } else {
            let digit = |n: u8| HEX.get(n as usize).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// Decodes every valid `%XX`; with `plus_is_space`, `+` too (query strings and forms).
#[must_use]
pub fn decode(text: &[u8], plus_is_space: bool) -> Cow<'_, [u8]> {
    if !text.iter().any(|&b| b == b'%' || (plus_is_space && b == b'+')) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(h), Some(l)) => {
                    out.push(h << 4 | l);
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            (b'+', _) if plus_is_space => out.push(b' '),
            _ => out.push(byte),
        }
    }
    Cow::Owned(out)
}

/// The arguments of a raw query string, decoded, in order; a name without `=` has no value.
pub fn arguments(query: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Option<Cow<'_, [u8]>>)> {
    query.split(|&b| b == b'&').filter(|part| !part.is_empty()).map(|part| match memchr::memchr(b'=', part) {
        Some(at) => {
            let (name, value) = part.split_at(at);
            (decode(name, true), Some(decode(value.get(1..).unwrap_or_default(), true)))
        }
        None => (decode(part, true), None),
    })
}

fn hex(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|d| d as u8)
}

fn is_reserved(byte: u8) -> bool {
    b"!*'();:@&=+$,/?%#[]".contains(&byte)
}

fn passes_unescaped(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$&'()*+,/:;=?@[]-_.~%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(path: &str) -> String {
        String::from_utf8_lossy(&normalize(path.as_bytes())).into_owned()
    }

    #[test]
    fn reserved_escapes_stay_and_are_upper_cased() {
        assert_eq!(normal("/a%2fb%61"), "/a%2Fba");
        assert_eq!(normal("/%25"), "/%25");
    }

    #[test]
    fn dot_segments_vanish_and_slashes_merge() {
        assert_eq!(normal("/a/./b/../c"), "/a/c");
        assert_eq!(normal("/../../a"), "/a");
        assert_eq!(normal("//a///b/"), "/a/b/");
        assert_eq!(normal("/a/.."), "/");
        assert_eq!(normal("/%2e%2e/a"), "/a");
    }

    #[test]
    fn a_normal_path_is_borrowed() {
        assert!(matches!(normalize(b"/a/b.c"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_broken_escape_is_kept() {
        assert_eq!(normal("/a%zz%4"), "/a%zz%4");
    }

    #[test]
    fn arguments_are_decoded_in_order() {
        let all: Vec<_> =
            arguments(b"a=1&b&c=%20x+y&&=z").map(|(n, v)| (n.into_owned(), v.map(Cow::into_owned))).collect();
        assert_eq!(
            all,
            [
                (b"a".to_vec(), Some(b"1".to_vec())),
                (b"b".to_vec(), None),
                (b"c".to_vec(), Some(b" x y".to_vec())),
                (b"".to_vec(), Some(b"z".to_vec())),
            ]
        );
    }

    #[test]
    fn escaping_leaves_what_kong_leaves() {
        let mut out = Vec::new();
        escape_into(&mut out, "/a b\"é%20".as_bytes());
        assert_eq!(out, b"/a%20b%22%C3%A9%20");
    }

    proptest::proptest! {
        #[test]
        fn normalising_twice_changes_nothing_more_on_plain_paths(path in "/[a-c./]{0,12}") {
            let once = normalize(path.as_bytes()).into_owned();
            proptest::prop_assert_eq!(normalize(&once).into_owned(), once);
        }
    }
}
