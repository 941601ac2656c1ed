//! Pumps bytes both ways between two connections: upgraded HTTP connections and proxied streams.
//!
//! Buffers are lent by the worker's pool while bytes wait to be written, so that a silent pair holds none. One timer
//! serves the whole relay and is set again only when it fires, not for each chunk.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::pool::{BufferPool, PooledBuffer};

/// One of the two connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    A,
    B,
}

/// What bounds a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayLimits {
    /// Ends the relay when no byte has moved in either direction for so long.
    pub idle: Option<Duration>,
    /// When one side has sent its last byte: true passes the end on and waits for the other side's, false ends
    /// the relay once that last byte is delivered (as nginx does by default).
    pub half_close: bool,
}

/// Why a relay ended.
#[derive(Debug)]
pub enum RelayEnd {
    /// This side closed first, in order.
    Closed(Side),
    Idle,
    /// Reading from or writing to this side failed.
    Failed(Side, io::Error),
}

/// What a relay moved.
#[derive(Debug)]
pub struct Totals {
    /// Bytes read from A and delivered to B.
    pub a_to_b: u64,
    pub b_to_a: u64,
    pub end: RelayEnd,
}

/// Relays until both sides have closed, one failed, or nothing moved for too long. Both are left open for the
/// caller to drop.
pub async fn relay<A, B>(a: &mut A, b: &mut B, limits: RelayLimits, pool: &BufferPool) -> Totals
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let mut there = Direction::default();
    let mut back = Direction::default();
    let mut first_closed = None;
    let mut active = Instant::now();
    let sleep = limits.idle.map(|idle| sleep_until(active + idle));
    tokio::pin!(sleep);
    let end = poll_fn(|cx| {
        let before = there.moved + back.moved;
        let forth = there.poll(cx, a, b, pool).map_err(|failure| failure.on(Side::A, Side::B));
        let and_back = back.poll(cx, b, a, pool).map_err(|failure| failure.on(Side::B, Side::A));
        if there.moved + back.moved != before {
            active = Instant::now();
        }
        for (side, outcome) in [(Side::A, forth), (Side::B, and_back)] {
            match outcome {
                Poll::Ready(Err((side, error))) => return Poll::Ready(RelayEnd::Failed(side, error)),
                Poll::Ready(Ok(())) => {
                    let first = *first_closed.get_or_insert(side);
                    if !limits.half_close {
                        return Poll::Ready(RelayEnd::Closed(first));
                    }
                }
                Poll::Pending => {}
            }
        }
        match first_closed {
            Some(first) if there.done() && back.done() => Poll::Ready(RelayEnd::Closed(first)),
            _ => {
                ready!(poll_idle(cx, sleep.as_mut().as_pin_mut(), active, limits.idle));
                Poll::Ready(RelayEnd::Idle)
            }
        }
    })
    .await;
    Totals { a_to_b: there.moved, b_to_a: back.moved, end }
}

/// Ready once nothing has moved for the idle time. The timer is set again only when it fires early.
fn poll_idle(
    cx: &mut Context<'_>,
    sleep: Option<Pin<&mut Sleep>>,
    active: Instant,
    idle: Option<Duration>,
) -> Poll<()> {
    let (Some(mut sleep), Some(idle)) = (sleep, idle) else { return Poll::Pending };
    while sleep.as_mut().poll(cx).is_ready() {
        let due = active + idle;
        if Instant::now() >= due {
            return Poll::Ready(());
        }
        sleep.as_mut().reset(due);
    }
    Poll::Pending
}

/// Bytes on their way from one side to the other.
#[derive(Default)]
struct Direction {
    /// What was read and not yet written.
    waiting: Option<Waiting>,
    moved: u64,
    unflushed: bool,
    state: State,
}

struct Waiting {
    buffer: PooledBuffer,
    from: usize,
    to: usize,
}

#[derive(Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The source has ended; the end is not passed on yet.
    Ending,
    Done,
}

enum Failure {
    Reading(io::Error),
    Writing(io::Error),
}

impl Failure {
    fn on(self, source: Side, sink: Side) -> (Side, io::Error) {
        match self {
            Self::Reading(error) => (source, error),
            Self::Writing(error) => (sink, error),
        }
    }
}

impl Direction {
    fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Moves what can be moved; ready when the source has ended and the end is passed on.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
        pool: &BufferPool,
    ) -> Poll<Result<(), Failure>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            if self.waiting.is_some() {
                ready!(self.poll_write(cx, sink)).map_err(Failure::Writing)?;
            }
            match self.state {
                State::Done => return Poll::Ready(Ok(())),
                State::Ending => {
                    ready!(Pin::new(&mut *sink).poll_shutdown(cx)).map_err(Failure::Writing)?;
                    self.state = State::Done;
                }
                State::Open => match self.poll_fill(cx, source, pool) {
                    Poll::Ready(outcome) => outcome.map_err(Failure::Reading)?,
                    Poll::Pending => {
                        // Only when the source pauses: a TLS sink may hold the last record back.
                        if self.unflushed {
                            ready!(Pin::new(&mut *sink).poll_flush(cx)).map_err(Failure::Writing)?;
                            self.unflushed = false;
                        }
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        pool: &BufferPool,
    ) -> Poll<io::Result<()>> {
        let mut buffer = pool.take();
        let mut read = ReadBuf::new(&mut buffer);
        match ready!(Pin::new(source).poll_read(cx, &mut read)) {
            Ok(()) if read.filled().is_empty() => self.state = State::Ending,
            Ok(()) => {
                let to = read.filled().len();
                self.waiting = Some(Waiting { buffer, from: 0, to });
            }
            // A TLS peer that closes without saying goodbye has still closed.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.state = State::Ending,
            Err(error) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, sink: &mut W) -> Poll<io::Result<()>> {
        while let Some(waiting) = &mut self.waiting {
            let bytes = waiting.buffer.get(waiting.from..waiting.to).unwrap_or_default();
            if bytes.is_empty() {
                self.waiting = None;
                break;
            }
            let written = ready!(Pin::new(&mut *sink).poll_write(cx, bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            waiting.from += written;
            self.moved += written as u64;
            self.unflushed = true;
        }
        Poll::Ready(Ok(()))
    }
}
