//! Queues with a runtime whose clock stands still until everybody waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::atomic::AtomicU64;

use gibbon_pdk::SendFuture;
use serde_json::Value;

use super::*;

/// Fails as often as told, then takes everything.
struct Receiver {
    failures: AtomicUsize,
    taken: Mutex<Vec<Vec<Bytes>>>,
}

impl Deliver for Receiver {
    fn deliver<'a>(&'a self, batch: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>> {
        Box::pin(async move {
            if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                return Err("no".to_owned());
            }
            self.taken.lock().unwrap().push(batch.to_vec());
            Ok(())
        })
    }
}

#[derive(Default)]
struct Lost(AtomicU64);

impl Metrics for Lost {
    fn add(&self, name: &'static str, labels: &[(&'static str, &str)], by: u64) {
        assert_eq!((name, labels), (LOST, &[("queue", "q")][..]));
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    fn engine_snapshot(&self) -> Value {
        Value::Null
    }
}

struct Rig {
    hub: QueueHub,
    receiver: Arc<Receiver>,
    lost: Arc<Lost>,
}

impl Rig {
    fn new(failures: usize) -> Rig {
        let lost = Arc::new(Lost::default());
        let receiver = Receiver { failures: AtomicUsize::new(failures), taken: Mutex::default() };
        Rig { hub: QueueHub::new(Handle::current(), lost.clone()), receiver: Arc::new(receiver), lost }
    }

    fn open(&self, change: impl FnOnce(&mut QueueSettings)) -> Arc<dyn Queue> {
        let mut settings = QueueSettings::default();
        change(&mut settings);
        self.hub.open("q", settings, self.receiver.clone())
    }

    async fn drained(&self) -> Vec<String> {
        self.hub.drain(Duration::from_secs(100)).await;
        let text =
            |batch: &Vec<Bytes>| batch.iter().map(|e| std::str::from_utf8(e).unwrap()).collect::<Vec<_>>().join(",");
        self.receiver.taken.lock().unwrap().iter().map(text).collect()
    }
}

fn push(queue: &Arc<dyn Queue>, entries: &[&'static str]) {
    for entry in entries {
        queue.push(Bytes::from_static(entry.as_bytes()));
    }
}

#[tokio::test(start_paused = true)]
async fn entries_are_delivered_in_order_one_by_one_by_default() {
    let rig = Rig::new(0);
    push(&rig.open(|_| ()), &["a", "b", "c"]);
    assert_eq!(rig.drained().await, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_batch_leaves_after_the_coalescing_delay() {
    let rig = Rig::new(0);
    let queue = rig.open(|s| s.max_batch_size = 3);
    push(&queue, &["a", "b"]);
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(rig.receiver.taken.lock().unwrap().is_empty());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(rig.receiver.taken.lock().unwrap().len(), 1);
    push(&queue, &["c", "d", "e", "f"]);
    assert_eq!(rig.drained().await, ["a,b", "c,d,e", "f"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_is_tried_again_with_the_same_entries() {
    let rig = Rig::new(5);
    push(&rig.open(|s| s.max_batch_size = 2), &["a", "b", "c"]);
    assert_eq!(rig.drained().await, ["a,b", "c"]);
    assert_eq!(rig.lost.0.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_never_succeeds_is_given_up_and_counted() {
    let rig = Rig::new(usize::MAX);
    push(&rig.open(|s| s.max_retry_time = Duration::from_secs(2)), &["a"]);
    assert!(rig.drained().await.is_empty());
    assert_eq!(rig.lost.0.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn without_order_every_entry_goes_at_once() {
    let rig = Rig::new(1);
    push(&rig.open(|s| s.sequential = false), &["a", "b"]);
    // The first fails once and comes after the second.
    assert_eq!(rig.drained().await, ["b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_name_keeps_its_queue_and_the_newest_way_of_delivering_counts() {
    let rig = Rig::new(0);
    let old = rig.hub.open("q", QueueSettings { max_batch_size: 2, ..QueueSettings::default() }, Arc::new(Refuses));
    push(&old, &["a"]);
    let new = rig.open(|s| s.max_batch_size = 2);
    drop(old);
    push(&new, &["b"]);
    assert_eq!(rig.drained().await, ["a,b"]);
}

struct Refuses;

impl Deliver for Refuses {
    fn deliver<'a>(&'a self, _: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>> {
        Box::pin(async { Err("replaced".to_owned()) })
    }
}
