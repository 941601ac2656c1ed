//! Calendar windows as the rate-limiting plugin counts them: each period has its own limit and its own count, and
//! all counts of a key change together or not at all.

use crate::Period;
use crate::table::{Expiring, Table};

const PERIODS: usize = Period::ALL.len();

/// A limit for each period, or none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits([Option<f64>; PERIODS]);

impl Limits {
    /// No limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a limit (greater than 0) for one period.
    pub fn with(mut self, period: Period, limit: f64) -> Self {
        if let Some(slot) = self.0.get_mut(period.index()) {
            *slot = Some(limit);
        }
        self
    }

    /// The limit of a period.
    pub fn get(&self, period: Period) -> Option<f64> {
        self.0.get(period.index()).copied().flatten()
    }

    /// Limits that are set, from the shortest period to the longest.
    pub fn iter(&self) -> impl Iterator<Item = (Period, f64)> + '_ {
        Period::ALL.into_iter().filter_map(|period| self.get(period).map(|limit| (period, limit)))
    }
}

impl FromIterator<(Period, f64)> for Limits {
    fn from_iter<I: IntoIterator<Item = (Period, f64)>>(limits: I) -> Self {
        limits.into_iter().fold(Self::new(), |all, (period, limit)| all.with(period, limit))
    }
}

/// One period as it stood before the request in question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Which period.
    pub period: Period,
    /// Its limit.
    pub limit: f64,
    /// What was counted so far.
    pub used: u64,
}

impl Usage {
    /// What was left; may be negative.
    pub fn remaining(&self) -> f64 {
        self.limit - self.used as f64
    }
}

/// The state of all limited periods, and whether one of them was used up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    usages: [Option<Usage>; PERIODS],
    /// The period that refuses the request; the longest of them if several do.
    pub stop: Option<Period>,
    now_ms: u64,
}

/// The period that matters most to the client, for `RateLimit-*` and `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Its limit.
    pub limit: f64,
    /// What is left of it after this request; at least 0.
    pub remaining: f64,
    /// Seconds to the end of the period, at least 1.
    pub reset_seconds: u64,
}

impl Decision {
    /// Decides by counts that are kept elsewhere. `now_ms` is the wall clock.
    pub fn of(limits: &Limits, used: impl Fn(Period) -> u64, now_ms: u64) -> Self {
        let mut decision = Self::unlimited(now_ms);
        for (period, limit) in limits.iter() {
            decision.note(Usage { period, limit, used: used(period) });
        }
        decision
    }

    /// Whether the request may pass.
    pub fn is_allowed(&self) -> bool {
        self.stop.is_none()
    }

    /// Limited periods, from the shortest to the longest.
    pub fn usages(&self) -> impl Iterator<Item = Usage> + '_ {
        self.usages.iter().copied().flatten()
    }

    /// What the client is told is left of a period: after this request, unless another period refused it.
    pub fn remaining_shown(&self, usage: &Usage) -> f64 {
        let counts = self.stop.is_none() || self.stop == Some(usage.period);
        (usage.remaining() - if counts { 1.0 } else { 0.0 }).max(0.0)
    }

    /// The period with the least left; of equals the longest. `None` without limits.
    pub fn summary(&self) -> Option<Summary> {
        let tightest = self.usages().reduce(|tightest, usage| {
            if self.remaining_shown(&usage) <= self.remaining_shown(&tightest) { usage } else { tightest }
        })?;
        let elapsed = (self.now_ms - tightest.period.start_ms(self.now_ms)) / 1_000;
        Some(Summary {
            limit: tightest.limit,
            remaining: self.remaining_shown(&tightest),
            reset_seconds: tightest.period.nominal_seconds().saturating_sub(elapsed).max(1),
        })
    }
}

/// What [`FixedWindows::admit_or_wait`] decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Admission {
    /// Go on; counted.
    Now(Decision),
    /// Go on after so many milliseconds; a place in that later window is taken already.
    After(u64, Decision),
    /// Even with the longest wait there is no place.
    Refused(Decision),
}

/// Counters of a node by key. Share one between all workers, and keep it across configurations.
#[derive(Debug)]
pub struct FixedWindows {
    table: Table<Windows>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Windows {
    windows: [Window; PERIODS],
    expires_ms: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    start_ms: u64,
    used: u64,
    /// Admitted already, but to later windows: they wait.
    reserved: u64,
}

impl Expiring for Windows {
    fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms <= now_ms
    }
}

impl FixedWindows {
    /// For at most about `capacity` keys, some 200 bytes each. `seed` should be a secret random number.
    pub fn new(capacity: usize, seed: u64) -> Self {
        Self { table: Table::new(capacity, seed) }
    }

    /// Decides about a request, and counts it if it may pass. `now_ms` is the wall clock.
    ///
    /// A request passes while every period has something left, whatever it costs: `cost` may overshoot a limit once.
    pub fn admit(&self, key: &[u8], limits: &Limits, cost: u64, now_ms: u64) -> Decision {
        let work = |windows: &mut Windows| {
            let decision = windows.look(limits, now_ms);
            if decision.is_allowed() {
                windows.add(limits, cost);
            }
            decision
        };
        self.table.update(key, now_ms, Windows::default, work).unwrap_or(Decision::unlimited(now_ms))
    }

