//! Counts the frames of a client that cost work but carry nothing, and stops reading when there are too
//! many: pings, settings, priorities, empty data, window updates, resets (CVE-2019-9512, -9513, -9515,
//! -9518, CVE-2023-44487). Continuations, header sizes and small data frames are bounded by the `h2`
//! crate.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{H2Settings, Worker};

/// Frame types (RFC 9113 6).
pub(super) mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// What a meter tells about its stream.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    /// Set once a bound is broken; from then on nothing more is read.
    pub verdict: Cell<Option<Flood>>,
    /// The type of the last frame read: what the `h2` crate stumbled over, when it does.
    pub last_kind: Cell<u8>,
}

/// Which bound a client broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flood {
    Control,
    Empty,
    Resets,
}

/// A stream whose incoming frames are counted.
pub(super) struct Meter<S> {
    stream: S,
    worker: Rc<Worker>,
    gauge: Rc<Gauge>,
    frames: Frames,
    budgets: Budgets,
}

impl<S> Meter<S> {
    pub(super) fn new(stream: S, worker: Rc<Worker>, settings: &H2Settings) -> (Self, Rc<Gauge>) {
        let gauge = Rc::<Gauge>::default();
        let budgets = Budgets::new(settings);
        (Meter { stream, worker, gauge: gauge.clone(), frames: Frames::default(), budgets }, gauge)
    }
}

/// Finds frame headers in a stream of bytes.
#[derive(Debug)]
struct Frames {
    /// Bytes to pass over before the next header: the preface first, then payloads.
    skip: usize,
    header: [u8; 9],
    have: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Frames { skip: crate::h1::H2_PREFACE.len(), header: [0; 9], have: 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    length: usize,
    kind: u8,
    flags: u8,
}

impl Frames {
    /// The next frame whose header ends within `bytes`, which is moved on behind it.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let skipped = self.skip.min(bytes.len());
        *bytes = bytes.get(skipped..).unwrap_or_default();
        self.skip -= skipped;
        while let Some((&byte, rest)) = bytes.split_first() {
            *bytes = rest;
            if let Some(slot) = self.header.get_mut(self.have) {
                *slot = byte;
            }
            self.have += 1;
            if self.have == self.header.len() {
                self.have = 0;
                let [a, b, c, kind, flags, ..] = self.header;
                let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.skip = length;
                return Some(Frame { length, kind, flags });
            }
        }
        None
    }
}

/// What a client may spend; it comes back with time.
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
        const END_STREAM: u8 = 1;
        match frame.kind {
            kind::DATA if frame.length == 0 && frame.flags & END_STREAM == 0 => self.control.spend(tick, Flood::Empty),
            kind::HEADERS | kind::CONTINUATION if frame.length == 0 => self.control.spend(tick, Flood::Empty),
            kind::DATA | kind::HEADERS | kind::CONTINUATION => None,
            kind::RST_STREAM => self.resets.spend(tick, Flood::Resets),
            kind::WINDOW_UPDATE => self.windows.spend(tick, Flood::Control),
            _ => self.control.spend(tick, Flood::Control),
        }
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
        self.left = self.left.saturating_add(back).min(self.size);
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                None
            }
            None => Some(flood),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Meter<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.gauge.verdict.get().is_some() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let tick = this.worker.deadlines.tick();
        let mut bytes = buf.filled().get(before..).unwrap_or_default();
        while let Some(frame) = this.frames.next(&mut bytes) {
            this.gauge.last_kind.set(frame.kind);
            if let Some(flood) = this.budgets.charge(frame, tick) {
                this.gauge.verdict.set(Some(flood));
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Meter<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![0, (payload >> 8) as u8, payload as u8, kind, flags, 0, 0, 0, 1];
        bytes.resize(9 + payload, 0xff);
        bytes
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let bytes = [crate::h1::H2_PREFACE.to_vec(), frame(4, 0, 6), frame(0, 1, 300), frame(6, 0, 8)].concat();
        for step in [1, 2, 7, 9, 10, 1000] {
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for mut part in bytes.chunks(step) {
                while let Some(frame) = frames.next(&mut part) {
                    found.push((frame.kind, frame.length));
                }
            }
            assert_eq!(found, [(4, 6), (0, 300), (6, 8)], "{step}");
        }
    }

    #[test]
    fn a_budget_is_spent_and_comes_back_with_time() {
        let settings = H2Settings { control_frame_budget: 200, ..H2Settings::default() };
        let mut budgets = Budgets::new(&settings);
        let ping = Frame { length: 8, kind: 6, flags: 0 };
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
            assert_eq!(budgets.charge(Frame { length: 10, kind: 0, flags: 0 }, 0), None);
            assert_eq!(budgets.charge(Frame { length: 10, kind: 1, flags: 4 }, 0), None);
            assert_eq!(budgets.charge(Frame { length: 0, kind: 0, flags: 1 }, 0), None);
        }
        assert_eq!(budgets.charge(Frame { length: 4, kind: 3, flags: 0 }, 0), None);
        assert_eq!(budgets.charge(Frame { length: 4, kind: 3, flags: 0 }, 0), Some(Flood::Resets));
    }
}
