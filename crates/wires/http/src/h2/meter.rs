//! Counts the frames of a peer that cost work but carry nothing, and stops reading when there are too
//! many: pings, settings, priorities, empty data, window updates, resets (CVE-2019-9512, -9513, -9515,
//! -9518, CVE-2023-44487). What may be spent comes back with time and with use: gRPC peers measure the
//! connection with a ping per round trip as long as data flows. Continuations, header sizes and small data
//! frames are bounded by the `h2` crate.
//!
//! Empty data frames that end nothing are counted and go no further. They are legal, some peers send one
//! per message, and the `h2` crate ends a connection that brought a hundred of them in all its life.
//!
//! An upstream that has answered and closed makes the next write fail while its answers still wait to be read, and the
//! `h2` crate gives all streams up at the first failed write. Towards an upstream such a write counts as done instead:
//! reading goes on, and its end says which streams were left without an answer.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Frame, Frames};
use crate::{H2Settings, Worker};

/// Bytes written that earn the peer one more frame: more than the answer to a ping has.
const BYTES_PER_FRAME: usize = 64;

/// What is read after our end, at most.
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// Frame types (RFC 9113 6).
pub(crate) mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// What a meter tells about its stream.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    /// Set once a bound is broken; from then on nothing more is read.
    pub verdict: Cell<Option<Flood>>,
    /// The peer was told to go.
    pub retiring: Cell<bool>,
    /// The type of the last frame read: what the `h2` crate stumbled over, when it does.
    pub last_kind: Cell<u8>,
}

/// Which bound a client broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flood {
    Control,
    Empty,
    Resets,
}

/// To whom a metered connection leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Upstream,
    /// An upstream that takes no more bytes: what is written to it goes nowhere.
    DeafUpstream,
}

/// A stream whose incoming frames are counted.
pub(crate) struct Meter<S> {
    stream: S,
    worker: Rc<Worker>,
    gauge: Rc<Gauge>,
    frames: Frames,
    budgets: Budgets,
    /// Which end this is of the connection.
    side: Side,
    /// Bytes written that have earned nothing yet.
    written: usize,
    /// Our end was sent.
    ended: bool,
    /// Bytes read since.
    left_over: usize,
}

impl<S> Meter<S> {
    /// For the connection of a client, which begins with the preface.
    pub(super) fn of_client(stream: S, worker: Rc<Worker>, settings: &H2Settings) -> (Self, Rc<Gauge>) {
        Self::new(stream, worker, settings, Frames::behind(crate::h1::H2_PREFACE.len()), Side::Client)
    }

    /// For the connection to an upstream.
    pub(crate) fn of_upstream(stream: S, worker: Rc<Worker>, settings: &H2Settings) -> (Self, Rc<Gauge>) {
        Self::new(stream, worker, settings, Frames::default(), Side::Upstream)
    }

    fn new(stream: S, worker: Rc<Worker>, settings: &H2Settings, frames: Frames, side: Side) -> (Self, Rc<Gauge>) {
        let gauge = Rc::<Gauge>::default();
        let budgets = Budgets::new(settings);
        let meter = Meter {
            stream,
            worker,
            gauge: gauge.clone(),
            frames,
            budgets,
            side,
            written: 0,
            ended: false,
            left_over: 0,
        };
        (meter, gauge)
    }

    /// Whether a failed write is passed over because there may be answers left to read. Only after the peer closed:
    /// then reading comes to an end as well.
    fn passes_over(&mut self, error: &io::Error) -> bool {
        let closed = matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
        if closed && self.side == Side::Upstream {
            self.side = Side::DeafUpstream;
        }
        closed && self.side == Side::DeafUpstream
    }

    /// What has become of a write of so many bytes.
    fn wrote(&mut self, wanted: usize, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        written.map(|written| match written {
            Ok(written) => {
                self.earn(written);
                Ok(written)
            }
            Err(error) if self.passes_over(&error) => Ok(wanted),
            Err(error) => Err(error),
        })
    }

    fn settled(&mut self, done: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        done.map(|done| done.or_else(|error| if self.passes_over(&error) { Ok(()) } else { Err(error) }))
    }

    /// What goes out to the peer gives it something to answer.
    fn earn(&mut self, written: usize) {
        self.written += written;
        self.budgets.earn(self.written / BYTES_PER_FRAME);
        self.written %= BYTES_PER_FRAME;
    }
}

/// What a peer may spend; it comes back with time, and but for resets with what it sends and is sent.
#[derive(Debug)]
struct Budgets {
    control: Budget,
    windows: Budget,
    resets: Budget,
}

impl Budgets {
    fn new(settings: &H2Settings) -> Self {
        let control = settings.control_frame_budget;
        Budgets {
            control: Budget::new(control),
            // One window update per read is normal on a busy connection.
            windows: Budget::new(control.saturating_mul(10)),
            resets: Budget::new(settings.reset_budget),
        }
    }

    fn charge(&mut self, frame: Frame, tick: u64) -> Option<Flood> {
        match frame.kind {
            kind::DATA if frame.is_empty_data() => self.control.spend(tick, Flood::Empty),
            kind::HEADERS | kind::CONTINUATION if frame.length == 0 => self.control.spend(tick, Flood::Empty),
            kind::DATA | kind::HEADERS => {
                self.earn(1);
                None
            }
            kind::CONTINUATION => None,
            kind::RST_STREAM => self.resets.spend(tick, Flood::Resets),
            kind::WINDOW_UPDATE => self.windows.spend(tick, Flood::Control),
            _ => self.control.spend(tick, Flood::Control),
        }
    }

