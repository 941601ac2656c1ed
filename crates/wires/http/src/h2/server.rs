//! The life of an HTTP/2 client connection: streams become tasks; floods, idling and draining end it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gibbon_message::{Method, RequestHead};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use tokio::io::{AsyncRead, AsyncWrite};

use super::convert::request_from;
use super::exchange::{Answer, Body, Link};
use super::meter::{Flood, Gauge, Meter, kind};
use super::send::Outflow;
use crate::body::RequestBody;
use crate::deadline::Deadline;
use crate::drain::Watch;
use crate::h1::Stage;
use crate::io::Prefixed;
use crate::responder::Responder;
use crate::{ConnInfo, ConnectionEnd, Counters, H2Settings, Server, Service};

/// How long a connection that was told to go may take over it.
const FAREWELL: Duration = Duration::from_secs(5);

type Transport<S> = Meter<Prefixed<S>>;
type H2<S> = h2::server::Connection<Transport<S>, Bytes>;
type Stream = (http::Request<RecvStream>, SendResponse<Bytes>);

/// What the tasks of one connection share.
struct Shared<V: Service> {
    server: Rc<Server<V>>,
    info: Rc<ConnInfo<V::Info>>,
    /// Exchanges under way. A stream its client has reset goes on until its service has noticed.
    active: Cell<u32>,
    /// The tick at which the last exchange ended.
    idle_since: Cell<u64>,
    close_after: Cell<bool>,
}

/// What woke the connection.
enum Event {
    Stream(Box<Stream>),
    Flood(Flood),
    /// No further streams are wanted.
    Retire,
    Idle,
    Failed(h2::Error),
    Closed,
}

pub(crate) async fn serve<S, V>(stream: Prefixed<S>, info: ConnInfo<V::Info>, server: Rc<Server<V>>) -> ConnectionEnd
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    V: Service,
{
    let settings = server.settings.clone();
    let (meter, gauge) = Meter::of_client(stream, server.worker.clone(), &settings.http2);
    let deadline = server.worker.deadlines.register();
    let watch = server.drain.watch();
    let shared = Rc::new(Shared {
        idle_since: Cell::new(server.worker.deadlines.tick()),
        server,
        info: Rc::new(info),
        active: Cell::new(0),
        close_after: Cell::new(false),
    });
    let counters = &shared.server.worker.counters;
    let connection = match deadline.limit(settings.header_timeout, builder(&settings.http2).handshake(meter)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return failed(counters, &gauge, &error),
        Err(_) => {
            Counters::add(&counters.head_timeouts);
            return ConnectionEnd::KeepaliveTimeout;
        }
    };
    let mut life = Life { connection, gauge, deadline, watch, retiring: false, end: ConnectionEnd::Closed, refused: 0 };
    Box::pin(life.run(&shared)).await
}

fn builder(settings: &H2Settings) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(settings.concurrent_streams)
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_frame_size(settings.max_frame_size)
        .max_header_list_size(settings.max_header_list_size)
        .max_send_buffer_size(settings.max_send_buffer)
        .data_frame_budget(settings.data_frame_budget)
        .max_pending_accept_reset_streams(settings.max_pending_resets);
    builder
}

struct Life<S> {
    connection: H2<S>,
    gauge: Rc<Gauge>,
    deadline: Deadline,
    watch: Watch,
    /// GOAWAY was sent.
    retiring: bool,
    end: ConnectionEnd,
    /// Streams refused because too many exchanges were under way.
    refused: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Life<S> {
    async fn run<V: Service>(&mut self, shared: &Rc<Shared<V>>) -> ConnectionEnd {
        let counters = &shared.server.worker.counters;
        self.deadline.set(shared.server.settings.keepalive_timeout);
        loop {
            match poll_fn(|cx| self.poll_event(shared, cx)).await {
                Event::Stream(stream) => {
                    if let Some(flood) = self.begin(*stream, shared) {
                        return self.flooded(flood, counters).await;
                    }
                }
                Event::Flood(flood) => return self.flooded(flood, counters).await,
                Event::Retire => {
                    self.retire(ConnectionEnd::Drained);
                    self.deadline.set(FAREWELL);
                }
                Event::Idle if self.retiring => return self.end,
                Event::Idle => {
                    Counters::add(&counters.keepalive_timeouts);
                    self.retire(ConnectionEnd::KeepaliveTimeout);
                    self.deadline.set(FAREWELL);
                }
                // Told to go, a client may just hang up.
                Event::Failed(error) if self.retiring && error.is_io() => return self.end,
                Event::Failed(error) => return failed(counters, &self.gauge, &error),
                Event::Closed => return self.end,
            }
        }
    }

    fn poll_event<V: Service>(&mut self, shared: &Shared<V>, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(flood) = self.gauge.verdict.get() {
            return Poll::Ready(Event::Flood(flood));
        }
        match self.connection.poll_accept(cx) {
            Poll::Ready(Some(Ok(stream))) => return Poll::Ready(Event::Stream(Box::new(stream))),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Event::Failed(error)),
            Poll::Ready(None) => return Poll::Ready(Event::Closed),
            Poll::Pending => {}
        }
        if let Some(flood) = self.gauge.verdict.get() {
            return Poll::Ready(Event::Flood(flood));
        }
        if !self.retiring && (shared.close_after.get() || self.watch.poll_begun(cx)) {
            return Poll::Ready(Event::Retire);
        }
        if self.deadline.poll_expired(cx).is_ready() {
            if self.retiring && shared.active.get() == 0 || self.idled_out(shared) {
                return Poll::Ready(Event::Idle);
            }
            let patience =
                if self.retiring { FAREWELL } else { shared.server.settings.keepalive_timeout.max(FAREWELL) };
            self.deadline.set(patience);
            let _ = self.deadline.poll_expired(cx);
        }
        Poll::Pending
    }

