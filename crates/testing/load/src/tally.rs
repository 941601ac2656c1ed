//! Counting answers, errors and latencies inside the measuring window, and nothing outside it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::histogram::Histogram;

/// Shared by all connections of one drive.
#[derive(Clone, Default)]
pub struct Tally(Rc<Inner>);

#[derive(Default)]
struct Inner {
    counting: Cell<bool>,
    stopping: Cell<bool>,
    histogram: RefCell<Histogram>,
    bytes: Cell<u64>,
    errors: RefCell<BTreeMap<String, u64>>,
}

/// What a drive came to.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Right answers inside the window.
    pub answers: u64,
    /// Everything else, by what it was.
    pub errors: BTreeMap<String, u64>,
    /// Seconds that the window was open.
    pub seconds: f64,
    /// Body bytes received.
    pub bytes: u64,
    /// Latencies in microseconds, by percentile.
    pub latency: Latency,
    /// CPU seconds of this whole process in the window: if it is near `seconds`, the stand itself was the limit.
    pub stand_cpu: f64,
}

/// Latencies in microseconds.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Tally {
    /// A right answer to a request that should have begun at `since`.
    pub fn answered(&self, since: Instant, bytes: usize) {
        if self.0.counting.get() {
            let nanoseconds = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.0.histogram.borrow_mut().record(nanoseconds);
            self.0.bytes.set(self.0.bytes.get() + bytes as u64);
        }
    }

    /// Anything but a right answer.
    pub fn failed(&self, what: &str) {
        if self.0.counting.get() {
            *self.0.errors.borrow_mut().entry(what.to_owned()).or_default() += 1;
        }
    }

    /// Begins to count.
    pub fn open(&self) {
        self.0.counting.set(true);
    }

    /// Stops counting and tells the connections to end.
    pub fn close(&self) {
        self.0.counting.set(false);
        self.0.stopping.set(true);
    }

    /// Whether the drive is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.stopping.get()
    }

    /// The figures.
    #[must_use]
    pub fn report(&self, window: Duration, stand_cpu: f64) -> Report {
        let histogram = self.0.histogram.borrow();
        let micro = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        let at = |share| micro(histogram.percentile(share));
        Report {
            answers: histogram.count(),
            errors: self.0.errors.borrow().clone(),
            seconds: window.as_secs_f64(),
            bytes: self.0.bytes.get(),
            latency: Latency {
                mean: micro(histogram.mean()),
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: micro(histogram.max()),
            },
            stand_cpu,
        }
    }
}
