//! The bytes read and not yet used of one connection. Holds memory only while there are such bytes or
//! a read is under way.

use std::io;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use crate::Worker;
use crate::io::Io;

#[derive(Debug, Default)]
pub(crate) struct ReadBuffer {
    /// Empty when no buffer is held.
    data: Box<[u8]>,
    start: usize,
    end: usize,
}

/// What came of an attempt to read more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    Read(usize),
    End,
    /// There is no room: [`ReadBuffer::grow`] or use some bytes first.
    Full,
}

impl ReadBuffer {
    /// A buffer that begins with bytes already read.
    pub(crate) fn with(bytes: Vec<u8>) -> Self {
        ReadBuffer { start: 0, end: bytes.len(), data: bytes.into_boxed_slice() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.data.get(self.start..self.end).unwrap_or_default()
    }

    /// The first `length` unused bytes.
    pub(crate) fn first(&self, length: usize) -> &[u8] {
        self.bytes().get(..length).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Marks the first `length` bytes as used.
    pub(crate) fn consume(&mut self, length: usize) {
        self.start = (self.start + length).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Takes all unused bytes out.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let bytes = self.bytes().to_vec();
        self.consume(bytes.len());
        bytes
    }

    /// Reads once, behind what is there. While nothing comes, an otherwise empty buffer goes back to
    /// the worker.
    pub(crate) fn poll_fill(&mut self, io: &dyn Io, worker: &Worker, cx: &mut Context<'_>) -> Poll<io::Result<Fill>> {
        self.make_room(worker);
        let Some(room) = self.data.get_mut(self.end..).filter(|room| !room.is_empty()) else {
            return Poll::Ready(Ok(Fill::Full));
        };
        let mut buf = ReadBuf::new(room);
        match io.poll_read(cx, &mut buf) {
            Poll::Ready(Ok(())) => {
                let read = buf.filled().len();
                self.end += read;
                Poll::Ready(Ok(if read == 0 { Fill::End } else { Fill::Read(read) }))
            }
            // TLS peers that leave without saying so are too many to refuse, as nginx has it; whoever knows
            // how long the message is sees that it is cut short.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(Fill::End)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.release(worker);
                Poll::Pending
            }
        }
    }

    fn make_room(&mut self, worker: &Worker) {
        if self.is_empty() {
            self.start = 0;
            self.end = 0;
            // First bytes that came from elsewhere may lie in a short buffer.
            if self.data.len() < crate::buffers::READ_SIZE {
                self.data = worker.buffers.take_read();
            }
        } else if self.end == self.data.len() && self.start > 0 {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// Makes the buffer larger, up to `limit` bytes. Whether it could.
    pub(crate) fn grow(&mut self, limit: usize) -> bool {
        let wanted = (self.data.len() * 2).max(crate::buffers::READ_SIZE).min(limit);
        if wanted <= self.data.len() {
            return false;
        }
        let mut larger = vec![0; wanted];
        let used = self.len();
        if let (Some(to), Some(from)) = (larger.get_mut(..used), self.data.get(self.start..self.end)) {
            to.copy_from_slice(from);
        }
        self.data = larger.into_boxed_slice();
        self.start = 0;
        self.end = used;
        true
    }

    /// Gives the memory back if no bytes wait in it.
    pub(crate) fn release(&mut self, worker: &Worker) {
        if self.is_empty() && !self.data.is_empty() {
            worker.buffers.give_read(std::mem::take(&mut self.data));
        }
    }
}
