//! When the next request should begin: at once (closed loop), or when a Poisson process of a fixed rate says so.
//!
//! At a fixed rate an arrival waits in a queue while every connection is busy, and its latency counts from the moment
//! it should have begun. So a gateway that stalls pays for every request it kept from being sent (no coordinated
//! omission). Arrivals are paced by polling the clock, since timers have a grain of a millisecond.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::requests::Dice;
use crate::tally::Tally;

/// Arrivals that wait for a connection; beyond this the gateway is hopelessly behind, and each is counted as an error.
const MAX_WAITING: usize = 100_000;

/// The source of beginnings, shared by all connections of a drive.
pub struct Arrivals {
    rate: Option<f64>,
    dice: Dice,
    waiting: RefCell<VecDeque<Instant>>,
    arrived: Notify,
}

impl Arrivals {
    /// Beginnings at `rate` per second, or as soon as asked.
    #[must_use]
    pub fn new(rate: Option<f64>, dice: Dice) -> Self {
        Self { rate, dice, waiting: RefCell::default(), arrived: Notify::new() }
    }

    /// When the next request should begin, or should have begun.
    pub async fn next(&self) -> Instant {
        if self.rate.is_none() {
            return Instant::now();
        }
        loop {
            if let Some(due) = self.waiting.borrow_mut().pop_front() {
                return due;
            }
            self.arrived.notified().await;
        }
    }

    /// Produces arrivals until the drive is over.
    pub async fn pace(&self, tally: &Tally) {
        let Some(rate) = self.rate else { return };
        let mut due = Instant::now();
        while !tally.is_over() {
            let now = Instant::now();
            while due <= now {
                if self.waiting.borrow().len() < MAX_WAITING {
                    self.waiting.borrow_mut().push_back(due);
                    self.arrived.notify_one();
                } else {
                    tally.failed("not sent: no connection was free");
                }
                due += Duration::from_secs_f64(self.dice.gap(rate));
            }
            tokio::task::yield_now().await;
        }
    }
}
