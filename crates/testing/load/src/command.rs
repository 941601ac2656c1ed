//! What the stand is told, one JSON object to a line, and what it answers.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A line on standard input.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Puts load on a gateway and reports.
    Drive(Box<Drive>),
    /// Opens connections, sends one request on each, and keeps them open and idle.
    Hold(Box<Hold>),
    /// Closes the held connections.
    Release {},
}

/// What load, for how long.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drive {
    /// The gateway's listener.
    pub address: SocketAddr,
    /// How to speak to it.
    pub protocol: Protocol,
    /// TLS to it; any certificate is accepted.
    #[serde(default)]
    pub tls: bool,
    /// Connections open at the same time.
    pub connections: usize,
    /// Requests in flight per HTTP/2 connection.
    #[serde(default = "one")]
    pub streams: usize,
    /// Requests per second over all connections; without it each connection sends its next one when the last is answered.
    #[serde(default)]
    pub rate: Option<f64>,
    /// Seconds of load before counting.
    pub warmup: f64,
    /// Seconds of counting.
    pub seconds: f64,
    /// What is asked.
    #[serde(default)]
    pub requests: Requests,
}

/// Idle connections.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// The gateway's listener.
    pub address: SocketAddr,
    /// TLS to it.
    #[serde(default)]
    pub tls: bool,
    /// How many.
    pub connections: usize,
    /// What is asked once on each.
    #[serde(default)]
    pub requests: Requests,
}

/// The kinds of load.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/1.1, keep-alive.
    Http1,
    /// HTTP/2: prior knowledge without TLS, ALPN with it.
    Http2,
    /// gRPC unary calls over HTTP/2.
    Grpc,
    /// A new connection per request, closed by us; with TLS a full handshake each.
    Connect,
    /// As `connect`, with TLS sessions resumed.
    Resume,
    /// Messages of 64 bytes there and back on open WebSockets.
    Websocket,
    /// Server-sent events: each connection reads one endless stream, and each event counts as one answer.
    Events,
}

/// A template of requests. In `host`, `path` and header values `{n}` is a number that never repeats, `{i}` a number
/// below `spread` drawn at random for each request, and `{g}` is `{i}` modulo `groups`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Requests {
    /// The method.
    pub method: String,
    /// The Host header.
    pub host: String,
    /// The target.
    pub path: String,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// Bytes of body; none sends no Content-Length.
    pub body: Option<usize>,
    /// The body itself, where its content matters.
    pub text: Option<String>,
    /// Upper bound of `{i}`.
    pub spread: u64,
    /// Modulus of `{g}`.
    pub groups: u64,
    /// The only status that counts as an answer.
    pub expect: u16,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            method: "GET".into(),
            host: "bench.test".into(),
            path: "/".into(),
            headers: Vec::new(),
            body: None,
            text: None,
            spread: 1,
            groups: 1,
            expect: 200,
        }
    }
}

fn one() -> usize {
    1
}

/// A line on standard output.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The upstreams listen.
    Ready {
        /// Their ports by name.
        upstreams: std::collections::BTreeMap<&'static str, u16>,
    },
    /// Counting begins: read the gateway's counters now.
    WindowOpen {},
    /// Counting ended: read them again.
    WindowClose {},
    /// The result of a drive.
    Done(crate::tally::Report),
    /// The connections are open and idle.
    Held {
        /// How many could be opened and were answered.
        connections: usize,
    },
    /// They are closed.
    Released {},
    /// The command could not be carried out.
    Failed {
        /// Why.
        reason: String,
    },
}
