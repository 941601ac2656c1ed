//! The rules of a queue without time, tasks or locks: the caller hands the clock in and does what it is
//! told. The texts of the log are those that operators of Kong search their logs for.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use gibbon_pdk::QueueSettings;

/// Share of the capacity from which on the log warns.
const WARN_PERCENT: usize = 80;
/// Longest wait for more entries once the node is ending.
const LAST_COALESCING: Duration = Duration::from_millis(50);

/// What the log should say, and how many entries were lost by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// `queue at 80% capacity`
    NearlyFull,
    /// The first drop since the last success.
    Full,
    TooLarge {
        bytes: usize,
        limit: usize,
    },
    BytesExceeded {
        dropped: usize,
    },
    Failed {
        cause: String,
    },
    GaveUp {
        lost: usize,
    },
    Resumed,
}

impl Notice {
    pub fn text(&self) -> String {
        match self {
            Notice::NearlyFull => format!("queue at {WARN_PERCENT}% capacity"),
            Notice::Full => "queue full, dropping old entries until processing is successful again".to_owned(),
            Notice::TooLarge { bytes, limit } => {
                format!("string to be queued is longer ({bytes} bytes) than the queue's max_bytes ({limit} bytes)")
            }
            Notice::BytesExceeded { dropped } => {
                format!("byte capacity exceeded, {dropped} queue entries were dropped")
            }
            Notice::Failed { cause } => format!("handler could not process entries: {cause}"),
            Notice::GaveUp { lost } => {
                format!("could not send entries due to max_retry_time exceeded. {lost} queue entries were lost")
            }
            Notice::Resumed => "queue resumed processing".to_owned(),
        }
    }
}

/// What the task that runs the queue does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing is left.
    Rest,
    /// More entries may come until then; look again when one comes.
    WaitUntil(Duration),
    /// Deliver these.
    Deliver(Vec<Bytes>),
}

/// What comes after a failed delivery.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    RetryIn(Duration),
    GiveUp,
}

/// A queue's state.
#[derive(Debug, Default)]
pub struct Core {
    waiting: VecDeque<Bytes>,
    /// Entries of the batch under way; they count against the capacity.
    under_way: usize,
    /// Bytes of waiting entries and of the batch under way.
    bytes: usize,
    bytes_under_way: usize,
    /// When the first entry of the coming batch was seen.
    batch_since: Option<Duration>,
    warned: bool,
    full: bool,
    pub dropped: u64,
}

impl Core {
    fn count(&self) -> usize {
        self.waiting.len() + self.under_way
    }

    /// Takes an entry in; the oldest give way.
    pub fn push(&mut self, entry: Bytes, settings: &QueueSettings, tell: &mut Vec<Notice>) {
        if let Some(limit) = settings.max_bytes
            && entry.len() > limit
        {
            self.dropped += 1;
            return tell.push(Notice::TooLarge { bytes: entry.len(), limit });
        }
        if self.count() * 100 >= settings.max_entries * WARN_PERCENT {
            if !self.warned {
                tell.push(Notice::NearlyFull);
                self.warned = true;
            }
        } else {
            self.warned = false;
        }
        if self.count() >= settings.max_entries {
            if !self.full {
                self.full = true;
                tell.push(Notice::Full);
            }
            self.drop_oldest();
        }
        if let Some(limit) = settings.max_bytes {
            let mut dropped = 0;
            while self.bytes + entry.len() > limit && self.drop_oldest() {
                dropped += 1;
            }
            if dropped > 0 {
                self.full = true;
                tell.push(Notice::BytesExceeded { dropped });
            }
        }
        self.bytes += entry.len();
        self.waiting.push_back(entry);
    }

    /// `false` if nothing is left to drop. A batch under way is not cut short: it only stops counting.
    fn drop_oldest(&mut self) -> bool {
        if let Some(oldest) = self.waiting.pop_front() {
            self.bytes -= oldest.len();
            self.dropped += 1;
            return true;
        }
        let counted = self.under_way > 0;
        self.under_way = 0;
        self.bytes -= std::mem::take(&mut self.bytes_under_way);
        counted
    }

    /// A batch goes when it is complete or its first entry has waited long enough.
    pub fn next(&mut self, now: Duration, settings: &QueueSettings, ending: bool) -> Next {
        if self.waiting.is_empty() {
            return Next::Rest;
        }
        let since = *self.batch_since.get_or_insert(now);
        let delay = settings.max_coalescing_delay;
        let due = since + if ending { delay.min(LAST_COALESCING) } else { delay };
        if self.waiting.len() < settings.max_batch_size && now < due {
            return Next::WaitUntil(due);
        }
        self.batch_since = None;
        let size = self.waiting.len().min(settings.max_batch_size.max(1));
        let batch: Vec<Bytes> = self.waiting.drain(..size).collect();
        self.under_way = batch.len();
        self.bytes_under_way = batch.iter().map(Bytes::len).sum();
        Next::Deliver(batch)
    }

    /// The batch under way is done with, well or not.
    pub fn finished(&mut self, tell: &mut Vec<Notice>) {
        self.under_way = 0;
        self.bytes -= std::mem::take(&mut self.bytes_under_way);
        if self.full {
            self.full = false;
            tell.push(Notice::Resumed);
        }
    }
}

