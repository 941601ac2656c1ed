//! Sending data on a stream under its flow control, for both sides.

use std::cell::{OnceCell, RefCell};
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gibbon_message::Headers;
use h2::SendStream;

use super::fields_to;
use crate::deadline::{Deadline, LazyTimer};
use crate::h1::WireError;
use crate::{BodyLength, Worker};

/// The sending side of a stream, shared by the halves of an exchange; empty until a head was sent.
pub(crate) type StreamCell = RefCell<Option<SendStream<Bytes>>>;

/// Where data goes, and how long a peer may take to open its window.
#[derive(Clone, Copy)]
pub(crate) struct Pace<'a> {
    pub stream: &'a StreamCell,
    pub worker: &'a Worker,
    pub timeout: Duration,
}

/// The body of one message on its way out. The last piece given is held back, so that it can carry the
/// end of the stream, until it is flushed or more comes.
#[derive(Debug, Default)]
pub(crate) struct Outflow {
    held: Bytes,
    /// Bytes still to come, if the head said how many.
    left: Option<u64>,
    /// The stream has ended, or no body may follow the head.
    closed: bool,
    pub(crate) body_sent: u64,
    deadline: OnceCell<Deadline>,
}

impl Outflow {
    /// Begins a body; `ended` if the head ended the stream.
    pub(crate) fn begin(&mut self, length: BodyLength, ended: bool) {
        self.left = length.exact();
        self.closed = ended;
    }

    pub(crate) async fn data(&mut self, pace: Pace<'_>, data: &[u8]) -> Result<(), WireError> {
        if data.is_empty() || self.closed {
            return Ok(());
        }
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(data.len() as u64).ok_or(WireError::Misuse("more data than announced"))?;
        }
        self.flush(pace).await?;
        self.body_sent += data.len() as u64;
        self.held = Bytes::copy_from_slice(data);
        Ok(())
    }

    /// Hands what is held to the connection, as the window allows.
    pub(crate) async fn flush(&mut self, pace: Pace<'_>) -> Result<(), WireError> {
        if self.held.is_empty() {
            return Ok(());
        }
        let Outflow { held, deadline, .. } = self;
        let mut timer = LazyTimer::new(&pace.worker.deadlines, deadline, pace.timeout);
        poll_fn(|cx| {
            let before = held.len();
            if let Poll::Ready(sent) = poll_send(pace.stream, held, cx) {
                return Poll::Ready(sent);
            }
            if held.len() < before {
                timer.restart();
            }
            timer.poll_expired(cx).map(|()| Err(WireError::Timeout))
        })
        .await
    }

    /// Ends the stream: with the piece held, or with trailers.
    pub(crate) async fn finish(&mut self, pace: Pace<'_>, trailers: Option<&Headers>) -> Result<(), WireError> {
        if self.closed {
            return Ok(());
        }
        if self.left.is_some_and(|left| left > 0) {
            return Err(WireError::Misuse("less data than announced"));
        }
        let trailers = trailers.filter(|trailers| !trailers.is_empty());
        if trailers.is_some() || !self.fits_window(pace.stream) {
            self.flush(pace).await?;
        }
        self.closed = true;
        let last = std::mem::take(&mut self.held);
        with_stream(pace.stream, |stream| match trailers {
            None => stream.send_data(last, true),
            Some(trailers) => {
                let mut map = http::HeaderMap::new();
                fields_to(trailers, &mut map, |_| false);
                stream.send_trailers(map)
            }
        })
    }

    fn fits_window(&self, stream: &StreamCell) -> bool {
        let wanted = self.held.len();
        let window = with_stream(stream, |stream| {
            stream.reserve_capacity(wanted);
            Ok(stream.capacity())
        });
        window.is_ok_and(|window| window >= wanted)
    }
}

fn with_stream<T>(
    stream: &StreamCell,
    act: impl FnOnce(&mut SendStream<Bytes>) -> Result<T, h2::Error>,
) -> Result<T, WireError> {
    match stream.borrow_mut().as_mut() {
        Some(stream) => act(stream).map_err(|error| wire_error(&error)),
        None => Err(WireError::Misuse("data before a head")),
    }
}

/// Sends from `data` as much as the window takes; ready when all of it was taken.
fn poll_send(stream: &StreamCell, data: &mut Bytes, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
    let mut stream = stream.borrow_mut();
    let Some(stream) = stream.as_mut() else { return Poll::Ready(Err(WireError::Misuse("data before a head"))) };
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        if stream.capacity() == 0 {
            match std::task::ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Poll::Ready(Err(wire_error(&error))),
                None => return Poll::Ready(Err(WireError::Closed)),
            }
        }
        let part = data.split_to(stream.capacity().min(data.len()));
        if let Err(error) = stream.send_data(part, false) {
            return Poll::Ready(Err(wire_error(&error)));
        }
    }
    Poll::Ready(Ok(()))
}

/// An error of the `h2` crate in the terms both protocols share.
pub(crate) fn wire_error(error: &h2::Error) -> WireError {
    match (error.reason(), error.get_io()) {
        (_, Some(io)) => io.kind().into(),
        (Some(reason), None) if error.is_reset() => WireError::Reset(reason.into()),
        _ => WireError::Closed,
    }
}
