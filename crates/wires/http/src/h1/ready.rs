//! A client connection while it is being served: head, exchange, what is left of the body, and again.

use std::cell::{Cell, OnceCell};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use gibbon_message::{Method, RequestHead, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use super::exchange::{self, Link, Stage};
use super::scan::Scan;
use super::server::{Conn, Served, Wait};
use super::{Answer, Body, Decoder, Fill, ReadBuffer, Sink, Source};
use crate::body::RequestBody;
use crate::deadline::Deadline;
use crate::io::Io;
use crate::parse::{self, HeadLimits, RequestFraming, Spans};
use crate::responder::Responder;
use crate::{ConnectionEnd, Counters, HeadError, Protocol, Service};

/// How long a connection keeps its serving state after an answer before it shrinks to the idle one.
const STAY_READY: Duration = Duration::from_secs(1);
/// How many connections of a worker may do so at a time; the others shrink at once.
const MAX_STAYING: usize = 128;
/// What is read and thrown away at most when a connection closes under a client that still sends.
const LINGER_BYTES: u64 = 4 * 1024 * 1024;

/// The serving state of a connection.
pub(super) struct Ready<'c, S, V: Service> {
    conn: &'c Conn<S, V>,
    source: Source,
    sink: Sink,
    send_deadline: OnceCell<Deadline>,
}

/// One of the places for connections that stay ready, given back when dropped.
struct StayPlace<'a>(&'a Cell<usize>);

impl<'a> StayPlace<'a> {
    fn take(staying: &'a Cell<usize>) -> Option<Self> {
        if staying.get() >= MAX_STAYING {
            return None;
        }
        staying.set(staying.get() + 1);
        Some(StayPlace(staying))
    }
}

impl Drop for StayPlace<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What came of waiting for a head.
enum Next {
    Request(RequestFraming),
    Idle,
    End(ConnectionEnd),
    Refuse(HeadError),
}

impl<'c, S, V> Ready<'c, S, V>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    V: Service,
{
    pub(super) fn new(conn: &'c Conn<S, V>, unread: ReadBuffer) -> Self {
        Ready { conn, source: Source::of(unread), sink: Sink::default(), send_deadline: OnceCell::new() }
    }

    /// Serves requests as long as they come without a long pause.
    pub(super) async fn serve(mut self) -> Served {
        let served = self.serve_requests().await;
        self.sink.release(&self.conn.server.worker);
        served
    }

    async fn serve_requests(&mut self) -> Served {
        let mut head = RequestHead::default();
        let mut spans = Spans::default();
        loop {
            let framing = match self.next_head(&mut head, &mut spans).await {
                Next::Request(_) if self.conn.protocol == Protocol::PlainOnTls => {
                    return self.refuse(HeadError::PlainHttpOnTls, &head).await;
                }
                Next::Request(framing) => framing,
                Next::Idle => return Served::Idle,
                Next::End(end) => return Served::End(end),
                Next::Refuse(error) => return self.refuse(error, &head).await,
            };
            if let Some(end) = self.exchange(framing, &mut head).await {
                return Served::End(end);
            }
        }
    }

    /// Reads a whole head. Between requests it gives up after a moment without a first byte.
    async fn next_head(&mut self, head: &mut RequestHead, spans: &mut Spans) -> Next {
        let settings = &*self.conn.server.settings;
        while self.only_line_ends_waiting() {
            if self.source.ended {
                return Next::End(ConnectionEnd::Closed);
            }
            match self.stay().await {
                Wait::Bytes => {}
                Wait::Closed => return Next::End(ConnectionEnd::Closed),
                Wait::Drained => return Next::End(ConnectionEnd::Drained),
                Wait::Expired => return Next::Idle,
            }
        }
        let limits = HeadLimits {
            max_headers: settings.max_headers,
            ignore_invalid_headers: settings.ignore_invalid_headers,
            keep_line: settings.keep_request_line,
        };
        let bytes = self.source.buffer.bytes();
        match parse::request_head(bytes, limits, spans, head) {
            Ok(Some(framing)) if framing.consumed <= settings.header_buffer => return Next::Request(framing),
            Ok(_) => {}
            Err(error) => return Next::Refuse(error),
        }
        // A head that is large or still under way: from here on its size is watched.
        if let Err(error) = self.complete_head().await {
            return Next::Refuse(error);
        }
        match parse::request_head(self.source.buffer.bytes(), limits, spans, head) {
            Ok(Some(framing)) => Next::Request(framing),
            Ok(None) => Next::Refuse(HeadError::Truncated),
            Err(error) => Next::Refuse(error),
        }
    }

