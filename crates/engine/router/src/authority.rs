//! The `Host` header of a request taken apart, by the rules of the two engines.

/// Host and port of an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authority<'a> {
    pub(crate) host: &'a [u8],
    /// Only if it is written; it may be too large for a real port, and then equals none.
    pub(crate) port: Option<i64>,
}

impl<'a> Authority<'a> {
    /// Split at the first `:` if a number follows, else not at all (`[::1]:80` stays whole).
    pub(crate) fn at_first_colon(raw: &'a [u8]) -> Authority<'a> {
        let split = memchr(raw).and_then(|colon| {
            let (host, port) = raw.split_at(colon);
            Some(Authority { host, port: Some(number(port.get(1..)?)?) })
        });
        split.unwrap_or(Authority { host: raw, port: None })
    }

    /// The `traditional` rule: brackets are peeled off, a lone `:` at the end is dropped.
    pub(crate) fn with_brackets(raw: &'a [u8]) -> Authority<'a> {
        let whole = Authority { host: raw, port: None };
        if let Some(inner) = raw.strip_prefix(b"[") {
            if let Some(host) = inner.strip_suffix(b"]") {
                return Authority { host, port: None };
            }
            let Some(close) = inner.windows(2).position(|pair| pair == b"]:") else { return whole };
            let (host, rest) = inner.split_at(close);
            let digits = rest.get(2..).unwrap_or_default();
            return match number(digits) {
                Some(port) => Authority { host, port: Some(port) },
                None if digits.is_empty() => Authority { host, port: None },
                None => whole,
            };
        }
        match memchr(raw) {
            Some(colon) if colon + 1 == raw.len() => {
                Authority { host: raw.get(..colon).unwrap_or_default(), port: None }
            }
            _ => Authority::at_first_colon(raw),
        }
    }
}

fn memchr(raw: &[u8]) -> Option<usize> {
    raw.iter().position(|&b| b == b':')
}

fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(std::str::from_utf8(digits).ok()?.parse().unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(authority: Authority<'_>) -> (String, Option<i64>) {
        (String::from_utf8_lossy(authority.host).into_owned(), authority.port)
    }

    #[test]
    fn a_number_behind_the_first_colon_is_the_port() {
        let split = |raw: &'static str| shown(Authority::at_first_colon(raw.as_bytes()));
        assert_eq!(split("a.test:80"), ("a.test".into(), Some(80)));
        assert_eq!(split("a.test"), ("a.test".into(), None));
        assert_eq!(split("a.test:"), ("a.test:".into(), None));
        assert_eq!(split("a.test:x"), ("a.test:x".into(), None));
        assert_eq!(split("[::1]:80"), ("[::1]:80".into(), None));
    }

    #[test]
    fn the_traditional_rule_knows_brackets_and_a_lone_colon() {
        let split = |raw: &'static str| shown(Authority::with_brackets(raw.as_bytes()));
        assert_eq!(split("[::1]:80"), ("::1".into(), Some(80)));
        assert_eq!(split("[::1]"), ("::1".into(), None));
        assert_eq!(split("a.test:"), ("a.test".into(), None));
        assert_eq!(split("a.test:8080"), ("a.test".into(), Some(8080)));
        assert_eq!(split("a.test:8a"), ("a.test:8a".into(), None));
    }
}
