//! An HTTP/2 connection to an upstream, shared by many exchanges, each on a stream of its own.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use gibbon_message::{Headers, Method, ResponseHead, Scheme};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Answer, ClientError, ClientErrorKind, ClientSettings, Timeouts};
use crate::deadline::{Deadline, LazyTimer};
use crate::h1::WireError;
use crate::h2::{Inflow, Meter, Outflow, Pace, StreamCell, request_parts, response_from, wire_error};
use crate::parse::content_length;
use crate::{BodyLength, H2Settings, Worker};

/// Informational heads before the final one; more is a flood.
const MAX_INFORMATIONAL: u32 = 100;

/// Streams given to a connection whose peer has not yet said how many it takes; RFC 9113 6.5.2 asks for at
/// least as many.
const ASSUMED_STREAMS: usize = 100;

/// One HTTP/2 connection to an upstream. Clones are the same connection; it closes when the last clone
/// and the last stream are gone.
#[derive(Clone)]
pub struct H2Connection {
    send: SendRequest<Bytes>,
    shared: Rc<Shared>,
}

struct Shared {
    worker: Rc<Worker>,
    scheme: Scheme,
    open: Cell<bool>,
    /// Streams begun, and those under way.
    requests: Cell<u64>,
    active: Cell<usize>,
}

impl H2Connection {
    /// Sends the preface and spawns the local task that drives the connection.
    pub async fn handshake<S>(
        io: S,
        scheme: Scheme,
        worker: &Rc<Worker>,
        settings: &ClientSettings,
    ) -> Result<Self, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (meter, gauge) = Meter::of_upstream(io, worker.clone(), &settings.http2);
        let (send, mut connection) = builder(&settings.http2)
            .handshake::<_, Bytes>(meter)
            .await
            .map_err(|error| ClientError { kind: error_kind(&error), received: false, reused: false })?;
        let shared = Rc::new(Shared {
            worker: worker.clone(),
            scheme,
            open: Cell::new(true),
            requests: Cell::new(0),
            active: Cell::new(0),
        });
        let driven = shared.clone();
        tokio::task::spawn_local(async move {
            // What went wrong is told to each stream. A flood ends the connection, and with it all streams.
            poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
                Poll::Pending if gauge.verdict.get().is_none() => Poll::Pending,
                _ => Poll::Ready(()),
            })
            .await;
            driven.open.set(false);
        });
        Ok(H2Connection { send, shared })
    }

    /// Whether new streams may be opened: the peer has neither closed nor sent GOAWAY.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.shared.open.get() && !matches!(self.send.clone().poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    /// Whether one more stream is within the peer's limit; beyond it streams wait for others to end.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let limit = match self.send.current_max_send_streams() {
            // The peer's settings have not come.
            0 => ASSUMED_STREAMS,
            limit => limit,
        };
        self.shared.active.get() < limit
    }

    /// Streams under way.
    #[must_use]
    pub fn active(&self) -> usize {
        self.shared.active.get()
    }

    /// Streams begun.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.get()
    }

    /// A stream to begin one exchange on.
    #[must_use]
    pub fn stream(&self) -> H2Stream {
        let shared = self.shared.clone();
        let reused = shared.requests.get() > 0;
        shared.requests.set(shared.requests.get() + 1);
        shared.active.set(shared.active.get() + 1);
        H2Stream {
            send: self.send.clone(),
            shared,
            stream: RefCell::new(None),
            response: RefCell::new(None),
            outflow: Outflow::default(),
            inflow: None,
            deadline: OnceCell::new(),
            state: State { reused, ..State::default() },
        }
    }
}

fn builder(settings: &H2Settings) -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_frame_size(settings.max_frame_size)
        .max_header_list_size(settings.max_header_list_size)
        .max_send_buffer_size(settings.max_send_buffer)
        .data_frame_budget(settings.data_frame_budget)
        // Streams wait until the upstream has said how many it takes, instead of being refused.
        .initial_max_send_streams(0);
    builder
}

/// One stream of an [`H2Connection`]; dropping it before its end resets it.
pub struct H2Stream {
    send: SendRequest<Bytes>,
    shared: Rc<Shared>,
    stream: StreamCell,
    response: RefCell<Option<ResponseFuture>>,
    outflow: Outflow,
    inflow: Option<Inflow>,
    deadline: OnceCell<Deadline>,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    reused: bool,
    /// The request has left completely.
    request_done: Cell<bool>,
    informational: Cell<u32>,
    received: Cell<bool>,
}