    /// Like [`admit`](Self::admit) with a cost of 1, but what does not fit may wait up to `max_wait_ms` for a later
    /// window, in the order of asking.
    pub fn admit_or_wait(&self, key: &[u8], limits: &Limits, now_ms: u64, max_wait_ms: u64) -> Admission {
        let work = |windows: &mut Windows| {
            let decision = windows.look(limits, now_ms);
            if decision.is_allowed() {
                windows.add(limits, 1);
                return Admission::Now(decision);
            }
            let wait_ms = windows.wait_ms(limits, now_ms);
            if wait_ms > max_wait_ms {
                return Admission::Refused(decision);
            }
            windows.reserve(limits);
            Admission::After(wait_ms, decision)
        };
        let free = Admission::Now(Decision::unlimited(now_ms));
        self.table.update(key, now_ms, Windows::default, work).unwrap_or(free)
    }

    /// Looks without counting.
    pub fn usage(&self, key: &[u8], limits: &Limits, now_ms: u64) -> Decision {
        let look = |windows: &Windows| {
            let mut windows = *windows;
            windows.look(limits, now_ms)
        };
        self.table.read(key, look).unwrap_or_else(|| Windows::default().look(limits, now_ms))
    }

    /// Counts without deciding: for costs that are known only afterwards.
    pub fn add(&self, key: &[u8], limits: &Limits, amount: u64, now_ms: u64) {
        let work = |windows: &mut Windows| {
            windows.look(limits, now_ms);
            windows.add(limits, amount);
        };
        self.table.update(key, now_ms, Windows::default, work);
    }

    /// Keys that were thrown out for lack of room while they still counted: a metric worth an alarm.
    pub fn evictions(&self) -> u64 {
        self.table.evictions()
    }

    /// Number of keys held.
    pub fn keys(&self) -> usize {
        self.table.len()
    }
}

impl Decision {
    fn unlimited(now_ms: u64) -> Self {
        Self { usages: [None; PERIODS], stop: None, now_ms }
    }

    fn note(&mut self, usage: Usage) {
        if usage.remaining() <= 0.0 {
            self.stop = Some(usage.period);
        }
        if let Some(slot) = self.usages.get_mut(usage.period.index()) {
            *slot = Some(usage);
        }
    }
}

impl Windows {
    /// Moves all limited windows to the present and reads them.
    fn look(&mut self, limits: &Limits, now_ms: u64) -> Decision {
        let mut decision = Decision::unlimited(now_ms);
        for (period, limit) in limits.iter() {
            let Some(window) = self.windows.get_mut(period.index()) else { continue };
            window.move_to(period, limit, now_ms);
            self.expires_ms = self.expires_ms.max(period.next_start_ms(window.start_ms));
            decision.note(Usage { period, limit, used: window.used });
        }
        decision
    }

    fn add(&mut self, limits: &Limits, amount: u64) {
        for (period, _) in limits.iter() {
            if let Some(window) = self.windows.get_mut(period.index()) {
                window.used = window.used.saturating_add(amount);
            }
        }
    }

    /// Milliseconds until every period has a place that is not yet promised.
    fn wait_ms(&self, limits: &Limits, now_ms: u64) -> u64 {
        let waits = limits.iter().filter_map(|(period, limit)| {
            let window = self.windows.get(period.index()).filter(|window| window.is_full(limit))?;
            let windows_ahead = window.reserved / places(limit) + 1;
            Some(period.later_start_ms(window.start_ms, windows_ahead).saturating_sub(now_ms))
        });
        waits.max().unwrap_or(0)
    }

    fn reserve(&mut self, limits: &Limits) {
        for (period, limit) in limits.iter() {
            if let Some(window) = self.windows.get_mut(period.index()) {
                if window.is_full(limit) {
                    window.reserved = window.reserved.saturating_add(1);
                } else {
                    window.used = window.used.saturating_add(1);
                }
            }
        }
    }
}

impl Window {
    fn is_full(&self, limit: f64) -> bool {
        limit - self.used as f64 <= 0.0
    }

    fn move_to(&mut self, period: Period, limit: f64, now_ms: u64) {
        let start_ms = period.start_ms(now_ms);
        if start_ms == self.start_ms {
            return;
        }
        // Another worker may have read its clock a moment earlier; going back would forget what was counted since.
        // A clock that was truly set back is more than a window off and must not keep the old count in force.
        let slightly_behind = start_ms < self.start_ms && self.start_ms - start_ms <= period.nominal_seconds() * 1_000;
        if slightly_behind {
            return;
        }
        let waiting = self.still_waiting(period, limit, start_ms);
        let used = waiting.min(places(limit));
        *self = Self { start_ms, used, reserved: waiting - used };
    }

    /// Reservations that were not yet due in the windows before `start_ms`.
    fn still_waiting(&self, period: Period, limit: f64, start_ms: u64) -> u64 {
        // A clock set back makes nonsense of what was promised; most windows have promised nothing anyway.
        if self.reserved == 0 || start_ms < self.start_ms {
            return 0;
        }
        let windows_passed = period.count_between(self.start_ms, start_ms) - 1;
        self.reserved.saturating_sub(places(limit).saturating_mul(windows_passed))
    }
}

/// Requests that fit into a window: a limit of 2.5 admits three, the third of which overshoots it.
fn places(limit: f64) -> u64 {
    (limit.ceil() as u64).max(1)
}

#[cfg(test)]
mod tests;
