//! The first part of a message: request line or status line with its headers.

use crate::{Headers, Method};

/// HTTP version of one connection side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    H2,
    H3,
}

impl Version {
    /// As in a Via header: `1.0`, `1.1`, `2`, `3`.
    #[must_use]
    pub fn number(self) -> &'static str {
        match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::H2 => "2",
            Version::H3 => "3",
        }
    }

    /// As in a log line: `HTTP/1.1`, `HTTP/2.0`.
    #[must_use]
    pub fn protocol(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::H2 => "HTTP/2.0",
            Version::H3 => "HTTP/3.0",
        }
    }
}

/// Scheme of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Scheme {
    #[default]
    Http,
    Https,
}

impl Scheme {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// A request head. `target` is in origin form (`/path?query`) or `*`: the wire side takes an absolute
/// form or an HTTP/2 `:authority` apart and leaves the authority as the `Host` header.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    pub method: Method,
    pub target: Vec<u8>,
    pub version: Version,
    pub headers: Headers,
    /// The request line as it came, for logs; empty where nobody keeps it, and over HTTP/2, which has none.
    pub line: Vec<u8>,
}

impl RequestHead {
    /// Empties the head and keeps its memory.
    pub fn clear(&mut self) {
        self.line.clear();
        self.method = Method::Get;
        self.target.clear();
        self.version = Version::Http11;
        self.headers.clear();
    }

    /// The target up to the first `?`, looked for from the second byte on, as Kong does.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.target.get(..self.query_mark()).unwrap_or_default()
    }

    /// What follows the first `?`; `None` when there is no `?` at all.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        self.target.get(self.query_mark() + 1..)
    }

    fn query_mark(&self) -> usize {
        let rest = self.target.get(1..).unwrap_or_default();
        memchr::memchr(b'?', rest).map_or(self.target.len(), |i| i + 1)
    }

    #[must_use]
    pub fn host(&self) -> Option<&[u8]> {
        self.headers.get("host")
    }
}

/// A response head.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// 100..=999.
    pub status: u16,
    pub version: Version,
    pub headers: Headers,
}

impl ResponseHead {
    #[must_use]
    pub fn new(status: u16) -> Self {
        ResponseHead { status, ..Self::default() }
    }

    pub fn clear(&mut self) {
        self.status = 0;
        self.version = Version::Http11;
        self.headers.clear();
    }
}
