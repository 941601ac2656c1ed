//! Queues between the log phase and the outside world, run on the control runtime. One per name and
//! node: a new plan takes up the queue of the old one with what waits in it.

mod rules;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use gibbon_pdk::{Deliver, Metrics, Queue, QueueEntry, QueueSettings, Queues};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::rules::{After, Core, Next, Notice, after_failure};

/// Counter of entries that were dropped or given up.
const LOST: &str = "gibbon_queue_lost_entries_total";

/// The node's queues.
pub struct QueueHub {
    shared: Arc<Shared>,
    known: Mutex<HashMap<String, Weak<NodeQueue>>>,
}

/// What all queues share.
struct Shared {
    runtime: Handle,
    metrics: Arc<dyn Metrics>,
    start: Instant,
    /// The node ends: batches wait no longer for more entries.
    ending: AtomicBool,
    /// Tasks under way; the last one that ends wakes the drain.
    busy: AtomicUsize,
    idle: Notify,
    wake_all: Notify,
}

struct NodeQueue {
    name: String,
    shared: Arc<Shared>,
    state: Mutex<State>,
    arrived: Notify,
}

struct State {
    core: Core,
    settings: QueueSettings,
    deliver: Arc<dyn Deliver>,
    running: bool,
    /// Tasks of their own (`concurrency_limit = -1`).
    alone: usize,
}

impl QueueHub {
    /// Queues whose deliveries run on `runtime`.
    #[must_use]
    pub fn new(runtime: Handle, metrics: Arc<dyn Metrics>) -> Self {
        let shared = Shared {
            runtime,
            metrics,
            start: Instant::now(),
            ending: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            idle: Notify::new(),
            wake_all: Notify::new(),
        };
        QueueHub { shared: Arc::new(shared), known: Mutex::default() }
    }

    /// Lets the queues deliver what they hold, at most so long. For the end of the node: batches no
    /// longer wait to fill up.
    pub async fn drain(&self, at_most: Duration) {
        let shared = &self.shared;
        shared.ending.store(true, Ordering::Relaxed);
        shared.wake_all.notify_waiters();
        let all_idle = async {
            loop {
                let idle = shared.idle.notified();
                if shared.busy.load(Ordering::Acquire) == 0 {
                    return;
                }
                idle.await;
            }
        };
        if tokio::time::timeout(at_most, all_idle).await.is_err() {
            tracing::warn!("queues did not deliver all they held within {at_most:?}");
        }
    }
}

impl Queues for QueueHub {
    fn open(&self, name: &str, settings: QueueSettings, deliver: Arc<dyn Deliver>) -> Arc<dyn Queue> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = known.get(name).and_then(Weak::upgrade) {
            let mut state = queue.state();
            (state.settings, state.deliver) = (settings, deliver);
            drop(state);
            return Arc::new(Opened(queue));
        }
        known.retain(|_, queue| queue.strong_count() > 0);
        let state = State { core: Core::default(), settings, deliver, running: false, alone: 0 };
        let queue = Arc::new(NodeQueue {
            name: name.to_owned(),
            shared: Arc::clone(&self.shared),
            state: Mutex::new(state),
            arrived: Notify::new(),
        });
        known.insert(name.to_owned(), Arc::downgrade(&queue));
        Arc::new(Opened(queue))
    }
}

/// The sending end that a handler holds; the task holds the queue itself while there is work.
struct Opened(Arc<NodeQueue>);

impl Queue for Opened {
    fn push(&self, entry: QueueEntry) {
        NodeQueue::push(&self.0, entry);
    }
}

/// Counts a task as under way until it is dropped, however it ends.
struct Busy(Arc<Shared>);

impl Busy {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.busy.fetch_add(1, Ordering::AcqRel);
        Busy(Arc::clone(shared))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl NodeQueue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, entry: Bytes) {
        let mut told = Vec::new();
        let mut state = self.state();
        if !state.settings.sequential {
            return self.push_alone(state, entry);
        }
        let State { core, settings, .. } = &mut *state;
        let before = core.dropped;
        core.push(entry, settings, &mut told);
        let lost = core.dropped - before;
        let start = !std::mem::replace(&mut state.running, true);
        drop(state);
        self.lost(lost);
        self.tell(&told);
        if start {
            let (queue, busy) = (Arc::clone(self), Busy::new(&self.shared));
            self.shared.runtime.spawn(async move {
                // A delivery that panics costs its batch, not the queue.
                while let Err(panic) = tokio::spawn(Arc::clone(&queue).run()).await {
                    queue.state().core.finished(&mut Vec::new());
                    tracing::error!("[{}] a delivery was given up: {panic}", queue.name);
                }
                drop(busy);
            });
        } else {
            self.arrived.notify_one();
        }
    }

    /// Every entry in a task of its own, without order. As many as a queue may hold: a receiver that
    /// hangs must not cost all memory.
    fn push_alone(self: &Arc<Self>, mut state: MutexGuard<'_, State>, entry: Bytes) {
        if state.alone >= state.settings.max_entries {
            drop(state);
            self.lost(1);
            return self.tell(&[Notice::Full]);
        }
        state.alone += 1;
        drop(state);
        let (queue, busy) = (Arc::clone(self), Busy::new(&self.shared));
        self.shared.runtime.spawn(async move {
            queue.deliver(&[entry]).await;
            queue.state().alone -= 1;
            drop(busy);
        });
    }

    async fn run(self: Arc<Self>) {
        loop {
            // The order matters: who asks to be woken before looking misses nothing.
            let (arrived, wake) = (self.arrived.notified(), self.shared.wake_all.notified());
            let next = {
                let mut state = self.state();
                let State { core, settings, running, .. } = &mut *state;
                let next = core.next(self.now(), settings, self.shared.ending.load(Ordering::Relaxed));
                *running = next != Next::Rest;
                next
            };
            match next {
                Next::Rest => return,
                Next::WaitUntil(due) => tokio::select! {
                    () = arrived => {}
                    () = wake => {}
                    () = tokio::time::sleep_until(self.shared.start + due) => {}
                },
                Next::Deliver(batch) => {
                    self.deliver(&batch).await;
                    let mut told = Vec::new();
                    self.state().core.finished(&mut told);
                    self.tell(&told);
                }
            }
        }
    }

    /// Delivers until it went well or time is up.
    async fn deliver(&self, batch: &[Bytes]) {
        let begun = self.now();
        for retries in 0.. {
            // The newest configuration's way of delivering, even for entries of an older one.
            let deliver = Arc::clone(&self.state().deliver);
            let Err(cause) = deliver.deliver(batch).await else { return };
            let after = after_failure(retries, self.now() - begun, &self.state().settings);
            self.tell(&[Notice::Failed { cause }]);
            match after {
                After::RetryIn(delay) => tokio::time::sleep(delay).await,
                After::GiveUp => {
                    self.lost(batch.len() as u64);
                    return self.tell(&[Notice::GaveUp { lost: batch.len() }]);
                }
            }
        }
    }

    fn now(&self) -> Duration {
        self.shared.start.elapsed()
    }

    fn lost(&self, entries: u64) {
        if entries > 0 {
            self.shared.metrics.add(LOST, &[("queue", &self.name)], entries);
        }
    }

    fn tell(&self, notices: &[Notice]) {
        for notice in notices {
            let (name, text) = (&self.name, notice.text());
            match notice {
                Notice::Resumed => tracing::info!("[{name}] {text}"),
                Notice::NearlyFull | Notice::Failed { .. } => tracing::warn!("[{name}] {text}"),
                _ => tracing::error!("[{name}] {text}"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
