//! Routes and services as the request path sees them: parsed once per plan, never per request.

use serde_json::Value;
use uuid::Uuid;

/// An entity as the Admin API shows it, kept as compact JSON text: a third of the memory of a tree,
/// and a log entry takes it over as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    whole: Box<str>,
    /// Without null fields, as log entries show it; `None` if there are none.
    compact: Option<Box<str>>,
}

impl Document {
    #[must_use]
    pub fn new(value: &Value) -> Self {
        let whole = value.to_string().into_boxed_str();
        let compact = match value.as_object() {
            Some(fields) if fields.values().any(Value::is_null) => {
                let mut fields = fields.clone();
                fields.retain(|_, value| !value.is_null());
                Some(Value::Object(fields).to_string().into_boxed_str())
            }
            _ => None,
        };
        Document { whole, compact }
    }

    /// The text without fields that are null.
    #[must_use]
    pub fn compact(&self) -> &str {
        self.compact.as_deref().unwrap_or(&self.whole)
    }

    #[must_use]
    pub fn json(&self) -> &str {
        &self.whole
    }

    /// The tree, made anew at each call.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.whole).unwrap_or_default()
    }
}

/// A protocol of a route, service or plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Protocol {
    Http,
    Https,
    Grpc,
    Grpcs,
    Tcp,
    Tls,
    TlsPassthrough,
    Udp,
    Ws,
    Wss,
}

impl Protocol {
    pub const ALL: [Protocol; 10] = [
        Protocol::Http,
        Protocol::Https,
        Protocol::Grpc,
        Protocol::Grpcs,
        Protocol::Tcp,
        Protocol::Tls,
        Protocol::TlsPassthrough,
        Protocol::Udp,
        Protocol::Ws,
        Protocol::Wss,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Grpc => "grpc",
            Protocol::Grpcs => "grpcs",
            Protocol::Tcp => "tcp",
            Protocol::Tls => "tls",
            Protocol::TlsPassthrough => "tls_passthrough",
            Protocol::Udp => "udp",
            Protocol::Ws => "ws",
            Protocol::Wss => "wss",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Protocol> {
        Protocol::ALL.into_iter().find(|p| p.as_str() == name)
    }

    /// Whether the upstream side speaks TLS.
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Protocol::Https | Protocol::Grpcs | Protocol::Tls | Protocol::Wss)
    }

    #[must_use]
    pub fn is_grpc(self) -> bool {
        matches!(self, Protocol::Grpc | Protocol::Grpcs)
    }
}

/// A set of protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Protocols(u16);

impl Protocols {
    #[must_use]
    pub const fn of(protocols: &[Protocol]) -> Protocols {
        let mut bits = 0;
        let mut rest = protocols;
        while let [first, tail @ ..] = rest {
            bits |= 1 << *first as u16;
            rest = tail;
        }
        Protocols(bits)
    }

    #[must_use]
    pub const fn contains(self, protocol: Protocol) -> bool {
        self.0 & (1 << protocol as u16) != 0
    }

    #[must_use]
    pub const fn intersects(self, other: Protocols) -> bool {
        self.0 & other.0 != 0
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn insert(&mut self, protocol: Protocol) {
        self.0 |= 1 << protocol as u16;
    }

    pub fn iter(self) -> impl Iterator<Item = Protocol> {
        Protocol::ALL.into_iter().filter(move |p| self.contains(*p))
    }
}

/// Two ways of joining service path and request path (routing rules of Kong, `path_handling`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PathHandling {
    #[default]
    V0,
    V1,
}

/// A route, ready for use.
#[derive(Clone, Debug)]
pub struct Route {
    pub id: Uuid,
    /// `id` as text, rendered once.
    pub id_text: Box<str>,
    pub name: Option<Box<str>>,
    pub workspace: Uuid,
    pub protocols: Protocols,
    pub https_redirect_status_code: u16,
    pub strip_path: bool,
    pub preserve_host: bool,
    pub path_handling: PathHandling,
    pub request_buffering: bool,
    pub response_buffering: bool,
    /// The service it leads to; a route may have none.
    pub service: Option<Uuid>,
    /// The whole entity, for logs and for `kong.router.get_route`.
    pub document: Document,
}

/// A service, ready for use.
#[derive(Clone, Debug)]
pub struct Service {
    pub id: Uuid,
    pub id_text: Box<str>,
    pub name: Option<Box<str>>,
    pub workspace: Uuid,
    pub protocol: Protocol,
    pub host: Box<str>,
    pub port: u16,
    pub path: Option<Box<str>>,
    /// Additional tries after the first, 0..=32767.
    pub retries: u16,
    pub timeouts: crate::Timeouts,
    pub tls: crate::UpstreamTls,
    pub document: Document,
}
