//! The life of an HTTP/1 client connection: wait, read a head, let the service answer, go on or close.
//!
//! Memory decides the shape: waiting between requests is a small future without buffers. Serving is a
//! large one, made when a first byte arrives and kept for a short while after an answer, so that a busy
//! connection neither allocates nor moves anything between its requests.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use gibbon_message::{Method, RequestHead, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use super::exchange::{self, Link, Stage};
use super::scan::Scan;
use super::{Answer, Body, Decoder, Fill, Sink, Source};
use crate::body::RequestBody;
use crate::deadline::Deadline;
use crate::drain::Watch;
use crate::io::Io;
use crate::parse::{self, HeadLimits, RequestFraming, Spans};
use crate::responder::Responder;
use crate::{ConnInfo, ConnectionEnd, Counters, HeadError, Server, Service};

/// How long a connection keeps its serving state after an answer before it shrinks to the idle one.
const STAY_READY: Duration = Duration::from_secs(1);
/// What is read and thrown away at most when a connection closes under a client that still sends.
const LINGER_BYTES: u64 = 4 * 1024 * 1024;
/// The first bytes of an HTTP/2 connection (RFC 9113 3.4).
pub(crate) const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection keeps while it idles.
struct Conn<S> {
    io: RefCell<S>,
    source: Source,
    sink: Sink,
    read_deadline: Deadline,
    send_deadline: OnceCell<Deadline>,
    watch: Watch,
}

/// How HTTP/1 is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Plain,
    /// Stop and give the stream back if it begins with the HTTP/2 preface.
    DetectH2,
    /// Refuse the first request: it should have come over TLS.
    RefusePlain,
}

/// How serving HTTP/1 ended.
pub(crate) enum Served<S> {
    End(ConnectionEnd),
    /// The stream speaks HTTP/2: here it is, with the bytes read from it.
    Http2(S, Vec<u8>),
}

pub(crate) async fn serve<S, V>(
    stream: S,
    first_bytes: Vec<u8>,
    mode: Mode,
    info: &ConnInfo<V::Info>,
    server: &Rc<Server<V>>,
) -> Served<S>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    V: Service,
{
    let mut conn = Conn {
        io: RefCell::new(stream),
        source: Source::with(first_bytes),
        sink: Sink::default(),
        read_deadline: server.worker.deadlines.register(),
        send_deadline: OnceCell::new(),
        watch: server.drain.watch(),
    };
    loop {
        match conn.idle(info, server).await {
            Idle::Bytes => {}
            Idle::End(end) => return Served::End(end),
        }
        if mode == Mode::DetectH2 && info.requests.get() == 0 && conn.speaks_http2(server).await {
            let bytes = conn.source.buffer.take();
            return Served::Http2(conn.io.into_inner(), bytes);
        }
        match Box::pin(conn.serve_ready(mode, info, server)).await {
            Ready::Idle => {}
            Ready::End(end) => return Served::End(end),
        }
    }
}

enum Idle {
    Bytes,
    End(ConnectionEnd),
}

enum Ready {
    /// Nothing came for a while: shrink.
    Idle,
    End(ConnectionEnd),
}

