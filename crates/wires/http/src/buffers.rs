//! A per-worker store of buffers, so that an idle connection holds none and a busy one allocates none.

use std::cell::RefCell;

/// Bytes of a read buffer: several nginx buffers, and small enough to stay in the first-level cache.
pub(crate) const READ_SIZE: usize = 16 * 1024;
/// Spare buffers kept of each kind; beyond that they go back to the allocator.
const SPARE: usize = 256;
/// A write buffer that grew beyond this is not kept.
const WRITE_KEEP: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Buffers {
    read: RefCell<Vec<Box<[u8]>>>,
    write: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// A read buffer of [`READ_SIZE`] bytes whose content is what an earlier owner left.
    pub(crate) fn take_read(&self) -> Box<[u8]> {
        self.read.borrow_mut().pop().unwrap_or_else(|| vec![0; READ_SIZE].into_boxed_slice())
    }

    pub(crate) fn give_read(&self, buffer: Box<[u8]>) {
        let mut spare = self.read.borrow_mut();
        if buffer.len() == READ_SIZE && spare.len() < SPARE {
            spare.push(buffer);
        }
    }

    /// An empty write buffer.
    pub(crate) fn take_write(&self) -> Vec<u8> {
        self.write.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(4096))
    }

    pub(crate) fn give_write(&self, mut buffer: Vec<u8>) {
        let mut spare = self.write.borrow_mut();
        if buffer.capacity() > 0 && buffer.capacity() <= WRITE_KEEP && spare.len() < SPARE {
            buffer.clear();
            spare.push(buffer);
        }
    }
}
