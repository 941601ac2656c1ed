//! Events between workers: posted by one, seen by all in the same order. The newest are kept for whoever is behind; a
//! worker that falls behind further loses the oldest, and the log says so.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

/// Events kept for workers that are behind.
const KEPT: usize = 4096;

/// Something that one worker tells all.
#[derive(Debug)]
pub struct Event {
    pub source: String,
    pub event: String,
    pub data: Value,
    /// Who posted it; nobody if the gateway itself did.
    pub worker: Option<usize>,
    /// Set by the one worker that takes an event which is meant for one; `None` is meant for all.
    once: Option<AtomicBool>,
}

impl Event {
    #[must_use]
    pub fn new(source: &str, event: &str, data: Value, worker: Option<usize>, once: bool) -> Event {
        let once = once.then(|| AtomicBool::new(false));
        Event { source: source.to_owned(), event: event.to_owned(), data, worker, once }
    }

    /// Whether the worker that asks is to see it.
    pub fn claim(&self) -> bool {
        self.once.as_ref().is_none_or(|taken| !taken.swap(true, Ordering::AcqRel))
    }
}

#[derive(Default)]
struct Ring {
    /// How many were ever posted.
    posted: u64,
    kept: VecDeque<Arc<Event>>,
}

/// The events of a node.
pub struct Events {
    ring: Mutex<Ring>,
    posted: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Events { ring: Mutex::default(), posted: watch::Sender::new(0) }
    }
}

impl Events {
    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn post(&self, event: Event) {
        let mut ring = self.lock();
        ring.kept.push_back(Arc::new(event));
        if ring.kept.len() > KEPT {
            ring.kept.pop_front();
        }
        ring.posted += 1;
        let number = ring.posted;
        drop(ring);
        self.posted.send_replace(number);
    }

    /// To be woken at events.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.posted.subscribe()
    }

    /// What was posted after so many, in order, and how many of it are no longer known.
    pub fn after(&self, seen: u64) -> (Vec<Arc<Event>>, u64, u64) {
        let ring = self.lock();
        let behind = ring.posted.saturating_sub(seen);
        let kept = ring.kept.len() as u64;
        let take = usize::try_from(behind.min(kept)).unwrap_or(KEPT);
        let from = ring.kept.len().saturating_sub(take);
        (ring.kept.range(from..).cloned().collect(), ring.posted, behind.saturating_sub(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(events: &Events, name: &str) {
        events.post(Event::new("s", name, Value::Null, Some(0), false));
    }

    #[test]
    fn whoever_looks_sees_what_is_new_to_him_in_order() {
        let events = Events::default();
        post(&events, "a");
        let (_, seen, _) = events.after(0);
        post(&events, "b");
        post(&events, "c");
        let (new, now, lost) = events.after(seen);
        assert_eq!(new.iter().map(|e| e.event.as_str()).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!((now, lost), (3, 0));
        assert!(events.after(now).0.is_empty());
    }

    #[test]
    fn the_oldest_are_lost_to_who_is_far_behind() {
        let events = Events::default();
        for _ in 0..KEPT + 10 {
            post(&events, "x");
        }
        let (new, _, lost) = events.after(0);
        assert_eq!((new.len(), lost), (KEPT, 10));
    }

    #[test]
    fn an_event_for_one_is_taken_once() {
        let event = Event::new("s", "e", Value::Null, None, true);
        assert_eq!([event.claim(), event.claim()], [true, false]);
    }
}
