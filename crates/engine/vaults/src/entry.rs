//! The life of one remembered secret, by a clock that is handed in: when it is read, how long it is used, what happens
//! when it cannot be read again. The rules are Kong's; times are exact where Kong looks once a minute.

use std::time::{Duration, Instant};

use crate::config::Config;
use gibbon_conf::vault::Reference;

/// After a failure, when nothing says how long to wait.
const RETRY: Duration = Duration::from_secs(60);
/// Nothing is read more often than this.
const LEAST: Duration = Duration::from_secs(1);
/// How long a secret that cannot be read again stays in use, unless the vault says otherwise: three years, as in Kong.
const RESURRECT: Duration = Duration::from_secs(100_000_000);

/// How long things are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lives {
    /// Of a secret; `None` is for ever.
    pub ttl: Option<Duration>,
    /// Of a failure.
    pub neg_ttl: Option<Duration>,
    /// Of a secret that cannot be read again, after its own time.
    pub resurrect_ttl: Duration,
}

impl Lives {
    /// Options of the reference win over the vault's.
    #[must_use]
    pub fn of(reference: &Reference, config: &Config) -> Lives {
        let seconds = |name: &str| {
            let own = reference.options.get(name).and_then(|text| text.parse::<u64>().ok());
            own.or_else(|| config.seconds(name)).filter(|seconds| *seconds > 0).map(Duration::from_secs)
        };
        Lives {
            ttl: seconds("ttl"),
            neg_ttl: seconds("neg_ttl"),
            resurrect_ttl: seconds("resurrect_ttl").unwrap_or(RESURRECT),
        }
    }
}

/// What is known of a secret.
#[derive(Clone, Default)]
enum Known {
    /// It was never asked for.
    #[default]
    Nothing,
    Secret {
        value: String,
        read: Instant,
    },
    /// Asked for, and not had.
    Failure,
}

/// A remembered secret.
#[derive(Clone)]
pub struct Entry {
    lives: Lives,
    known: Known,
    /// When it is to be read next; `None` is never.
    due: Option<Instant>,
    /// Whether someone reads it now.
    is_being_read: bool,
}

impl Entry {
    pub fn new(lives: Lives, now: Instant) -> Entry {
        Entry { lives, known: Known::Nothing, due: Some(now), is_being_read: false }
    }

    /// The secret as last read.
    pub fn value(&self) -> Option<&str> {
        match &self.known {
            Known::Secret { value, .. } => Some(value),
            Known::Nothing | Known::Failure => None,
        }
    }

    /// Whether it was asked for at least once.
    pub fn is_settled(&self) -> bool {
        !matches!(self.known, Known::Nothing)
    }

    /// When it is to be read, unless that happens already.
    pub fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.is_being_read)
    }

    pub fn begin_reading(&mut self) {
        self.is_being_read = true;
    }

    /// Takes in a secret; tells whether it is another one.
    pub fn succeeded(&mut self, value: String, now: Instant) -> bool {
        let changed = self.value() != Some(value.as_str());
        self.is_being_read = false;
        self.due = self.lives.ttl.map(|ttl| now + ttl.max(LEAST));
        self.known = Known::Secret { value, read: now };
        changed
    }

    /// Takes in a failure; tells whether the secret that was in use no longer is.
    pub fn failed(&mut self, now: Instant) -> bool {
        self.is_being_read = false;
        self.due = Some(now + self.lives.neg_ttl.unwrap_or(RETRY).max(LEAST));
        match &self.known {
            Known::Secret { read, .. } => {
                let usable = self.lives.ttl.unwrap_or_default() + self.lives.resurrect_ttl;
                let is_over = now.duration_since(*read) >= usable;
                if is_over {
                    self.known = Known::Failure;
                }
                is_over
            }
            Known::Nothing | Known::Failure => {
                self.known = Known::Failure;
                false
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lives(ttl: u64, neg_ttl: u64, resurrect_ttl: u64) -> Lives {
        let some = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
        Lives { ttl: some(ttl), neg_ttl: some(neg_ttl), resurrect_ttl: some(resurrect_ttl).unwrap_or(RESURRECT) }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_secret_without_a_time_is_read_once() {
        let start = Instant::now();
        let mut entry = Entry::new(lives(0, 0, 0), start);
        assert_eq!((entry.due(), entry.is_settled()), (Some(start), false));
        assert!(entry.succeeded("a".into(), start));
        assert_eq!((entry.due(), entry.value()), (None, Some("a")));
    }

    #[test]
    fn a_secret_is_read_again_when_its_time_is_over_and_only_another_one_counts_as_changed() {
        let start = Instant::now();
        let mut entry = Entry::new(lives(10, 0, 0), start);
        entry.succeeded("a".into(), start);
        assert_eq!(entry.due(), Some(after(start, 10)));
        entry.begin_reading();
        assert_eq!(entry.due(), None);
        assert!(!entry.succeeded("a".into(), after(start, 10)));
        assert!(entry.succeeded("b".into(), after(start, 20)));
        assert_eq!(entry.value(), Some("b"));
    }

    #[test]
    fn a_secret_that_cannot_be_read_again_stays_in_use_as_long_as_it_may() {
        let start = Instant::now();
        let mut entry = Entry::new(lives(10, 5, 20), start);
        entry.succeeded("a".into(), start);
        assert!(!entry.failed(after(start, 10)));
        assert_eq!((entry.value(), entry.due()), (Some("a"), Some(after(start, 15))));
        assert!(entry.failed(after(start, 30)));
        assert_eq!(entry.value(), None);
        assert!(!entry.failed(after(start, 35)), "it was lost before");
    }

    #[test]
    fn a_failure_is_tried_again_after_a_minute_or_as_the_vault_says() {
        let start = Instant::now();
        for (neg_ttl, wait) in [(0, 60), (5, 5)] {
            let mut entry = Entry::new(lives(0, neg_ttl, 0), start);
            entry.failed(start);
            assert_eq!((entry.due(), entry.is_settled()), (Some(after(start, wait)), true));
        }
    }

    #[test]
    fn options_of_a_reference_win_over_the_vault() {
        let vault = json!({"name": "hcv", "config": {"ttl": 60, "neg_ttl": 7}});
        let config = Config::of_entity(&vault).unwrap();
        let reference = Reference::parse("{vault://hcv/a/b?ttl=30}").unwrap();
        assert_eq!(Lives::of(&reference, &config), lives(30, 7, 0));
    }
}