    /// Waits a moment for the next request, if not too many connections do already.
    async fn stay(&mut self) -> Wait {
        let worker = &*self.conn.server.worker;
        let Some(_place) = StayPlace::take(&worker.staying) else { return Wait::Expired };
        // Whoever answers next finds this buffer still warm.
        self.sink.release(worker);
        self.conn.read_deadline.set(STAY_READY.min(self.conn.server.settings.keepalive_timeout));
        self.conn.wait_for_bytes(&mut self.source.buffer).await
    }

    /// Whether no request has begun. Empty lines between requests are dropped (RFC 9112 2.2).
    fn only_line_ends_waiting(&mut self) -> bool {
        let blank = self.source.buffer.bytes().iter().take_while(|&&b| b == b'\r' || b == b'\n').count();
        self.source.buffer.consume(blank);
        self.source.buffer.is_empty()
    }

    /// Reads until the buffer begins with a complete head within its limits, or one that is known to be
    /// bad.
    async fn complete_head(&mut self) -> Result<(), HeadError> {
        let Conn { io, server, read_deadline, .. } = self.conn;
        let (settings, worker) = (&*server.settings, &*server.worker);
        let mut scan = Scan::new(settings);
        let source = &mut self.source;
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
        read_deadline.clear();
        read
    }

    /// One request and its answer. `None`: the connection goes on.
    async fn exchange(&mut self, framing: RequestFraming, head: &mut RequestHead) -> Option<ConnectionEnd> {
        let Conn { io, info, server, read_deadline, watch, .. } = self.conn;
        let settings = &*server.settings;
        info.requests.set(info.requests.get() + 1);
        Counters::add(&server.worker.counters.requests);
        let last = info.is_worn(settings, server.worker.deadlines.tick());
        let may_stay = !last && !settings.keepalive_timeout.is_zero();
        self.source.reset();
        self.source.begin(framing.consumed, Decoder::new(framing.length, true));
        self.sink.begin(&server.worker);
        let link = Link {
            io,
            worker: &server.worker,
            settings,
            send_deadline: &self.send_deadline,
            watch,
            head_request: head.method == Method::Head,
            http10: head.version == Version::Http10,
            keep_alive: Cell::new(framing.keep_alive && may_stay),
            continue_wanted: Cell::new(framing.expect_continue),
            stage: Cell::new(Stage::Waiting),
        };
        let body = Body { link: &link, source: &mut self.source, deadline: read_deadline, length: framing.length };
        let out = Answer { link: &link, sink: &mut self.sink };
        server.service.call(info, head, RequestBody::h1(body), Responder::h1(out)).await;
        match link.stage.get() {
            Stage::Finished if link.keep_alive.get() => {
                if self.finish_body().await {
                    return None;
                }
                Some(self.close(ConnectionEnd::Aborted).await)
            }
            Stage::Finished => {
                let end = if last { ConnectionEnd::RequestLimit } else { ConnectionEnd::Closed };
                Some(self.close(end).await)
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
    async fn finish_body(&mut self) -> bool {
        self.source.settle();
        if self.source.decoder.is_end() {
            return true;
        }
        let Conn { io, server, read_deadline, .. } = self.conn;
        let settings = &*server.settings;
        let limit = settings.drain_bytes;
        if matches!(self.source.decoder, Decoder::Exact(left) if left > limit) {
            return false;
        }
        let source = &mut self.source;
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
    async fn refuse(&mut self, error: HeadError, head: &RequestHead) -> Served {
        let Conn { io, info, server, watch, .. } = self.conn;
        if error.status() == 0 {
            return Served::End(ConnectionEnd::Closed);
        }
        info.requests.set(info.requests.get() + 1);
        let counters = &server.worker.counters;
        Counters::add(if error == HeadError::Timeout { &counters.head_timeouts } else { &counters.bad_heads });
        self.source.decoder = Decoder::Broken;
        self.sink.begin(&server.worker);
        let link = Link {
            io,
            worker: &server.worker,
            settings: &server.settings,
            send_deadline: &self.send_deadline,
            watch,
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
        Served::End(self.close(ConnectionEnd::Refused(error)).await)
    }

    /// Closes so that the last answer arrives: the sending side first, then what still comes is read for a
    /// moment.
    async fn close(&mut self, end: ConnectionEnd) -> ConnectionEnd {
        let Conn { io, server, read_deadline, .. } = self.conn;
        let io: &dyn Io = io;
        let source = &mut self.source;
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
