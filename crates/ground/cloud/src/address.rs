//! An address, taken apart: what connects, what the signature covers, what stands in the request
//! line.

/// Why an address is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the URL {why}")]
pub struct AddressError {
    /// What is wrong with it, without quoting it: it may hold a secret.
    pub why: &'static str,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `https` or `http`.
    pub tls: bool,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path, percent-encoded, beginning with a slash.
    pub path: String,
    /// Query parameters, not encoded, in order.
    pub query: Vec<(String, String)>,
}

impl Address {
    /// Reads an `http` or `https` URL.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let bad = |why| AddressError { why };
        let (scheme, rest) = url.split_once("://").ok_or(bad("must begin with http:// or https://"))?;
        let tls = match scheme {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return Err(bad("must begin with http:// or https://")),
        };
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(bad("must not hold credentials"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            // A colon inside brackets belongs to an IPv6 address.
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().map_err(|_| bad("has a port that is no number"))?)
            }
            _ => (authority, if tls { 443 } else { 80 }),
        };
        let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'[' | b']' | b':');
        if host.is_empty() || !host.bytes().all(ok) {
            return Err(bad("has no valid host"));
        }
        let path = path.split('#').next().unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let query = query
            .split('&')
            .filter(|p| !p.is_empty())
            .map(|p| p.split_once('=').unwrap_or((p, "")))
            .map(|(k, v)| (decode(k), decode(v)))
            .collect();
        if path.bytes().any(|b| b.is_ascii_control() || b == b' ' || !b.is_ascii()) {
            return Err(bad("has a path that is not encoded"));
        }
        let path = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
        Ok(Self { tls, host: host.to_owned(), port, path, query })
    }

    /// `host`, with the port where it is not the scheme's own: the `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        let own = if self.tls { 443 } else { 80 };
        if self.port == own { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// Path and query, encoded: the request target.
    #[must_use]
    pub fn target(&self) -> String {
        let mut out = self.path.clone();
        for (i, (key, value)) in self.query.iter().enumerate() {
            out.push(if i == 0 { '?' } else { '&' });
            encode(key, &mut out);
            // A word alone stays one: to some servers `word=` is another.
            if !value.is_empty() {
                out.push('=');
                encode(value, &mut out);
            }
        }
        out
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters.
pub fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                for nibble in [byte >> 4, byte & 15] {
                    out.push(HEX.get(usize::from(nibble)).map_or('0', |b| char::from(*b)));
                }
            }
        }
    }
}

fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut rest = bytes.clone();
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        match (byte, digit(rest.next()), digit(rest.next())) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                bytes = rest;
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_written_as_it_was_read() {
        for query in ["/p?a=1&word&b=%20x", "/p?%7B%22a%22%3A1%7D"] {
            assert_eq!(Address::parse(&format!("http://h{query}")).unwrap().target(), query);
        }
    }

    #[test]
    fn urls_that_are_none_are_refused() {
        for bad in [
            "",
            "api.openai.com",
            "ftp://x",
            "https://",
            "https://u:p@h/",
            "http://h:x/",
            "http://h/a b",
            "http://h h/",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
        let a = Address::parse("http://[::1]:8080").unwrap();
        assert_eq!((a.host.as_str(), a.port, a.path.as_str()), ("[::1]", 8080, "/"));
    }
}
