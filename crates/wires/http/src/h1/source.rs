//! The receiving half of an exchange: a body taken out of the read buffer as its framing says.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use gibbon_message::Headers;

use super::{Fill, ReadBuffer, WireError};
use crate::deadline::{Deadline, Timer};
use crate::io::Io;
use crate::parse::{self, Chunked, Piece, Spans};
use crate::{BodyLength, Worker};

/// Bytes and lines of a trailer section.
const MAX_TRAILERS: usize = 8 * 1024;
const MAX_TRAILER_LINES: usize = 100;

/// How a body is delimited, and how much of it is still to come.
#[derive(Debug, Default)]
pub(crate) enum Decoder {
    #[default]
    End,
    Exact(u64),
    Chunked(Chunked),
    UntilClose,
    /// The body broke off or was invalid; nothing more can be said about the bytes that follow.
    Broken,
}

impl Decoder {
    /// For a body of `length`; what is neither sized nor chunked runs until the connection closes.
    pub(crate) fn new(length: BodyLength, chunked: bool) -> Self {
        match length {
            BodyLength::None | BodyLength::Exact(0) => Decoder::End,
            BodyLength::Exact(length) => Decoder::Exact(length),
            BodyLength::Unknown if chunked => Decoder::Chunked(Chunked::default()),
            BodyLength::Unknown => Decoder::UntilClose,
        }
    }

    pub(crate) fn is_end(&self) -> bool {
        matches!(self, Decoder::End)
    }
}

/// One step of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes at the start of the buffer are data, lent until the next step.
    Data(usize),
    End,
    /// The buffer holds nothing more.
    More,
}

/// What a connection keeps of the message being received.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) buffer: ReadBuffer,
    pub(crate) decoder: Decoder,
    /// Data lent from the front of the buffer by the last step.
    lent: usize,
    /// Bytes of the current message used up so far.
    received: u64,
    /// The peer has said that it will send nothing more.
    pub(crate) ended: bool,
    /// Fields of the trailer section, once the body has ended.
    pub(crate) trailers: Option<Box<Headers>>,
}

impl Source {
    /// Begins with bytes already read.
    pub(crate) fn of(buffer: ReadBuffer) -> Self {
        Source { buffer, ..Source::default() }
    }

    /// Forgets the last message.
    pub(crate) fn reset(&mut self) {
        self.settle();
        self.received = 0;
        self.trailers = None;
    }

    /// Goes on behind a head that took the first `head` bytes of the buffer.
    pub(crate) fn begin(&mut self, head: usize, decoder: Decoder) {
        self.use_up(head);
        self.decoder = decoder;
    }

    /// Whether no byte waits that was not lent.
    pub(crate) fn is_spent(&self) -> bool {
        self.buffer.len() == self.lent
    }

    /// Uses up what the last step lent.
    pub(crate) fn settle(&mut self) {
        let lent = std::mem::take(&mut self.lent);
        if lent > 0 {
            self.use_up(lent);
        }
    }

    fn use_up(&mut self, length: usize) {
        self.buffer.consume(length);
        self.received += length as u64;
    }

    /// Bytes of the current message taken so far, lent ones included.
    pub(crate) fn received(&self) -> u64 {
        self.received + self.lent as u64
    }

    /// The next step with the bytes at hand.
    pub(crate) fn step(&mut self) -> Result<Step, WireError> {
        self.settle();
        let step = match &mut self.decoder {
            Decoder::End => Ok(Step::End),
            Decoder::Broken => Err(WireError::Closed),
            _ if self.buffer.is_empty() => Ok(Step::More),
            Decoder::UntilClose => Ok(Step::Data(self.buffer.len())),
            Decoder::Exact(left) => {
                let here = self.buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= here as u64;
                if *left == 0 {
                    self.decoder = Decoder::End;
                }
                Ok(Step::Data(here))
            }
            Decoder::Chunked(_) => self.step_chunked(),
        };
        match step {
            Ok(Step::Data(length)) => self.lent = length,
            Ok(_) => {}
            Err(_) => self.decoder = Decoder::Broken,
        }
        step
    }

