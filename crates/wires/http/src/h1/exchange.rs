//! One exchange on a server connection: the two halves a service is given, and what they tell each other
//! and the connection.

use std::cell::{Cell, OnceCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use gibbon_message::{Headers, ResponseHead};
use tokio::io::ReadBuf;

use super::encode::{self, ConnectionLine, LengthLine, ResponseLines};
use super::sink::{self, Outlet};
use super::{Fill, Framing, Sink, Source, WireError};
use crate::deadline::Deadline;
use crate::drain::Watch;
use crate::io::Io;
use crate::{BodyError, BodyLength, Counters, Gone, SendError, ServerSettings, Worker};

/// What both halves of an exchange and the connection share.
pub(crate) struct Link<'a> {
    pub io: &'a dyn Io,
    pub worker: &'a Worker,
    pub settings: &'a ServerSettings,
    pub send_deadline: &'a OnceCell<Deadline>,
    pub watch: &'a Watch,
    /// The request was HEAD.
    pub head_request: bool,
    /// The client speaks HTTP/1.0.
    pub http10: bool,
    /// The connection may serve another request after this one.
    pub keep_alive: Cell<bool>,
    /// The client waits for `100 Continue` and has not got it.
    pub continue_wanted: Cell<bool>,
    pub stage: Cell<Stage>,
}

/// How far the answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Waiting,
    Begun,
    Finished,
    /// Given up: what was sent is incomplete.
    Aborted,
    Upgraded,
}

impl<'a> Link<'a> {
    pub(crate) fn outlet(&self) -> Outlet<'a> {
        Outlet { io: self.io, worker: self.worker, deadline: self.send_deadline, timeout: self.settings.send_timeout }
    }
}

/// The request body.
pub(crate) struct Body<'a> {
    pub link: &'a Link<'a>,
    pub source: &'a mut Source,
    pub deadline: &'a Deadline,
    pub length: BodyLength,
}

impl Body<'_> {
    pub(crate) async fn chunk(&mut self) -> Result<Option<&[u8]>, BodyError> {
        if self.link.continue_wanted.get() {
            self.send_continue().await?;
        }
        let link = self.link;
        let step = self.source.chunk(link.io, link.worker, self.deadline, link.settings.body_timeout).await;
        match step {
            Ok(Some(length)) => Ok(Some(self.source.buffer.first(length))),
            Ok(None) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// RFC 9110 10.1.1: not if the body is coming anyway, nor once the answer has begun.
    async fn send_continue(&mut self) -> Result<(), BodyError> {
        if self.link.stage.get() != Stage::Waiting {
            return Ok(());
        }
        self.link.continue_wanted.set(false);
        if !self.source.buffer.is_empty() {
            return Ok(());
        }
        let sent = sink::write_alone(self.link.outlet(), b"HTTP/1.1 100 Continue\r\n\r\n").await;
        sent.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: WireError) -> BodyError {
        self.link.keep_alive.set(false);
        let counters = &self.link.worker.counters;
        match error {
            WireError::Closed => BodyError::Closed,
            WireError::Reset(code) => BodyError::Reset(code),
            WireError::Timeout => {
                Counters::add(&counters.body_timeouts);
                BodyError::Timeout
            }
            WireError::Io(kind) => BodyError::Io(kind),
            WireError::Invalid(why) | WireError::Misuse(why) => {
                Counters::add(&counters.bad_bodies);
                BodyError::Invalid(why)
            }
        }
    }

    pub(crate) async fn closed(&mut self) -> Gone {
        let link = self.link;
        match poll_fn(|cx| self.source.poll_gone(link.io, link.worker, cx)).await {
            Ok(()) => Gone::Finished,
            Err(_) => Gone::Broken,
        }
    }
}

/// The answer.
pub(crate) struct Answer<'a> {
    pub link: &'a Link<'a>,
    pub sink: &'a mut Sink,
}

impl<'a> Answer<'a> {
    pub(crate) async fn informational(&mut self, status: u16, headers: &Headers) -> Result<(), SendError> {
        if self.link.stage.get() != Stage::Waiting {
            return Err(SendError::Misuse("informational head behind the final one"));
        }
        if !matches!(status, 100 | 102..=199) {
            return Err(SendError::Misuse("status is not informational"));
        }
        if self.link.http10 {
            // RFC 9110 15.2: such a client knows no 1xx.
            return Ok(());
        }
        if status == 100 {
            self.link.continue_wanted.set(false);
        }
        encode::write_informational(&mut self.sink.buffer, status, headers);
        let sent = self.sink.flush(self.link.outlet()).await;
        sent.map_err(|error| self.failed(error))
    }

    pub(crate) fn head(&mut self, head: &ResponseHead, length: BodyLength) -> Result<(), SendError> {
        if self.link.stage.get() != Stage::Waiting {
            return Err(SendError::Misuse("second head"));
        }
        self.link.stage.set(Stage::Begun);
        let (framing, line) = self.framing(head, length);
        // A client still waiting to continue may send its body or not: nobody knows what follows.
        if framing == Framing::UntilClose || self.link.continue_wanted.get() || self.link.watch.begun() {
            self.link.keep_alive.set(false);
        }
        let connection = match self.link.keep_alive.get() {
            true => ConnectionLine::KeepAlive(self.link.settings.keepalive_header),
            false => ConnectionLine::Close,
        };
        let date = self.link.settings.date.then(|| self.link.worker.date());
        let lines = ResponseLines { date: date.as_ref().map(|d| &d[..]), length: line, connection };
        encode::write_response_head(&mut self.sink.buffer, head, lines);
        self.sink.framing = framing;
        Ok(())
    }

