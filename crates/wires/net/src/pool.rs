//! A worker's buffers, lent while bytes are moving, so that an idle connection holds none.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// A pool of equally large buffers. Belongs to one worker; clones are the same pool.
#[derive(Debug, Clone)]
pub struct BufferPool(Rc<Pool>);

#[derive(Debug)]
struct Pool {
    size: usize,
    kept: usize,
    free: RefCell<Vec<Box<[u8]>>>,
}

impl BufferPool {
    /// Buffers of `size` bytes, of which at most `kept` are kept while nobody uses them.
    pub fn new(size: usize, kept: usize) -> Self {
        Self(Rc::new(Pool { size, kept, free: RefCell::default() }))
    }

    /// A buffer with whatever its last user left in it.
    pub fn take(&self) -> PooledBuffer {
        let buffer = self.0.free.borrow_mut().pop();
        PooledBuffer { bytes: buffer.unwrap_or_else(|| vec![0; self.0.size].into_boxed_slice()), pool: self.clone() }
    }
}

/// A lent buffer; goes back when dropped.
#[derive(Debug)]
pub struct PooledBuffer {
    bytes: Box<[u8]>,
    pool: BufferPool,
}

impl Deref for PooledBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for PooledBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let mut free = self.pool.0.free.borrow_mut();
        if free.len() < self.pool.0.kept {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}