/// When a delivery that failed `retries` times before is tried again, `elapsed` after the first try.
pub fn after_failure(retries: u32, elapsed: Duration, settings: &QueueSettings) -> After {
    if elapsed > settings.max_retry_time {
        return After::GiveUp;
    }
    let grown = settings.initial_retry_delay.checked_mul(2u32.saturating_pow(retries));
    After::RetryIn(grown.unwrap_or(settings.max_retry_delay).min(settings.max_retry_delay))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    struct Rig {
        core: Core,
        settings: QueueSettings,
        told: Vec<Notice>,
    }

    fn rig(change: impl FnOnce(&mut QueueSettings)) -> Rig {
        let mut settings = QueueSettings::default();
        change(&mut settings);
        Rig { core: Core::default(), settings, told: Vec::new() }
    }

    impl Rig {
        fn push(&mut self, entry: &'static str) {
            self.core.push(Bytes::from_static(entry.as_bytes()), &self.settings, &mut self.told);
        }

        fn next(&mut self, now: Duration) -> Next {
            self.core.next(now, &self.settings, false)
        }
    }

    fn batch(entries: &[&'static str]) -> Next {
        Next::Deliver(entries.iter().map(|e| Bytes::from_static(e.as_bytes())).collect())
    }

    #[test]
    fn a_batch_goes_when_it_is_complete() {
        let mut rig = rig(|s| s.max_batch_size = 2);
        rig.push("a");
        assert_eq!(rig.next(s(10)), Next::WaitUntil(s(11)));
        rig.push("b");
        rig.push("c");
        assert_eq!(rig.next(s(10)), batch(&["a", "b"]));
        assert_eq!(rig.next(s(10)), Next::WaitUntil(s(11)));
    }

    #[test]
    fn an_incomplete_batch_goes_when_its_first_entry_has_waited_long_enough() {
        let mut rig = rig(|s| s.max_batch_size = 10);
        rig.push("a");
        assert_eq!(rig.next(s(10)), Next::WaitUntil(s(11)));
        rig.push("b");
        assert_eq!(rig.next(s(11)), batch(&["a", "b"]));
        assert_eq!(rig.next(s(11)), Next::Rest);
    }

    #[test]
    fn at_the_end_of_the_node_batches_wait_50_milliseconds_at_most() {
        let mut rig = rig(|s| s.max_batch_size = 10);
        rig.push("a");
        let next = rig.core.next(s(10), &rig.settings, true);
        assert_eq!(next, Next::WaitUntil(s(10) + Duration::from_millis(50)));
    }

    #[test]
    fn the_log_warns_once_at_80_percent_and_again_after_it_fell_below() {
        let mut rig = rig(|s| (s.max_entries, s.max_batch_size) = (5, 5));
        for entry in ["1", "2", "3", "4"] {
            rig.push(entry);
        }
        assert_eq!(rig.told, []);
        rig.push("5");
        assert_eq!(rig.told, [Notice::NearlyFull]);
        assert_eq!(rig.told[0].text(), "queue at 80% capacity");
    }

    #[test]
    fn a_full_queue_drops_its_oldest_entries_and_says_so_once_until_it_resumes() {
        let mut rig = rig(|s| s.max_entries = 2);
        for entry in ["1", "2", "3", "4"] {
            rig.push(entry);
        }
        assert_eq!(rig.told, [Notice::NearlyFull, Notice::Full]);
        assert_eq!(rig.core.dropped, 2);
        assert_eq!(rig.next(s(0)), batch(&["3"]));
        rig.told.clear();
        rig.core.finished(&mut rig.told);
        assert_eq!(rig.told, [Notice::Resumed]);
    }

    #[test]
    fn entries_under_way_count_against_the_capacity() {
        let mut rig = rig(|s| (s.max_entries, s.max_batch_size) = (2, 2));
        rig.push("1");
        rig.push("2");
        assert_eq!(rig.next(s(0)), batch(&["1", "2"]));
        rig.push("3");
        assert!(rig.told.contains(&Notice::Full));
        assert_eq!(rig.core.dropped, 0, "what is being delivered is not lost");
    }

    #[test]
    fn bytes_are_limited_too() {
        let mut rig = rig(|s| s.max_bytes = Some(4));
        rig.push("aa");
        rig.push("bb");
        rig.push("ccc");
        assert_eq!(rig.told, [Notice::BytesExceeded { dropped: 2 }]);
        rig.push("ddddd");
        assert_eq!(rig.told[1], Notice::TooLarge { bytes: 5, limit: 4 });
        assert_eq!(rig.next(s(0)), batch(&["ccc"]));
        rig.core.finished(&mut rig.told);
        assert_eq!(rig.core.bytes, 0);
    }

    #[test]
    fn retries_come_at_doubling_distances_up_to_the_limit_until_time_is_up() {
        let settings = QueueSettings {
            initial_retry_delay: s(1),
            max_retry_delay: s(5),
            max_retry_time: s(60),
            ..QueueSettings::default()
        };
        let delays: Vec<After> = (0..4).map(|retries| after_failure(retries, s(0), &settings)).collect();
        assert_eq!(delays, [1, 2, 4, 5].map(|d| After::RetryIn(s(d))));
        assert_eq!(after_failure(1000, s(60), &settings), After::RetryIn(s(5)));
        assert_eq!(after_failure(4, s(61), &settings), After::GiveUp);
    }
}