    fn step_chunked(&mut self) -> Result<Step, WireError> {
        let Decoder::Chunked(chunked) = &mut self.decoder else { return Ok(Step::End) };
        let input = self.buffer.bytes();
        let piece = chunked.next(input).map_err(|error| WireError::Invalid(error.text()))?;
        match piece {
            Piece::More => {
                self.use_up(self.buffer.len());
                Ok(Step::More)
            }
            Piece::Data { start, end } => {
                self.use_up(start);
                Ok(Step::Data(end - start))
            }
            Piece::Trailers { at } => {
                self.use_up(at);
                self.step_trailers()
            }
        }
    }

    fn step_trailers(&mut self) -> Result<Step, WireError> {
        let input = self.buffer.bytes();
        if input.starts_with(b"\r\n") {
            self.use_up(2);
            self.decoder = Decoder::End;
            return Ok(Step::End);
        }
        let mut trailers = Headers::new();
        let found = parse::trailers(input, MAX_TRAILER_LINES, &mut Spans::default(), &mut trailers);
        match found.map_err(WireError::Invalid)? {
            Some(length) => {
                self.use_up(length);
                self.decoder = Decoder::End;
                self.trailers = Some(Box::new(trailers));
                Ok(Step::End)
            }
            None if input.len() > MAX_TRAILERS => Err(WireError::Invalid("trailers are too large")),
            None => Ok(Step::More),
        }
    }

    /// Reads more behind what is there; the end of the stream is an error unless it delimits the body.
    fn poll_more(&mut self, io: &dyn Io, worker: &Worker, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        match std::task::ready!(self.buffer.poll_fill(io, worker, cx)) {
            Ok(Fill::Read(_)) => Poll::Ready(Ok(())),
            Ok(Fill::Full) => Poll::Ready(Err(WireError::Invalid("framing is larger than the buffer"))),
            Ok(Fill::End) => {
                self.ended = true;
                if matches!(self.decoder, Decoder::UntilClose) {
                    self.decoder = Decoder::End;
                    return Poll::Ready(Ok(()));
                }
                self.decoder = Decoder::Broken;
                Poll::Ready(Err(WireError::Closed))
            }
            Err(error) => {
                self.ended = true;
                self.decoder = Decoder::Broken;
                Poll::Ready(Err(error.into()))
            }
        }
    }

    /// The next data, lent from the buffer; `None` at the end of the body.
    pub(crate) async fn chunk(
        &mut self,
        io: &dyn Io,
        worker: &Worker,
        deadline: &Deadline,
        timeout: Duration,
    ) -> Result<Option<usize>, WireError> {
        // The common case first: what is wanted has been read with the head.
        match self.step()? {
            Step::Data(length) => return Ok(Some(length)),
            Step::End => return Ok(None),
            Step::More => {}
        }
        let mut timer = Timer::new(deadline, timeout);
        poll_fn(|cx| {
            loop {
                match self.poll_more(io, worker, cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return timer.poll_expired(cx).map(|()| Err(WireError::Timeout)),
                }
                match self.step() {
                    Ok(Step::Data(length)) => return Poll::Ready(Ok(Some(length))),
                    Ok(Step::End) => return Poll::Ready(Ok(None)),
                    Ok(Step::More) => timer.restart(),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        })
        .await
    }

    /// Ready when the peer has gone; what it sends meanwhile is kept, up to one buffer.
    pub(crate) fn poll_gone(
        &mut self,
        io: &dyn Io,
        worker: &Worker,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), WireError>> {
        self.settle();
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        loop {
            match std::task::ready!(self.buffer.poll_fill(io, worker, cx)) {
                Ok(Fill::Read(_)) => {}
                Ok(Fill::Full) => return Poll::Pending,
                Ok(Fill::End) => {
                    self.ended = true;
                    return Poll::Ready(Ok(()));
                }
                Err(error) => {
                    self.ended = true;
                    self.decoder = Decoder::Broken;
                    return Poll::Ready(Err(error.into()));
                }
            }
        }
    }
}
