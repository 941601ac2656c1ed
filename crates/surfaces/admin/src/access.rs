//! One line per call, in the format of the settings. Who called, what was asked and what was answered; what a proxied request
//! has beyond that (an upstream, tries) is unset.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use gibbon_journal::{AccessLog, Handle, LineClock, Try, Value, Variable, Variables};
use http::{HeaderMap, Response, Version, request};
use http_body_util::Full;
use hyper::body::Body as _;
use uuid::Uuid;

/// The format and where lines go.
#[derive(Clone)]
pub struct CallLog {
    format: AccessLog,
    handle: Handle,
}

impl CallLog {
    #[must_use]
    pub fn new(format: AccessLog, handle: Handle) -> Self {
        Self { format, handle }
    }

    /// Writes the line of one call.
    pub(crate) fn write(&self, call: &Call<'_>) {
        let mut line = Vec::with_capacity(256);
        self.format.render(call, &mut LineClock::default(), &mut line);
        self.handle.write(&line);
    }
}

/// A call that was answered.
pub(crate) struct Call<'a> {
    head: &'a request::Parts,
    response: &'a Response<Full<Bytes>>,
    /// None over a unix socket.
    peer: Option<SocketAddr>,
    took: Duration,
    line: String,
    id: String,
}

impl<'a> Call<'a> {
    pub fn new(
        head: &'a request::Parts,
        response: &'a Response<Full<Bytes>>,
        peer: Option<SocketAddr>,
        took: Duration,
    ) -> Self {
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let line = format!("{} {target} {}", head.method, protocol(head.version));
        Self { head, response, peer, took, line, id: Uuid::new_v4().simple().to_string() }
    }
}

/// As nginx names it.
fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

fn each_of(headers: &HeaderMap, name: &str, each: &mut dyn FnMut(&[u8])) {
    headers.get_all(name).iter().for_each(|value| each(value.as_bytes()));
}

impl Variables for Call<'_> {
    fn ended_at(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(now.as_millis()).unwrap_or_default()
    }

    fn value(&self, variable: &Variable) -> Value<'_> {
        let uri = &self.head.uri;
        match variable {
            Variable::Args => uri.query().map_or(Value::Unset, |query| Value::Text(query.as_bytes())),
            Variable::BodyBytesSent => Value::Number(self.response.body().size_hint().lower()),
            Variable::KongRequestId => Value::Text(self.id.as_bytes()),
            // As nginx says of a unix socket's other end.
            Variable::RemoteAddr => self.peer.map_or(Value::Text(b"unix:"), |peer| Value::Address(peer.ip())),
            Variable::RemotePort => self.peer.map_or(Value::Unset, |peer| Value::Number(peer.port().into())),
            Variable::Request => Value::Text(self.line.as_bytes()),
            Variable::RequestMethod => Value::Text(self.head.method.as_str().as_bytes()),
            Variable::RequestTime => Value::Milliseconds(u64::try_from(self.took.as_millis()).unwrap_or_default()),
            Variable::RequestUri => Value::Text(uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes()),
            Variable::Uri => Value::Text(uri.path().as_bytes()),
            Variable::ServerProtocol | Variable::Protocol => Value::Text(protocol(self.head.version).as_bytes()),
            Variable::Status => Value::Number(self.response.status().as_u16().into()),
            _ => Value::Unset,
        }
    }

    fn request_header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        each_of(&self.head.headers, name, each);
    }

    fn response_header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        each_of(self.response.headers(), name, each);
    }

    fn tries(&self) -> &[Try] {
        &[]
    }
}
