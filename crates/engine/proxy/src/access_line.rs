//! An exchange as the access log's formats ask for it.

use std::cell::RefCell;
use std::net::SocketAddr;

use gibbon_journal::{AccessLog, Handle, LineClock, Try as LoggedTry, TryAddress, Value, Variable, Variables};
use gibbon_pdk::Exchange;

/// Logs one line per exchange: made once per worker, renders into memory that is reused.
pub struct AccessLine {
    format: AccessLog,
    handle: Handle,
    state: RefCell<(LineClock, Vec<u8>)>,
}

impl AccessLine {
    #[must_use]
    pub fn new(format: AccessLog, handle: &Handle) -> Self {
        let state = RefCell::new((LineClock::default(), Vec::with_capacity(512)));
        AccessLine { format, handle: handle.own(), state }
    }

    /// The line of an HTTP exchange.
    pub fn write(&self, x: &Exchange) {
        self.write_as(x, x.request.version.protocol());
    }

    /// The line of an exchange over this protocol: `TCP` and `UDP` for streams.
    pub fn write_as(&self, x: &Exchange, protocol: &'static str) {
        let (clock, line) = &mut *self.state.borrow_mut();
        line.clear();
        self.format.render(&Line::of(x, protocol), clock, line);
        self.handle.write(line);
    }
}

/// The variables of one exchange. Texts that must be put together are made on first demand.
struct Line<'a> {
    x: &'a Exchange,
    protocol: &'static str,
    id: [u8; 32],
    request: std::cell::OnceCell<Vec<u8>>,
    host: std::cell::OnceCell<String>,
    tries: std::cell::OnceCell<Vec<LoggedTry>>,
    trace: std::cell::OnceCell<Option<(String, String)>>,
}

impl<'a> Line<'a> {
    fn of(x: &'a Exchange, protocol: &'static str) -> Self {
        Line {
            x,
            protocol,
            id: x.id.hex(),
            request: Default::default(),
            host: Default::default(),
            tries: Default::default(),
            trace: Default::default(),
        }
    }

    fn request_line(&self) -> &[u8] {
        if !self.x.request.line.is_empty() {
            return &self.x.request.line;
        }
        self.request.get_or_init(|| {
            let x = self.x;
            let mut line = Vec::with_capacity(x.request.target.len() + 24);
            line.extend_from_slice(x.request.method.as_str().as_bytes());
            line.push(b' ');
            line.extend_from_slice(&x.request.target);
            line.push(b' ');
            line.extend_from_slice(x.request.version.protocol().as_bytes());
            line
        })
    }

    /// Ids of the trace and of the span that stands for the exchange.
    fn trace_ids(&self) -> Option<&(String, String)> {
        let made = self.trace.get_or_init(|| {
            let context = self.x.trace.context?;
            let trace = u128::from_be_bytes(context.trace);
            Some((format!("{trace:032x}"), format!("{:016x}", u64::from_be_bytes(context.root))))
        });
        made.as_ref()
    }

    fn logged_tries(&self) -> &[LoggedTry] {
        self.tries.get_or_init(|| {
            let x = self.x;
            let ms = |to: u64, from: u64| (to >= from && from > 0).then(|| (to - from) / 1_000_000);
            let last = x.tries.len().saturating_sub(1);
            let one = |(at, t): (usize, &gibbon_pdk::Try)| {
                let is_last = at == last;
                LoggedTry {
                    address: TryAddress::Ip(SocketAddr::new(t.ip, t.port)),
                    status: t.code.or_else(|| (x.upstream_status > 0).then_some(x.upstream_status)),
                    connect_ms: is_last.then(|| ms(x.latencies.sent, x.latencies.balancer_end)).flatten(),
                    header_ms: is_last.then(|| ms(x.latencies.first_byte, x.latencies.balancer_end)).flatten(),
                    response_ms: is_last.then(|| ms(x.latencies.end, x.latencies.balancer_end)).flatten(),
                    response_length: is_last.then_some(x.response_body_bytes),
                    bytes_sent: None,
                    bytes_received: None,
                }
            };
            x.tries.iter().enumerate().map(one).collect()
        })
    }
}