/// What came of waiting for a head.
enum Next {
    Request(RequestFraming),
    Idle,
    End(ConnectionEnd),
    Refuse(HeadError),
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Conn<S> {
    /// Waits for the first byte of a request.
    async fn idle<V: Service>(&mut self, info: &ConnInfo<V::Info>, server: &Rc<Server<V>>) -> Idle {
        if !self.source.buffer.is_empty() {
            return Idle::Bytes;
        }
        let first = info.requests.get() == 0;
        let settings = &server.settings;
        self.read_deadline.set(if first { settings.header_timeout } else { settings.keepalive_timeout });
        match self.wait_for_bytes(server, false).await {
            Wait::Bytes => Idle::Bytes,
            Wait::Closed => Idle::End(ConnectionEnd::Closed),
            Wait::Drained => Idle::End(ConnectionEnd::Drained),
            Wait::Expired => {
                let counters = &server.worker.counters;
                Counters::add(if first { &counters.head_timeouts } else { &counters.keepalive_timeouts });
                Idle::End(ConnectionEnd::KeepaliveTimeout)
            }
        }
    }

    async fn wait_for_bytes<V>(&mut self, server: &Server<V>, ready: bool) -> Wait {
        let Conn { io, source, sink, read_deadline, watch, .. } = self;
        let worker = &*server.worker;
        if !ready {
            sink.release(worker);
        }
        let wait = poll_fn(|cx| match source.buffer.poll_fill(io, worker, cx) {
            Poll::Ready(Ok(Fill::Read(_) | Fill::Full)) => Poll::Ready(Wait::Bytes),
            Poll::Ready(Ok(Fill::End) | Err(_)) => Poll::Ready(Wait::Closed),
            Poll::Pending if watch.poll_begun(cx) => Poll::Ready(Wait::Drained),
            Poll::Pending => read_deadline.poll_expired(cx).map(|()| Wait::Expired),
        })
        .await;
        self.read_deadline.clear();
        wait
    }

    /// Whether the connection begins with the HTTP/2 preface; waits for as much of it as may be one.
    async fn speaks_http2<V>(&mut self, server: &Server<V>) -> bool {
        self.read_deadline.set(server.settings.header_timeout);
        loop {
            let bytes = self.source.buffer.bytes();
            let seen = bytes.len().min(H2_PREFACE.len());
            if bytes.get(..seen) != H2_PREFACE.get(..seen) {
                return false;
            }
            if seen == H2_PREFACE.len() {
                return true;
            }
            let Conn { io, source, read_deadline, .. } = self;
            let more = poll_fn(|cx| match source.buffer.poll_fill(io, &server.worker, cx) {
                Poll::Ready(read) => Poll::Ready(matches!(read, Ok(Fill::Read(_)))),
                Poll::Pending => read_deadline.poll_expired(cx).map(|()| false),
            })
            .await;
            if !more {
                return false;
            }
        }
    }

    /// Serves requests as long as they come without a long pause.
    async fn serve_ready<V: Service>(&mut self, mode: Mode, info: &ConnInfo<V::Info>, server: &Rc<Server<V>>) -> Ready {
        let mut head = RequestHead::default();
        let mut spans = Spans::default();
        loop {
            let framing = match self.next_head(&mut head, &mut spans, server).await {
                Next::Request(_) if mode == Mode::RefusePlain => {
                    return self.refuse(HeadError::PlainHttpOnTls, &head, info, server).await;
                }
                Next::Request(framing) => framing,
                Next::Idle => return Ready::Idle,
                Next::End(end) => return Ready::End(end),
                Next::Refuse(error) => return self.refuse(error, &head, info, server).await,
            };
            if let Some(end) = self.exchange(framing, &mut head, info, server).await {
                return Ready::End(end);
            }
        }
    }

    /// Reads a whole head. Between requests it gives up after a moment without a first byte.
    async fn next_head<V>(&mut self, head: &mut RequestHead, spans: &mut Spans, server: &Server<V>) -> Next {
        let settings = &*server.settings;
        while self.only_line_ends_waiting() {
            if self.source.ended {
                return Next::End(ConnectionEnd::Closed);
            }
            self.read_deadline.set(STAY_READY.min(settings.keepalive_timeout));
            match self.wait_for_bytes(server, true).await {
                Wait::Bytes => {}
                Wait::Closed => return Next::End(ConnectionEnd::Closed),
                Wait::Drained => return Next::End(ConnectionEnd::Drained),
                Wait::Expired => return Next::Idle,
            }
        }
        let limits =
            HeadLimits { max_headers: settings.max_headers, ignore_invalid_headers: settings.ignore_invalid_headers };
        let bytes = self.source.buffer.bytes();
        match parse::request_head(bytes, limits, spans, head) {
            Ok(Some(framing)) if framing.consumed <= settings.header_buffer => return Next::Request(framing),
            Ok(_) => {}
            Err(error) => return Next::Refuse(error),
        }
        // A head that is large or still under way: from here on its size is watched.
        if let Err(error) = self.complete_head(server).await {
            return Next::Refuse(error);
        }
        match parse::request_head(self.source.buffer.bytes(), limits, spans, head) {
            Ok(Some(framing)) => Next::Request(framing),
            Ok(None) => Next::Refuse(HeadError::Truncated),
            Err(error) => Next::Refuse(error),
        }
    }

    /// Whether no request has begun. Empty lines between requests are dropped (RFC 9112 2.2).
    fn only_line_ends_waiting(&mut self) -> bool {
        let blank = self.source.buffer.bytes().iter().take_while(|&&b| b == b'\r' || b == b'\n').count();
        self.source.buffer.consume(blank);
        self.source.buffer.is_empty()
    }

    /// Reads until the buffer begins with a complete head within its limits, or one that is known to be
    /// bad.
    async fn complete_head<V>(&mut self, server: &Server<V>) -> Result<(), HeadError> {
        let settings = &*server.settings;
        let worker = &*server.worker;
        let mut scan = Scan::new(settings);
        let Conn { io, source, read_deadline, .. } = self;
        read_deadline.set(settings.header_timeout);
        let read = poll_fn(|cx| {
            loop {
                match scan.advance(source.buffer.bytes(), settings) {
                    Ok(true) => return Poll::Ready(Ok(())),
                    Ok(false) => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
                match source.buffer.poll_fill(io, worker, cx) {
                    Poll::Ready(Ok(Fill::Read(_))) => {}
                    Poll::Ready(Ok(Fill::Full)) => {
                        // Bytes behind the limit may only come with a head that ends before it.
                        if !source.buffer.grow(Scan::limit(settings) + 1) {
                            return Poll::Ready(Err(HeadError::HeaderTooLarge));
                        }
                    }
                    Poll::Ready(Ok(Fill::End)) => return Poll::Ready(Err(HeadError::Truncated)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(HeadError::Io(error.kind()))),
                    Poll::Pending => return read_deadline.poll_expired(cx).map(|()| Err(HeadError::Timeout)),
                }
            }
        })
        .await;
        self.read_deadline.clear();
        read
    }

    /// One request and its answer. `None`: the connection goes on.
    async fn exchange<V: Service>(
        &mut self,
        framing: RequestFraming,
        head: &mut RequestHead,
        info: &ConnInfo<V::Info>,
        server: &Rc<Server<V>>,
    ) -> Option<ConnectionEnd> {
        let settings = &*server.settings;
        info.requests.set(info.requests.get() + 1);
        Counters::add(&server.worker.counters.requests);
        let last = info.requests.get() >= settings.keepalive_requests.max(1);
        let may_stay = !last && !settings.keepalive_timeout.is_zero();
        self.source.reset();
        self.source.begin(framing.consumed, Decoder::new(framing.length, true));
        self.sink.begin(&server.worker);
        let link = Link {
            io: &self.io,
            worker: &server.worker,
            settings,
            send_deadline: &self.send_deadline,
            watch: &self.watch,
            head_request: head.method == Method::Head,
            http10: head.version == Version::Http10,
            keep_alive: Cell::new(framing.keep_alive && may_stay),
            continue_wanted: Cell::new(framing.expect_continue),
            stage: Cell::new(Stage::Waiting),
        };
        let body =
            Body { link: &link, source: &mut self.source, deadline: &self.read_deadline, length: framing.length };
        let out = Answer { link: &link, sink: &mut self.sink };
        server.service.call(info, head, RequestBody::h1(body), Responder::h1(out)).await;
        match link.stage.get() {
            Stage::Finished if link.keep_alive.get() => {
                if self.finish_body(server).await {
                    return None;
                }
                Some(self.close(server, ConnectionEnd::Aborted).await)
            }
            Stage::Finished => {
                let end = if last { ConnectionEnd::RequestLimit } else { ConnectionEnd::Closed };
                Some(self.close(server, end).await)
            }
            Stage::Upgraded => Some(ConnectionEnd::Upgraded),
            Stage::Waiting | Stage::Begun | Stage::Aborted => {
                // The client gets what there was, and sees that it is not all.
                let _ = self.sink.flush(link.outlet()).await;
                Some(ConnectionEnd::Aborted)
            }
        }
    }

    /// Reads what the service left of the body, within bounds. Whether the next request can be found.
    async fn finish_body<V>(&mut self, server: &Server<V>) -> bool {
        self.source.settle();
        if self.source.decoder.is_end() {
            return true;
        }
        let settings = &*server.settings;
        let limit = settings.drain_bytes;
        if matches!(self.source.decoder, Decoder::Exact(left) if left > limit) {
            return false;
        }
        let Conn { io, source, read_deadline, .. } = self;
        let before = source.received();
        let drained = read_deadline.limit(settings.drain_timeout, async {
            // A second deadline within the first would share its place: the outer one bounds all.
            let timer = server.worker.deadlines.register();
            while source.received() - before <= limit {
                match source.chunk(io, &server.worker, &timer, Duration::MAX).await {
                    Ok(Some(_)) => {}
                    Ok(None) => return true,
                    Err(_) => return false,
                }
            }
            false
        });
        drained.await.unwrap_or(false)
    }

    /// Lets the service answer a bad head, then closes.
    async fn refuse<V: Service>(
        &mut self,
        error: HeadError,
        head: &RequestHead,
        info: &ConnInfo<V::Info>,
        server: &Rc<Server<V>>,
    ) -> Ready {
        if error.status() == 0 {
            return Ready::End(ConnectionEnd::Closed);
        }
        info.requests.set(info.requests.get() + 1);
        let counters = &server.worker.counters;
        Counters::add(if error == HeadError::Timeout { &counters.head_timeouts } else { &counters.bad_heads });
        self.source.decoder = Decoder::Broken;
        self.sink.begin(&server.worker);
        let link = Link {
            io: &self.io,
            worker: &server.worker,
            settings: &server.settings,
            send_deadline: &self.send_deadline,
            watch: &self.watch,
            head_request: head.method == Method::Head,
            // The version may be unknown, and the answer is short: never chunked.
            http10: true,
            keep_alive: Cell::new(false),
            continue_wanted: Cell::new(false),
            stage: Cell::new(Stage::Waiting),
        };
        let out = Answer { link: &link, sink: &mut self.sink };
        server.service.refuse(info, error, head, Responder::h1(out)).await;
        let _ = self.sink.flush(link.outlet()).await;
        Ready::End(self.close(server, ConnectionEnd::Refused(error)).await)
    }

    /// Closes so that the last answer arrives: the sending side first, then what still comes is read for a
    /// moment.
    async fn close<V>(&mut self, server: &Server<V>, end: ConnectionEnd) -> ConnectionEnd {
        let Conn { io, source, read_deadline, .. } = self;
        let io: &dyn Io = io;
        let still_sending = !source.ended && !source.decoder.is_end();
        let _ = read_deadline
            .limit(server.settings.drain_timeout, async {
                let _ = poll_fn(|cx| io.poll_shutdown(cx)).await;
                if still_sending {
                    exchange::discard(source, io, &server.worker, LINGER_BYTES).await;
                }
            })
            .await;
        end
    }
}

/// What ended a wait for bytes.
enum Wait {
    Bytes,
    Closed,
    Drained,
    Expired,
}