impl State {
    fn error(&self, kind: ClientErrorKind) -> ClientError {
        ClientError { kind, received: self.received.get(), reused: self.reused }
    }
}

impl Drop for H2Stream {
    fn drop(&mut self) {
        self.shared.active.set(self.shared.active.get().saturating_sub(1));
    }
}

impl H2Stream {
    /// Begins the exchange; only once.
    pub fn exchange(&mut self, timeouts: Timeouts) -> (super::Writer<'_>, super::Reader<'_>) {
        let writer = Writer {
            send: &mut self.send,
            shared: &self.shared,
            stream: &self.stream,
            response: &self.response,
            outflow: &mut self.outflow,
            pace: Pace { stream: &self.stream, worker: &self.shared.worker, timeout: timeouts.send },
            state: &self.state,
        };
        let reader = Reader {
            worker: &self.shared.worker,
            response: &self.response,
            inflow: &mut self.inflow,
            deadline: &self.deadline,
            timeouts,
            state: &self.state,
        };
        (super::Writer::h2(writer), super::Reader::h2(reader))
    }

    /// Gives the stream up.
    pub fn reset(&mut self) {
        if let Some(stream) = self.stream.borrow_mut().as_mut() {
            stream.send_reset(Reason::CANCEL);
        }
    }
}

/// The request half.
pub(super) struct Writer<'a> {
    send: &'a mut SendRequest<Bytes>,
    shared: &'a Shared,
    stream: &'a StreamCell,
    response: &'a RefCell<Option<ResponseFuture>>,
    outflow: &'a mut Outflow,
    pace: Pace<'a>,
    state: &'a State,
}

impl Writer<'_> {
    pub(super) fn head(
        &mut self,
        method: &Method,
        target: &[u8],
        headers: &Headers,
        length: BodyLength,
    ) -> Result<(), ClientError> {
        if self.stream.borrow().is_some() {
            return Err(self.state.error(ClientErrorKind::Misuse("second head on one stream")));
        }
        let request = request_parts(self.shared.scheme, method, target, headers, length)
            .map_err(|why| self.state.error(ClientErrorKind::Misuse(why)))?;
        let ended = matches!(length, BodyLength::None | BodyLength::Exact(0));
        // An error here means that the connection has ended in the meantime: nothing was sent.
        let (response, stream) =
            self.send.send_request(request, ended).map_err(|_| self.state.error(ClientErrorKind::Refused))?;
        *self.stream.borrow_mut() = Some(stream);
        *self.response.borrow_mut() = Some(response);
        self.outflow.begin(length, ended);
        Ok(())
    }

    pub(super) async fn data(&mut self, data: &[u8]) -> Result<(), ClientError> {
        let sent = self.outflow.data(self.pace, data).await;
        sent.map_err(|error| self.failed(error))
    }

    pub(super) async fn flush(&mut self) -> Result<(), ClientError> {
        let sent = self.outflow.flush(self.pace).await;
        sent.map_err(|error| self.failed(error))
    }

    pub(super) async fn finish(&mut self, trailers: Option<&Headers>) -> Result<(), ClientError> {
        let sent = self.outflow.finish(self.pace, trailers).await;
        sent.map_err(|error| self.failed(error))?;
        self.state.request_done.set(true);
        Ok(())
    }

    pub(super) fn bytes_sent(&self) -> u64 {
        self.outflow.body_sent
    }

    fn failed(&self, error: WireError) -> ClientError {
        self.state.error(match error {
            WireError::Closed => ClientErrorKind::Closed,
            WireError::Timeout => ClientErrorKind::SendTimeout,
            WireError::Io(kind) => ClientErrorKind::Io(kind),
            WireError::Reset(code) => reset_kind(code),
            WireError::Invalid(why) | WireError::Misuse(why) => ClientErrorKind::Misuse(why),
        })
    }
}

/// The answer half.
pub(super) struct Reader<'a> {
    worker: &'a Worker,
    response: &'a RefCell<Option<ResponseFuture>>,
    inflow: &'a mut Option<Inflow>,
    deadline: &'a OnceCell<Deadline>,
    timeouts: Timeouts,
    state: &'a State,
}

/// A head as it arrived.
enum Head {
    Informational(http::Response<()>),
    Final(http::Response<RecvStream>),
}