    fn idled_out<V: Service>(&self, shared: &Shared<V>) -> bool {
        let ticks = shared.server.worker.deadlines.tick() - shared.idle_since.get();
        shared.active.get() == 0 && crate::Deadlines::TICK * ticks as u32 >= shared.server.settings.keepalive_timeout
    }

    /// GOAWAY: streams under way finish, no others begin.
    fn retire(&mut self, end: ConnectionEnd) {
        self.retiring = true;
        self.gauge.retiring.set(true);
        self.end = end;
        self.connection.graceful_shutdown();
    }

    /// Begins an exchange, unless there are too many already: a client that resets its streams at once may
    /// have more of them served than it may have open (CVE-2023-44487).
    fn begin<V: Service>(&mut self, stream: Stream, shared: &Rc<Shared<V>>) -> Option<Flood> {
        let (request, mut respond) = stream;
        let settings = &shared.server.settings;
        let limit = settings.http2.concurrent_streams;
        if shared.active.get() >= limit.saturating_mul(2) {
            respond.send_reset(Reason::REFUSED_STREAM);
            self.refused += 1;
            return (self.refused > limit.max(100)).then_some(Flood::Resets);
        }
        shared.active.set(shared.active.get() + 1);
        shared.info.requests.set(shared.info.requests.get() + 1);
        if !self.retiring && shared.info.is_worn(settings, shared.server.worker.deadlines.tick()) {
            self.retire(ConnectionEnd::RequestLimit);
        }
        let shared = shared.clone();
        // In a box: the runtime moves what it is given, and what a task leaves, several times.
        tokio::task::spawn_local(Box::pin(async move {
            exchange(request, respond, &shared).await;
            shared.active.set(shared.active.get() - 1);
            shared.idle_since.set(shared.server.worker.deadlines.tick());
        }));
        None
    }

    /// Says why and closes. Whatever is under way is cut off.
    async fn flooded(&mut self, flood: Flood, counters: &Counters) -> ConnectionEnd {
        Counters::add(match flood {
            Flood::Control => &counters.h2_control_floods,
            Flood::Empty => &counters.h2_empty_frame_floods,
            Flood::Resets => &counters.h2_reset_floods,
        });
        self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        let _ = self.deadline.limit(FAREWELL, poll_fn(|cx| self.connection.poll_closed(cx))).await;
        ConnectionEnd::ProtocolError(Reason::ENHANCE_YOUR_CALM.into())
    }
}

/// Counts a connection error. The `h2` crate does not say which of its bounds was broken; the last frame
/// read does.
fn failed(counters: &Counters, gauge: &Gauge, error: &h2::Error) -> ConnectionEnd {
    let Some(reason) = error.reason() else { return ConnectionEnd::Closed };
    if error.is_remote() && reason == Reason::NO_ERROR {
        return ConnectionEnd::Closed;
    }
    if !error.is_remote() {
        let calm = reason == Reason::ENHANCE_YOUR_CALM;
        Counters::add(match gauge.last_kind.get() {
            kind::CONTINUATION if calm => &counters.h2_continuation_floods,
            kind::DATA if calm => &counters.h2_empty_frame_floods,
            kind::HEADERS | kind::RST_STREAM if calm => &counters.h2_reset_floods,
            _ if reason == Reason::COMPRESSION_ERROR => &counters.h2_oversized_headers,
            _ => &counters.h2_protocol_errors,
        });
    }
    ConnectionEnd::ProtocolError(reason.into())
}

/// One stream from its head to its end.
async fn exchange<V: Service>(request: http::Request<RecvStream>, respond: SendResponse<Bytes>, shared: &Shared<V>) {
    let server = &shared.server;
    let worker = &*server.worker;
    let (parts, stream) = request.into_parts();
    let mut head = RequestHead::default();
    let framing = request_from(&parts, stream.is_end_stream(), server.settings.ignore_invalid_headers, &mut head);
    drop(parts);
    let link = Link {
        worker,
        settings: &server.settings,
        respond: RefCell::new(respond),
        stream: RefCell::new(None),
        head_request: head.method == Method::Head,
        continue_wanted: Cell::new(framing.as_ref().is_ok_and(|f| f.expect_continue)),
        stage: Cell::new(Stage::Waiting),
        close_after: &shared.close_after,
    };
    let out = Responder::h2(Answer { link: &link, outflow: Outflow::default() });
    match framing {
        Ok(framing) => {
            Counters::add(&worker.counters.requests);
            let body = RequestBody::h2(Body::new(&link, stream, framing.length));
            server.service.call(&shared.info, &mut head, body, out).await;
        }
        Err(error) => {
            Counters::add(&worker.counters.bad_heads);
            server.service.refuse(&shared.info, error, &head, out).await;
        }
    }
    if link.stage.get() != Stage::Finished {
        link.reset(Reason::INTERNAL_ERROR);
    }
}
