//! An HTTP/1 connection to an upstream and the two halves of an exchange on it.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use gibbon_message::{Headers, Method, ResponseHead};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Answer, ClientError, ClientErrorKind, ClientSettings, Timeouts};
use crate::deadline::{Deadline, Timer};
use crate::h1::{Decoder, Fill, Framing, Outlet, Sink, Source, WireError, write_request_head};
use crate::io::Io;
use crate::parse::{self, ResponseError, ResponseFraming, Spans};
use crate::{BodyLength, Worker};

/// Informational heads before the final one; more is a flood.
const MAX_INFORMATIONAL: u32 = 100;

/// One HTTP/1 connection to an upstream.
pub struct Connection<S> {
    io: RefCell<S>,
    worker: Rc<Worker>,
    settings: Rc<ClientSettings>,
    source: Source,
    sink: Sink,
    read_deadline: Deadline,
    send_deadline: OnceCell<Deadline>,
    spans: Spans,
    state: State,
}

/// What the halves of an exchange tell each other and the connection.
#[derive(Debug, Default)]
struct State {
    requests: Cell<u64>,
    /// The request has left completely.
    request_done: Cell<bool>,
    informational: Cell<u32>,
    /// The final head has come.
    answered: Cell<bool>,
    /// The upstream will take another request after this one.
    keep_alive: Cell<bool>,
    /// A byte of an answer has come.
    received: Cell<bool>,
}

impl State {
    fn begin(&self) {
        self.requests.set(self.requests.get() + 1);
        self.request_done.set(false);
        self.informational.set(0);
        self.answered.set(false);
        self.keep_alive.set(false);
        self.received.set(false);
    }

    fn error(&self, kind: ClientErrorKind) -> ClientError {
        self.keep_alive.set(false);
        ClientError { kind, received: self.received.get(), reused: self.requests.get() > 1 }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    #[must_use]
    pub fn new(io: S, worker: &Rc<Worker>, settings: Rc<ClientSettings>) -> Self {
        Connection {
            io: RefCell::new(io),
            worker: worker.clone(),
            settings,
            source: Source::default(),
            sink: Sink::default(),
            read_deadline: worker.deadlines.register(),
            send_deadline: OnceCell::new(),
            spans: Spans::default(),
            state: State::default(),
        }
    }

    /// Begins the next exchange.
    pub fn exchange(&mut self, timeouts: Timeouts) -> (super::Writer<'_>, super::Reader<'_>) {
        self.state.begin();
        self.source.reset();
        self.sink.begin(&self.worker);
        let outlet =
            Outlet { io: &self.io, worker: &self.worker, deadline: &self.send_deadline, timeout: timeouts.send };
        let writer = Writer { outlet, sink: &mut self.sink, state: &self.state };
        let reader = Reader {
            io: &self.io,
            worker: &self.worker,
            settings: &self.settings,
            source: &mut self.source,
            spans: &mut self.spans,
            deadline: &self.read_deadline,
            timeouts,
            state: &self.state,
        };
        (super::Writer::h1(writer), super::Reader::h1(reader))
    }

    /// Whether the last exchange left the connection fit for another: both directions ended cleanly,
    /// neither side asked to close, no byte came that was not announced.
    #[must_use]
    pub fn reusable(&self) -> bool {
        let state = &self.state;
        let done = state.request_done.get() && state.answered.get() && self.source.decoder.is_end();
        done && state.keep_alive.get() && !self.source.ended && self.source.is_spent() && self.sink.is_clean()
    }

    /// Whether the idle connection may be used again: nothing has come, neither bytes nor an end. Asks the
    /// kernel only if the runtime knows that something happened.
    pub fn is_open(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.source.buffer.poll_fill(&self.io, &self.worker, &mut cx).is_pending()
    }

    /// Exchanges begun.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.requests.get()
    }