impl Reader<'_> {
    pub(super) async fn head(&mut self, head: &mut ResponseHead) -> Result<Answer, ClientError> {
        if self.inflow.is_some() {
            return Err(self.state.error(ClientErrorKind::Misuse("second final head")));
        }
        let mut timer = LazyTimer::new(&self.worker.deadlines, self.deadline, self.timeouts.read);
        let found = poll_fn(|cx| match self.poll_head(cx) {
            Poll::Ready(found) => Poll::Ready(found),
            // The time runs once the whole request is out: before, it is the client who is slow.
            Poll::Pending if !self.state.request_done.get() => Poll::Pending,
            Poll::Pending => timer.poll_expired(cx).map(|()| Err(ClientErrorKind::ReadTimeout)),
        })
        .await
        .map_err(|kind| self.state.error(kind))?;
        self.state.received.set(true);
        match found {
            Head::Informational(response) => {
                self.state.informational.set(self.state.informational.get() + 1);
                if self.state.informational.get() > MAX_INFORMATIONAL {
                    return Err(self.state.error(ClientErrorKind::Invalid("too many informational heads")));
                }
                response_from(&response, head);
                Ok(Answer::Informational)
            }
            Head::Final(response) => {
                response_from(&response, head);
                let stream = response.into_body();
                let length = body_length(head, &stream).map_err(|kind| self.state.error(kind))?;
                *self.inflow = Some(Inflow::new(stream));
                Ok(Answer::Final(length))
            }
        }
    }

    fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Result<Head, ClientErrorKind>> {
        let mut response = self.response.borrow_mut();
        let Some(future) = response.as_mut() else {
            return Poll::Ready(Err(ClientErrorKind::Misuse("waiting for an answer before the request")));
        };
        if let Poll::Ready(Some(informational)) = future.poll_informational(cx) {
            return Poll::Ready(informational.map(Head::Informational).map_err(|error| error_kind(&error)));
        }
        Pin::new(future).poll(cx).map(|found| found.map(Head::Final).map_err(|error| error_kind(&error)))
    }

    pub(super) async fn chunk(&mut self) -> Result<Option<&[u8]>, ClientError> {
        let Some(inflow) = self.inflow.as_mut() else {
            return Err(self.state.error(ClientErrorKind::Misuse("body before a head")));
        };
        match inflow.chunk(self.worker, self.timeouts.read).await {
            Ok(true) => Ok(Some(inflow.current())),
            Ok(false) => Ok(None),
            Err(error) => Err(self.state.error(match error {
                WireError::Closed => ClientErrorKind::Truncated,
                WireError::Timeout => ClientErrorKind::ReadTimeout,
                WireError::Io(kind) => ClientErrorKind::Io(kind),
                WireError::Reset(code) => ClientErrorKind::Reset(code),
                WireError::Invalid(why) | WireError::Misuse(why) => ClientErrorKind::Invalid(why),
            })),
        }
    }

    pub(super) fn trailers(&self) -> Option<&Headers> {
        self.inflow.as_ref().and_then(Inflow::trailers)
    }

    pub(super) fn is_end(&self) -> bool {
        self.inflow.as_ref().is_some_and(Inflow::is_end)
    }

    pub(super) fn bytes_received(&self) -> u64 {
        self.inflow.as_ref().map_or(0, Inflow::received)
    }
}

fn body_length(head: &ResponseHead, stream: &RecvStream) -> Result<BodyLength, ClientErrorKind> {
    let mut values = head.headers.get_all("content-length");
    let declared = values.next().map(|value| content_length(value).filter(|_| values.next().is_none()));
    match declared {
        Some(None) => Err(ClientErrorKind::Invalid("invalid Content-Length")),
        _ if stream.is_end_stream() => Ok(BodyLength::None),
        Some(Some(length)) => Ok(BodyLength::Exact(length)),
        None => Ok(BodyLength::Unknown),
    }
}

fn reset_kind(code: u32) -> ClientErrorKind {
    if code == u32::from(Reason::REFUSED_STREAM) { ClientErrorKind::Refused } else { ClientErrorKind::Reset(code) }
}

/// An error before the answer's head. A stream that GOAWAY leaves out was not processed (RFC 9113 6.8).
fn error_kind(error: &h2::Error) -> ClientErrorKind {
    if error.is_go_away() && error.is_remote() {
        return ClientErrorKind::Refused;
    }
    match wire_error(error) {
        WireError::Reset(code) => reset_kind(code),
        WireError::Io(kind) => ClientErrorKind::Io(kind),
        _ if error.is_library() => ClientErrorKind::Invalid("HTTP/2 protocol error"),
        _ => ClientErrorKind::Closed,
    }
}
