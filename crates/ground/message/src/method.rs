//! Request methods: the registered ones without allocation, any other token as it came.

use std::fmt;

/// A request method. Methods are case-sensitive (RFC 9110 9.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Trace,
    Connect,
    Other(Box<str>),
}

impl Method {
    /// `None` unless `bytes` is a token.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Method> {
        Some(match bytes {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"PATCH" => Method::Patch,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"CONNECT" => Method::Connect,
            other if crate::is_token(other) => Method::Other(std::str::from_utf8(other).ok()?.into()),
            _ => return None,
        })
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Connect => "CONNECT",
            Method::Other(name) => name,
        }
    }

    /// Whether repeating the request has the effect of sending it once (RFC 9110 9.2.2, and what
    /// nginx takes for it: POST, LOCK and PATCH are not).
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        match self {
            Method::Post | Method::Patch => false,
            Method::Other(name) => &**name != "LOCK",
            _ => true,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