    /// The stream below.
    pub fn get_ref(&self) -> std::cell::Ref<'_, S> {
        self.io.borrow()
    }

    /// After 101: the bare stream and what the upstream sent behind its head.
    #[must_use]
    pub fn into_raw(mut self) -> (S, Vec<u8>) {
        let bytes = self.source.buffer.take();
        (self.io.into_inner(), bytes)
    }
}

/// The request half.
pub(super) struct Writer<'a> {
    outlet: Outlet<'a>,
    sink: &'a mut Sink,
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
        write_request_head(&mut self.sink.buffer, method, target, headers, length);
        self.sink.framing = match length {
            BodyLength::None => Framing::None,
            BodyLength::Exact(length) => Framing::Exact(length),
            BodyLength::Unknown => Framing::Chunked,
        };
        Ok(())
    }

    pub(super) async fn data(&mut self, data: &[u8]) -> Result<(), ClientError> {
        let sent = self.sink.data(self.outlet, data).await;
        sent.map_err(|error| self.failed(error))
    }

    pub(super) async fn flush(&mut self) -> Result<(), ClientError> {
        let sent = self.sink.flush(self.outlet).await;
        sent.map_err(|error| self.failed(error))
    }

    pub(super) async fn finish(&mut self, trailers: Option<&Headers>) -> Result<(), ClientError> {
        let sent = self.sink.finish(self.outlet, trailers).await;
        sent.map_err(|error| self.failed(error))?;
        self.state.request_done.set(true);
        Ok(())
    }

    pub(super) fn bytes_sent(&self) -> u64 {
        self.sink.sent
    }

    fn failed(&self, error: WireError) -> ClientError {
        self.state.error(match error {
            WireError::Closed => ClientErrorKind::Closed,
            WireError::Reset(code) => ClientErrorKind::Reset(code),
            WireError::Timeout => ClientErrorKind::SendTimeout,
            WireError::Io(kind) => ClientErrorKind::Io(kind),
            WireError::Invalid(why) | WireError::Misuse(why) => ClientErrorKind::Misuse(why),
        })
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        // What was not written now will never be.
        if self.sink.is_clean() {
            self.sink.release(self.outlet.worker);
        }
    }
}

/// The answer half.
pub(super) struct Reader<'a> {
    io: &'a dyn Io,
    worker: &'a Worker,
    settings: &'a ClientSettings,
    source: &'a mut Source,
    spans: &'a mut Spans,
    deadline: &'a Deadline,
    timeouts: Timeouts,
    state: &'a State,
}

