//! The seam between the wire and whoever answers requests, and the entry point for a connection.

use std::cell::Cell;
use std::rc::Rc;

use gibbon_message::RequestHead;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::h1::{Became, Conn};
use crate::{Counters, Drain, HeadError, RequestBody, Responder, ServerSettings, Worker, h2};

/// Whoever answers requests. One value serves all connections of a worker.
#[allow(async_fn_in_trait)] // everything stays on one thread: no Send bound is wanted
pub trait Service: 'static {
    /// What the layer above knows of a connection: addresses, TLS facts, the listener.
    type Info: 'static;

    /// One exchange. Gives exactly one answer through `out`; if it returns without one, or before
    /// [`Responder::finish`], the connection (HTTP/1) or stream (HTTP/2) is cut off.
    /// What is left of `body` is read and thrown away, or the connection closed.
    async fn call(
        self: &Rc<Self>,
        conn: &ConnInfo<Self::Info>,
        head: &mut RequestHead,
        body: RequestBody<'_>,
        out: Responder<'_>,
    );

    /// A head that is no request. The service writes the error answer; the connection closes after it.
    /// `partial` holds what could be parsed: with an error in the headers, the request line and the
    /// headers before it. Not called when nobody is there to answer ([`HeadError::status`] 0).
    async fn refuse(
        self: &Rc<Self>,
        conn: &ConnInfo<Self::Info>,
        error: HeadError,
        partial: &RequestHead,
        out: Responder<'_>,
    );
}

/// One client connection, as its exchanges see it.
#[derive(Debug)]
pub struct ConnInfo<I> {
    pub info: I,
    /// Requests begun on this connection, the current one included.
    pub requests: Cell<u64>,
    /// The worker's tick at which it began.
    since: u64,
}

impl<I> ConnInfo<I> {
    #[must_use]
    pub(crate) fn new(info: I, since: u64) -> Self {
        ConnInfo { info, requests: Cell::new(0), since }
    }

    /// Whether the request under way is to be the last one: there were enough, or the connection is old.
    pub(crate) fn is_worn(&self, settings: &ServerSettings, tick: u64) -> bool {
        let ticks = u32::try_from(tick.saturating_sub(self.since)).unwrap_or(u32::MAX);
        self.requests.get() >= settings.keepalive_requests.max(1)
            || crate::Deadlines::TICK.saturating_mul(ticks) >= settings.keepalive_time
    }
}

/// Which protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    /// After ALPN `h2`.
    Http2,
    /// HTTP/1, unless the connection begins with the HTTP/2 preface (RFC 9113 3.3).
    Http1OrH2cPriorKnowledge,
    /// Plain HTTP/1 on a port that expects TLS: one request is read and refused with
    /// [`HeadError::PlainHttpOnTls`].
    PlainOnTls,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// The client closed it, or asked for it to be closed, between requests.
    Closed,
    /// It idled for longer than the keep-alive timeout.
    KeepaliveTimeout,
    /// It had served as many requests as it may.
    RequestLimit,
    Drained,
    /// A head was refused.
    Refused(HeadError),
    /// An exchange was cut off: by the service, a bad or unread body, or a client that went away.
    Aborted,
    /// It became a tunnel, which ended.
    Upgraded,
    /// HTTP/2: the peer broke the protocol or flooded; the code that was sent or received in GOAWAY.
    ProtocolError(u32),
}

/// What all connections of one listener share on a worker.
#[derive(Debug)]
pub struct Server<V> {
    pub worker: Rc<Worker>,
    pub settings: Rc<ServerSettings>,
    pub service: Rc<V>,
    /// Tells the connections of this listener to retire.
    pub drain: Drain,
}

/// Serves one connection until it ends. `first_bytes` were already read from `stream`.
///
/// The future is small while the connection idles: what serving needs is allocated when a request comes.
pub fn serve<S, V>(
    stream: S,
    first_bytes: Vec<u8>,
    protocol: Protocol,
    info: V::Info,
    server: Rc<Server<V>>,
) -> impl Future<Output = ConnectionEnd> + 'static
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    V: Service,
{
    Counters::add(&server.worker.counters.connections);
    let mut conn = Conn::new(stream, first_bytes, protocol, info, server);
    async move {
        match conn.run().await {
            Became::Ended(end) => end,
            Became::Http2 => {
                let (stream, info, server) = conn.into_parts();
                Box::pin(h2::serve(stream, info, server)).await
            }
        }
    }
}