    /// RFC 9112 6.3, from the sender's side.
    fn framing(&self, head: &ResponseHead, length: BodyLength) -> (Framing, LengthLine) {
        if matches!(head.status, 100..=199 | 204) {
            return (Framing::None, LengthLine::None);
        }
        if self.link.head_request || head.status == 304 {
            let line = match length {
                BodyLength::Exact(length) if !head.headers.contains("content-length") => LengthLine::Exact(length),
                _ => LengthLine::AsGiven,
            };
            return (Framing::None, line);
        }
        match length {
            BodyLength::None => (Framing::Exact(0), LengthLine::Exact(0)),
            BodyLength::Exact(length) => (Framing::Exact(length), LengthLine::Exact(length)),
            BodyLength::Unknown if self.link.http10 => (Framing::UntilClose, LengthLine::None),
            BodyLength::Unknown => (Framing::Chunked, LengthLine::Chunked),
        }
    }

    pub(crate) async fn data(&mut self, data: &[u8]) -> Result<(), SendError> {
        self.must_have_begun()?;
        let sent = self.sink.data(self.link.outlet(), data).await;
        sent.map_err(|error| self.failed(error))
    }

    pub(crate) async fn flush(&mut self) -> Result<(), SendError> {
        let sent = self.sink.flush(self.link.outlet()).await;
        sent.map_err(|error| self.failed(error))
    }

    pub(crate) async fn finish(&mut self, trailers: Option<&Headers>) -> Result<(), SendError> {
        self.must_have_begun()?;
        let sent = self.sink.finish(self.link.outlet(), trailers).await;
        sent.map_err(|error| self.failed(error))?;
        self.link.stage.set(Stage::Finished);
        Ok(())
    }

    fn must_have_begun(&self) -> Result<(), SendError> {
        match self.link.stage.get() {
            Stage::Begun => Ok(()),
            Stage::Waiting => Err(SendError::Misuse("data before a head")),
            _ => Err(SendError::Misuse("data behind the end")),
        }
    }

    pub(crate) fn abort(&mut self) {
        self.link.stage.set(Stage::Aborted);
        self.link.keep_alive.set(false);
    }

    fn failed(&mut self, error: WireError) -> SendError {
        self.abort();
        match error {
            WireError::Closed => SendError::Closed,
            WireError::Reset(code) => SendError::Reset(code),
            WireError::Timeout => {
                Counters::add(&self.link.worker.counters.send_timeouts);
                SendError::Timeout
            }
            WireError::Io(kind) => SendError::Io(kind),
            WireError::Invalid(why) | WireError::Misuse(why) => SendError::Misuse(why),
        }
    }

    pub(crate) async fn upgrade(mut self, head: &ResponseHead, body: Body<'a>) -> Result<Tunnel<'a>, SendError> {
        if self.link.stage.get() != Stage::Waiting || self.link.http10 {
            return Err(SendError::Misuse("upgrade behind a head, or of HTTP/1.0"));
        }
        self.link.keep_alive.set(false);
        let lines = ResponseLines { date: None, length: LengthLine::None, connection: ConnectionLine::AsGiven };
        encode::write_response_head(&mut self.sink.buffer, head, lines);
        self.flush().await?;
        self.link.stage.set(Stage::Upgraded);
        body.source.settle();
        Ok(Tunnel { link: self.link, source: body.source, sink: self.sink })
    }
}

/// A server connection after 101.
pub(crate) struct Tunnel<'a> {
    link: &'a Link<'a>,
    source: &'a mut Source,
    sink: &'a mut Sink,
}

impl Tunnel<'_> {
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.source.buffer.is_empty() {
            // The caller brings its own buffer: no detour over ours.
            self.source.buffer.release(self.link.worker);
            return self.link.io.poll_read(cx, buf);
        }
        let length = self.source.buffer.len().min(buf.remaining());
        buf.put_slice(self.source.buffer.first(length));
        self.source.buffer.consume(length);
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(self.link.io.poll_write(cx, bufs))?;
        self.sink.sent += written as u64;
        self.sink.body_sent += written as u64;
        Poll::Ready(Ok(written))
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.io.poll_flush(cx)
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.io.poll_shutdown(cx)
    }

    pub(crate) fn bytes_sent(&self) -> u64 {
        self.sink.sent
    }
}

/// Reads and throws away what the peer still sends, so that closing does not reset the connection under
/// an answer it has not read yet. Bounded by `limit` bytes; the caller bounds the time.
pub(crate) async fn discard(source: &mut Source, io: &dyn Io, worker: &Worker, limit: u64) {
    let mut seen = 0;
    poll_fn(|cx| {
        while seen < limit {
            let waiting = source.buffer.len();
            source.buffer.consume(waiting);
            match std::task::ready!(source.buffer.poll_fill(io, worker, cx)) {
                Ok(Fill::Read(read)) => seen += read as u64,
                _ => break,
            }
        }
        Poll::Ready(())
    })
    .await;
}