impl Reader<'_> {
    pub(super) async fn head(&mut self, head: &mut ResponseHead, method: &Method) -> Result<Answer, ClientError> {
        if self.state.answered.get() {
            return Err(self.state.error(ClientErrorKind::Misuse("second final head")));
        }
        let framing = match self.parse_head(head, method)? {
            Some(framing) => framing,
            None => self.read_head(head, method).await?,
        };
        self.source.begin(framing.consumed, Decoder::new(framing.length, framing.chunked));
        match head.status {
            101 => {
                self.state.answered.set(true);
                Ok(Answer::Upgrade)
            }
            100..=199 => {
                self.state.informational.set(self.state.informational.get() + 1);
                if self.state.informational.get() > MAX_INFORMATIONAL {
                    return Err(self.state.error(ClientErrorKind::Invalid("too many informational heads")));
                }
                Ok(Answer::Informational)
            }
            _ => {
                self.state.answered.set(true);
                self.state.keep_alive.set(framing.keep_alive);
                Ok(Answer::Final(framing.length))
            }
        }
    }

    fn parse_head(&mut self, head: &mut ResponseHead, method: &Method) -> Result<Option<ResponseFraming>, ClientError> {
        let bytes = self.source.buffer.bytes();
        if bytes.is_empty() {
            return Ok(None);
        }
        let parsed = parse::response_head(bytes, self.settings.max_headers, method, self.spans, head);
        let too_large = bytes.len() > self.settings.max_head;
        match parsed {
            Ok(None) if too_large => Err(self.state.error(ClientErrorKind::HeadTooLarge)),
            Ok(Some(framing)) if framing.consumed > self.settings.max_head => {
                Err(self.state.error(ClientErrorKind::HeadTooLarge))
            }
            Ok(framing) => Ok(framing),
            Err(ResponseError::TooManyHeaders) => Err(self.state.error(ClientErrorKind::HeadTooLarge)),
            Err(ResponseError::Invalid(why)) => Err(self.state.error(ClientErrorKind::Invalid(why))),
        }
    }

    async fn read_head(&mut self, head: &mut ResponseHead, method: &Method) -> Result<ResponseFraming, ClientError> {
        let mut timer = Timer::new(self.deadline, self.timeouts.read);
        poll_fn(|cx| {
            loop {
                match self.source.buffer.poll_fill(self.io, self.worker, cx) {
                    Poll::Ready(Ok(Fill::Read(read))) => {
                        self.state.received.set(true);
                        timer.restart();
                        if self.line_ended(read)
                            && let Some(framing) = self.parse_head(head, method)?
                        {
                            return Poll::Ready(Ok(framing));
                        }
                    }
                    Poll::Ready(Ok(Fill::Full)) => {
                        if !self.source.buffer.grow(self.settings.max_head + 1) {
                            return Poll::Ready(Err(self.state.error(ClientErrorKind::HeadTooLarge)));
                        }
                    }
                    Poll::Ready(Ok(Fill::End)) => return Poll::Ready(Err(self.ended(ClientErrorKind::Closed))),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(self.failed(error.into()))),
                    // The time runs once the whole request is out: before, it is the client who is slow.
                    Poll::Pending if !self.state.request_done.get() => return Poll::Pending,
                    Poll::Pending => {
                        return timer.poll_expired(cx).map(|()| Err(self.state.error(ClientErrorKind::ReadTimeout)));
                    }
                }
            }
        })
        .await
    }

    /// Whether the last `read` bytes hold the end of a line, without which a head cannot have become
    /// complete; the first bytes are always worth a look.
    fn line_ended(&self, read: usize) -> bool {
        let bytes = self.source.buffer.bytes();
        let new = bytes.get(bytes.len().saturating_sub(read)..).unwrap_or_default();
        new.len() == bytes.len() || memchr::memchr(b'\n', new).is_some()
    }

    fn ended(&mut self, kind: ClientErrorKind) -> ClientError {
        self.source.ended = true;
        self.state.error(kind)
    }

    pub(super) async fn chunk(&mut self) -> Result<Option<&[u8]>, ClientError> {
        let step = self.source.chunk(self.io, self.worker, self.deadline, self.timeouts.read).await;
        match step {
            Ok(Some(length)) => Ok(Some(self.source.buffer.first(length))),
            Ok(None) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    pub(super) fn trailers(&self) -> Option<&Headers> {
        self.source.trailers.as_deref()
    }

    pub(super) fn is_end(&self) -> bool {
        self.state.answered.get() && self.source.decoder.is_end()
    }

    pub(super) fn bytes_received(&self) -> u64 {
        self.source.received()
    }

    fn failed(&self, error: WireError) -> ClientError {
        self.state.error(match error {
            WireError::Closed if self.state.answered.get() => ClientErrorKind::Truncated,
            WireError::Closed => ClientErrorKind::Closed,
            WireError::Reset(code) => ClientErrorKind::Reset(code),
            WireError::Timeout => ClientErrorKind::ReadTimeout,
            WireError::Io(kind) => ClientErrorKind::Io(kind),
            WireError::Invalid(why) | WireError::Misuse(why) => ClientErrorKind::Invalid(why),
        })
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.source.settle();
        self.source.buffer.release(self.worker);
    }
}
