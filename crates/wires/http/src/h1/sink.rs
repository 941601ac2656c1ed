//! The sending half of an exchange: heads and data gathered in one buffer, written as late and in as few
//! calls as can be, framed as the head said.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::io::IoSlice;
use std::task::{Context, Poll};
use std::time::Duration;

use gibbon_message::Headers;

use super::{WireError, encode};
use crate::Worker;
use crate::deadline::{Deadline, LazyTimer};
use crate::io::Io;

/// Data up to this size is copied behind what is buffered; larger data goes out in the same call as the
/// buffer without a copy.
const COPY_MAX: usize = 4 * 1024;
/// The buffer is written when it would grow beyond this.
const BUFFER_MAX: usize = 16 * 1024;

/// How the body being sent is delimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body may follow; data is swallowed.
    #[default]
    None,
    /// So many bytes are still to come.
    Exact(u64),
    Chunked,
    UntilClose,
}

/// Where the bytes go, and how long a peer may take to accept some.
#[derive(Clone, Copy)]
pub(crate) struct Outlet<'a> {
    pub io: &'a dyn Io,
    pub worker: &'a Worker,
    /// Registered the first time a write has to wait; most connections never do.
    pub deadline: &'a OnceCell<Deadline>,
    pub timeout: Duration,
}

/// What a connection keeps of the message being sent.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    pub(crate) buffer: Vec<u8>,
    pub(crate) framing: Framing,
    /// Bytes of the current message handed to the connection, and those of its body.
    pub(crate) sent: u64,
    pub(crate) body_sent: u64,
    /// A write failed or was given up half-way: the peer has a torn message.
    torn: bool,
}

impl Sink {
    /// Begins a message; its head goes into `buffer`.
    pub(crate) fn begin(&mut self, worker: &Worker) {
        self.make_room(worker);
        self.sent = 0;
        self.body_sent = 0;
        self.framing = Framing::None;
    }

    fn make_room(&mut self, worker: &Worker) {
        if self.buffer.capacity() == 0 {
            self.buffer = worker.buffers.take_write();
        }
    }

    /// Whether all that was given has been written.
    pub(crate) fn is_clean(&self) -> bool {
        self.buffer.is_empty() && !self.torn
    }

    /// Gives the buffer back.
    pub(crate) fn release(&mut self, worker: &Worker) {
        worker.buffers.give_write(std::mem::take(&mut self.buffer));
    }

    pub(crate) async fn data(&mut self, outlet: Outlet<'_>, data: &[u8]) -> Result<(), WireError> {
        if data.is_empty() {
            return Ok(());
        }
        self.make_room(outlet.worker);
        match &mut self.framing {
            Framing::None => return Ok(()),
            Framing::Exact(left) => match left.checked_sub(data.len() as u64) {
                Some(rest) => *left = rest,
                None => return Err(self.misuse("more data than announced")),
            },
            Framing::Chunked => encode::write_chunk_size(&mut self.buffer, data.len()),
            Framing::UntilClose => {}
        }
        let tail: &[u8] = if self.framing == Framing::Chunked { b"\r\n" } else { b"" };
        self.body_sent += data.len() as u64;
        if data.len() <= COPY_MAX && self.buffer.len() + data.len() <= BUFFER_MAX {
            self.buffer.extend_from_slice(data);
            self.buffer.extend_from_slice(tail);
            return Ok(());
        }
        self.write(outlet, data, tail).await
    }

    /// Writes what is buffered.
    pub(crate) async fn flush(&mut self, outlet: Outlet<'_>) -> Result<(), WireError> {
        if self.buffer.is_empty() && !self.torn {
            return Ok(());
        }
        self.write(outlet, b"", b"").await
    }

    /// Ends the body and writes what is buffered.
    pub(crate) async fn finish(&mut self, outlet: Outlet<'_>, trailers: Option<&Headers>) -> Result<(), WireError> {
        match self.framing {
            Framing::Exact(left) if left > 0 => return Err(self.misuse("less data than announced")),
            Framing::Chunked => {
                self.make_room(outlet.worker);
                self.buffer.extend_from_slice(b"0\r\n");
                encode::write_trailers(&mut self.buffer, trailers);
            }
            _ => {}
        }
        self.framing = Framing::None;
        self.flush(outlet).await
    }

    fn misuse(&mut self, why: &'static str) -> WireError {
        self.torn = true;
        WireError::Misuse(why)
    }

    /// Writes the buffer, `data` and `tail`. If the future is dropped before its end, everything after is
    /// refused: nobody knows how much the peer has.
    async fn write(&mut self, outlet: Outlet<'_>, data: &[u8], tail: &[u8]) -> Result<(), WireError> {
        if std::mem::replace(&mut self.torn, true) {
            return Err(WireError::Closed);
        }
        let mut writing = Writing { parts: [&self.buffer, data, tail], written: 0 };
        let total = writing.total();
        let first = poll_fn(|cx| Poll::Ready(writing.poll(outlet.io, cx))).await;
        match first {
            Poll::Ready(result) => result?,
            Poll::Pending => write_slowly(outlet, &mut writing).await?,
        }
        self.sent += total as u64;
        self.buffer.clear();
        self.torn = false;
        // Thousands of streams may be open that say something once a second.
        self.release(outlet.worker);
        Ok(())
    }
}

/// The part of a write that has to wait for the peer.
async fn write_slowly(outlet: Outlet<'_>, writing: &mut Writing<'_>) -> Result<(), WireError> {
    let mut timer = LazyTimer::new(&outlet.worker.deadlines, outlet.deadline, outlet.timeout);
    poll_fn(|cx| {
        let before = writing.written;
        match writing.poll(outlet.io, cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => {
                if writing.written > before {
                    timer.restart();
                }
                timer.poll_expired(cx).map(|()| Err(WireError::Timeout))
            }
        }
    })
    .await
}

/// Several slices on their way out, in one call where possible.
struct Writing<'a> {
    parts: [&'a [u8]; 3],
    written: usize,
}

impl Writing<'_> {
    fn total(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    /// Ready when everything was written and flushed.
    fn poll(&mut self, io: &dyn Io, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        let total = self.total();
        while self.written < total {
            let mut skip = self.written;
            let mut count = 0;
            let mut slices = [IoSlice::new(b""); 3];
            for part in self.parts {
                let rest = part.get(skip..).unwrap_or_default();
                skip = skip.saturating_sub(part.len());
                if let Some(slice) = slices.get_mut(count)
                    && !rest.is_empty()
                {
                    *slice = IoSlice::new(rest);
                    count += 1;
                }
            }
            match std::task::ready!(io.poll_write(cx, slices.get(..count).unwrap_or_default())) {
                Ok(0) => return Poll::Ready(Err(WireError::Closed)),
                Ok(written) => self.written += written,
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        io.poll_flush(cx).map_err(WireError::from)
    }
}

/// Writes bytes outside of any message.
pub(crate) async fn write_alone(outlet: Outlet<'_>, bytes: &[u8]) -> Result<(), WireError> {
    write_slowly(outlet, &mut Writing { parts: [bytes, b"", b""], written: 0 }).await
}