    fn earn(&mut self, frames: usize) {
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        self.control.give_back(frames);
        self.windows.give_back(frames);
    }
}

#[derive(Debug)]
struct Budget {
    size: u32,
    left: u32,
    tick: u64,
}

impl Budget {
    fn new(size: u32) -> Self {
        Budget { size, left: size, tick: 0 }
    }

    /// A hundredth of the budget, at least one, comes back per tick.
    fn spend(&mut self, tick: u64, flood: Flood) -> Option<Flood> {
        let ticks = u32::try_from(tick.saturating_sub(self.tick)).unwrap_or(u32::MAX);
        self.tick = tick;
        let back = ticks.saturating_mul((self.size / 100).max(1));
        self.give_back(back);
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                None
            }
            None => Some(flood),
        }
    }

    fn give_back(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(self.size);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Meter<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.gauge.verdict.get().is_some() {
            return Poll::Pending;
        }
        let tick = this.worker.deadlines.tick();
        let (budgets, gauge) = (&mut this.budgets, &this.gauge);
        this.frames.poll_read(&mut this.stream, cx, buf, |frame| {
            gauge.last_kind.set(frame.kind);
            if gauge.verdict.get().is_none() {
                gauge.verdict.set(budgets.charge(frame, tick));
            }
            !frame.is_empty_data()
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Meter<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.side == Side::DeafUpstream {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        if self.side == Side::DeafUpstream {
            return Poll::Ready(Ok(wanted));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(wanted, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.settled(flushed)
    }

    /// Ends our direction. What a peer that was told to go still sends is read and thrown away: closing with bytes unread
    /// would make the system reset the connection, and a client may lose an answer to that. Whoever floods or errs is not
    /// waited for.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.ended {
            let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
            std::task::ready!(this.settled(shut))?;
            this.ended = true;
        }
        let mut space = [0; 2048];
        while this.gauge.retiring.get() && this.gauge.verdict.get().is_none() && this.left_over < LINGER_BYTES {
            let mut rest = ReadBuf::new(&mut space);
            let read = std::task::ready!(Pin::new(&mut this.stream).poll_read(cx, &mut rest));
            match rest.filled().len() {
                0 => break,
                _ if read.is_err() => break,
                count => this.left_over += count,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn a_budget_is_spent_and_comes_back_with_time() {
        let settings = H2Settings { control_frame_budget: 200, ..H2Settings::default() };
        let mut budgets = Budgets::new(&settings);
        let ping = Frame::new(8, 6, 0);
        assert!((0..200).all(|_| budgets.charge(ping, 5).is_none()));
        assert_eq!(budgets.charge(ping, 5), Some(Flood::Control));
        assert!((0..20).all(|_| budgets.charge(ping, 15).is_none()));
        assert_eq!(budgets.charge(ping, 15), Some(Flood::Control));
    }

    #[test]
    fn frames_that_carry_something_are_free() {
        let mut budgets =
            Budgets::new(&H2Settings { control_frame_budget: 1, reset_budget: 1, ..H2Settings::default() });
        for _ in 0..1000 {
            assert_eq!(budgets.charge(Frame::new(10, 0, 0), 0), None);
            assert_eq!(budgets.charge(Frame::new(10, 1, 4), 0), None);
            assert_eq!(budgets.charge(Frame::new(0, 0, 1), 0), None);
        }
        assert_eq!(budgets.charge(Frame::new(4, 3, 0), 0), None);
        assert_eq!(budgets.charge(Frame::new(4, 3, 0), 0), Some(Flood::Resets));
    }

    /// Takes no bytes, but has some to give.
    struct Closed(&'static [u8]);

    impl AsyncRead for Closed {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            buf.put_slice(std::mem::take(&mut self.0));
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Closed {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

    #[tokio::test]
    async fn what_an_upstream_sent_before_it_closed_is_read_whatever_is_written() {
        let (mut meter, _) = Meter::of_upstream(Closed(PING), Worker::new(), &H2Settings::default());
        assert_eq!(meter.write(b"a window").await.unwrap(), 8);
        meter.flush().await.unwrap();
        let mut read = Vec::new();
        meter.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, PING);
    }

    #[tokio::test]
    async fn a_client_that_is_gone_is_written_nothing_more() {
        let (mut meter, _) = Meter::of_client(Closed(&[]), Worker::new(), &H2Settings::default());
        assert_eq!(meter.write(b"an answer").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn use_earns_control_frames_but_no_resets() {
        let settings = H2Settings { control_frame_budget: 10, reset_budget: 10, ..H2Settings::default() };
        let mut budgets = Budgets::new(&settings);
        // A ping per message of data, as gRPC peers send.
        for _ in 0..1000 {
            assert_eq!(budgets.charge(Frame::new(40, kind::DATA, 0), 0), None);
            assert_eq!(budgets.charge(Frame::new(8, 6, 0), 0), None);
        }
        // Pings whose answers are all that is sent soon meet the bound.
        let pings = (0..1000).take_while(|_| {
            budgets.earn(17 / BYTES_PER_FRAME);
            budgets.charge(Frame::new(8, 6, 0), 0).is_none()
        });
        assert!(pings.count() < 20);
        let resets = (0..1000).take_while(|_| {
            budgets.charge(Frame::new(10, kind::HEADERS, 4), 0);
            budgets.charge(Frame::new(4, kind::RST_STREAM, 0), 0).is_none()
        });
        assert_eq!(resets.count(), 10);
    }
}
