//! How many requests may wait for their turn at once; without a bound, waiting is a memory leak under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A bounded number of seats, shared between workers.
#[derive(Debug, Clone)]
pub struct WaitingRoom {
    taken: Arc<AtomicU32>,
    seats: u32,
}

/// A seat; free again when dropped.
#[derive(Debug)]
#[must_use = "the seat is free again as soon as this is dropped"]
pub struct Seat(Arc<AtomicU32>);

impl WaitingRoom {
    /// With so many seats.
    pub fn new(seats: u32) -> Self {
        Self { taken: Arc::default(), seats }
    }

    /// Takes a seat, or `None` if there is none: refuse the request.
    pub fn enter(&self) -> Option<Seat> {
        let one_more = |taken| (taken < self.seats).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more).ok()?;
        Some(Seat(self.taken.clone()))
    }

    /// How many wait now.
    pub fn waiting(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_room_lets_nobody_in_until_somebody_leaves() {
        let room = WaitingRoom::new(2);
        let first = room.enter();
        let second = room.enter();
        assert!(first.is_some() && second.is_some() && room.enter().is_none());
        drop(first);
        assert_eq!(room.waiting(), 1);
        assert!(room.enter().is_some());
        assert!(WaitingRoom::new(0).enter().is_none());
    }
}
