//! What exists once per process: the plan in force, balancers and health, counters, the clocks.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use gibbon_net::Counter;
use gibbon_pdk::Clock;
use gibbon_plan::Publisher;
use gibbon_tls::ClientTlsCache;

use crate::upstreams::Upstreams;

/// Counters of one worker, written by it alone and read by whoever reports.
#[derive(Default)]
pub struct WorkerCounters {
    pub requests: Counter,
    pub panics: Counter,
    /// Of this worker's sockets.
    pub net: Arc<gibbon_net::Counters>,
}

/// The process.
pub struct Node {
    pub publisher: Arc<Publisher>,
    pub upstreams: Upstreams,
    pub client_tls: ClientTlsCache,
    pub clock: Arc<dyn Clock>,
    /// One per worker.
    pub counters: Vec<Arc<WorkerCounters>>,
    /// Set by `drain`: `/status/ready` says no.
    pub draining: AtomicBool,
}

impl Node {
    #[must_use]
    pub fn new(publisher: Arc<Publisher>, clock: Arc<dyn Clock>, upstreams: Upstreams, workers: usize) -> Self {
        Node {
            publisher,
            upstreams,
            client_tls: ClientTlsCache::default(),
            clock,
            counters: (0..workers).map(|_| Arc::default()).collect(),
            draining: AtomicBool::new(false),
        }
    }

    /// A figure summed over all workers.
    #[must_use]
    pub fn sum(&self, of: impl Fn(&WorkerCounters) -> &Counter) -> u64 {
        self.counters.iter().map(|c| of(c).get()).sum()
    }
}