impl Variables for Line<'_> {
    fn ended_at(&self) -> u64 {
        let x = self.x;
        (x.started_ns + x.latencies.end.saturating_sub(x.latencies.start)) / 1_000_000
    }

    fn value(&self, variable: &Variable) -> Value<'_> {
        let x = self.x;
        let text = |bytes: Option<&'static [u8]>| bytes.map_or(Value::Unset, Value::Text);
        let header = |name: &str| x.request.headers.get(name).map_or(Value::Unset, Value::Text);
        match variable {
            Variable::Args => x.request.query().map_or(Value::Unset, Value::Text),
            Variable::BodyBytesSent => Value::Number(x.response_body_bytes),
            Variable::BytesSent => Value::Number(x.response_bytes),
            Variable::RequestLength | Variable::BytesReceived => Value::Number(x.request_bytes),
            Variable::ContentLength => header("content-length"),
            Variable::ContentType => header("content-type"),
            Variable::Host => Value::Text(self.host.get_or_init(|| x.host()).as_bytes()),
            Variable::Https => text((x.client.scheme == gibbon_message::Scheme::Https).then_some(b"on")),
            Variable::IsArgs => text(x.request.query().filter(|q| !q.is_empty()).map(|_| &b"?"[..])),
            Variable::KongRequestId => Value::Text(&self.id),
            Variable::OtelTraceId => self.trace_ids().map_or(Value::Unset, |(trace, _)| Value::Text(trace.as_bytes())),
            Variable::OtelSpanId => self.trace_ids().map_or(Value::Unset, |(_, span)| Value::Text(span.as_bytes())),
            Variable::RemoteAddr => Value::Address(x.client.ip),
            Variable::RemotePort => Value::Number(u64::from(x.client.port)),
            Variable::RealipRemoteAddr => Value::Address(x.client.peer_ip),
            Variable::RealipRemotePort => Value::Number(u64::from(x.client.peer_port)),
            Variable::Request => Value::Text(self.request_line()),
            Variable::RequestMethod => Value::Text(x.request.method.as_str().as_bytes()),
            Variable::RequestTime | Variable::SessionTime => {
                Value::Milliseconds(x.latencies.end.saturating_sub(x.latencies.start) / 1_000_000)
            }
            Variable::RequestUri => Value::Text(&x.request.target),
            Variable::Uri => Value::Text(x.request.path()),
            Variable::Scheme => Value::Text(x.client.scheme.as_str().as_bytes()),
            Variable::ServerAddr => Value::Address(x.client.local.ip()),
            Variable::ServerPort => Value::Number(u64::from(x.client.local.port())),
            Variable::ServerName => Value::Text(b"kong"),
            Variable::ServerProtocol | Variable::Protocol => Value::Text(self.protocol.as_bytes()),
            Variable::SslProtocol => x.client.tls.as_ref().map_or(Value::Unset, |t| Value::Text(t.version.as_bytes())),
            Variable::SslCipher => x.client.tls.as_ref().map_or(Value::Unset, |t| Value::Text(t.cipher.as_bytes())),
            Variable::SslServerName => {
                x.client.tls.as_ref().and_then(|t| t.sni.as_deref()).map_or(Value::Unset, |s| Value::Text(s.as_bytes()))
            }
            Variable::Status => Value::Number(u64::from(x.response.status)),
            Variable::UpstreamUri => Value::Text(&x.destination.path),
            Variable::UpstreamScheme => {
                x.service().map_or(Value::Unset, |s| Value::Text(s.protocol.as_str().as_bytes()))
            }
            _ => Value::Unset,
        }
    }

    fn request_header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        self.x.request.headers.get_all(name).for_each(each);
    }

    fn response_header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        self.x.response.headers.get_all(name).for_each(each);
    }

    fn tries(&self) -> &[LoggedTry] {
        self.logged_tries()
    }
}
