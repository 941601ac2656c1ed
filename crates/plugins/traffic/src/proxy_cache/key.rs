//! Under which key an answer is kept: the same on every node, and the same as Kong's.

use aws_lc_rs::digest::{SHA256, digest};
use gibbon_message::{Headers, uri};
use gibbon_pdk::Exchange;

/// A key: a SHA-256 digest.
pub type Key = [u8; 32];

/// What tells requests apart.
#[derive(Debug, Default)]
pub struct Variance {
    pub ignore_uri_case: bool,
    /// All arguments when empty.
    pub query: Vec<String>,
    pub headers: Vec<String>,
}

/// The key of a request.
pub fn key(x: &Exchange, by: &Variance) -> Key {
    let route = x.route().map(|route| &*route.id_text);
    let whose = match (&x.consumer, route) {
        (Some(consumer), Some(route)) => format!("{}:{route}", consumer.id),
        (None, Some(route)) => route.to_owned(),
        _ => "default".to_owned(),
    };
    let mut text = whose.into_bytes();
    text.push(b'|');
    text.extend_from_slice(x.request.method.as_str().as_bytes());
    text.push(b'|');
    text.extend_from_slice(&request_line(x, by.ignore_uri_case));
    text.push(b'|');
    text.extend_from_slice(&arguments(x.request.query().unwrap_or_default(), &by.query));
    text.push(b'|');
    text.extend_from_slice(&headers(&x.request.headers, &by.headers));
    let mut key = Key::default();
    key.copy_from_slice(digest(&SHA256, &text).as_ref());
    key
}

/// The request line up to a `?`, which cuts the version off where there is a query.
fn request_line(x: &Exchange, ignore_case: bool) -> Vec<u8> {
    let mut line = x.request.method.as_str().as_bytes().to_vec();
    line.push(b' ');
    line.extend_from_slice(x.request.path());
    if x.request.query().is_none() {
        line.push(b' ');
        line.extend_from_slice(x.request.version.protocol().as_bytes());
    }
    if ignore_case {
        line.make_ascii_lowercase();
    }
    line
}

/// Arguments by name with their values: sorted, or only some in a given order.
fn arguments(query: &[u8], only: &[String]) -> Vec<u8> {
    type Argument = (Vec<u8>, Option<Vec<u8>>);
    let all: Vec<Argument> = uri::arguments(query)
        .map(|(name, value)| (name.into_owned(), value.map(std::borrow::Cow::into_owned)))
        .collect();
    let names: Vec<&[u8]> = if only.is_empty() {
        let mut names: Vec<&[u8]> = all.iter().map(|(name, _)| name.as_slice()).collect();
        names.sort_unstable();
        names.dedup();
        names
    } else {
        only.iter().map(String::as_bytes).collect()
    };
    joined(names.into_iter().map(|name| {
        let values = all.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_deref());
        (name, values.collect())
    }))
}

fn headers(headers: &Headers, only: &[String]) -> Vec<u8> {
    joined(only.iter().map(|name| (name.as_bytes(), headers.get_all(name).map(Some).collect())))
}

/// `name=value` of each that is there, joined with `:`; several values are sorted and joined with `,`.
fn joined<'a>(entries: impl Iterator<Item = (&'a [u8], Vec<Option<&'a [u8]>>)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, mut values) in entries.filter(|(_, values)| !values.is_empty()) {
        if !out.is_empty() {
            out.push(b':');
        }
        out.extend_from_slice(name);
        if values == [None] {
            continue;
        }
        values.sort_unstable();
        out.push(b'=');
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(value.unwrap_or_default());
        }
    }
    out
}

/// The key as clients see it.
pub fn hex(key: &Key) -> String {
    key.iter().fold(String::with_capacity(64), |mut text, byte| {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
        }
        text
    })
}

/// The key that a text of 64 hexadecimal digits stands for.
pub fn parse(text: &str) -> Option<Key> {
    let mut key = Key::default();
    if text.len() != 2 * key.len() {
        return None;
    }
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn text(query: &str, only: &[&str]) -> String {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        String::from_utf8(arguments(query.as_bytes(), &only)).unwrap()
    }

    #[test]
    fn arguments_are_sorted_by_name_and_their_values_too() {
        assert_eq!(text("b=2&a=3&b=1&c", &[]), "a=3:b=1,2:c");
        assert_eq!(text("b=2&a=3&b=1&c", &["b", "x", "a"]), "b=1,2:a=3");
        assert_eq!(text("", &[]), "");
    }

    #[test]
    fn a_key_is_shown_as_hexadecimal_digits_and_read_back() {
        let key = key(&gibbon_rig::request("GET /", &[]), &Variance::default());
        assert_eq!(parse(&hex(&key)), Some(key));
        assert_eq!((parse("nope"), parse(&"zz".repeat(32)), parse(&"é".repeat(32))), (None, None, None));
    }

    #[test]
    fn what_tells_requests_apart_is_in_the_key() {
        let of = |line: &str, headers: &[(&str, &str)], by: &Variance| key(&gibbon_rig::request(line, headers), by);
        let plain = Variance::default();
        let base = of("GET /a?x=1&y=2", &[("Accept", "a")], &plain);
        assert_eq!(base, of("GET /a?y=2&x=1", &[("Accept", "b")], &plain));
        assert_ne!(base, of("HEAD /a?x=1&y=2", &[], &plain));
        assert_ne!(base, of("GET /A?x=1&y=2", &[], &plain));
        let fold = Variance { ignore_uri_case: true, headers: vec!["accept".into()], ..Variance::default() };
        assert_eq!(of("GET /a", &[("Accept", "a")], &fold), of("GET /A", &[("Accept", "a")], &fold));
        assert_ne!(of("GET /a", &[("Accept", "a")], &fold), of("GET /a", &[("Accept", "b")], &fold));
    }
}
