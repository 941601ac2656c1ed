//! Holding requests back until there is room for them, within two bounds: how long one waits, and how many wait.

use std::sync::Arc;

use gibbon_limit::{Admission, Decision, FixedWindows, Limits, Seat, WaitingRoom};
use gibbon_pdk::{Build, Clock};

use super::config::Config;
use super::policy::Shared;
use crate::counters::CounterError;

const DEFAULT_SECONDS: f64 = 10.0;
const DEFAULT_SEATS: u32 = 1_000;

/// The bounds of one configuration.
pub struct Delay {
    max_ms: u64,
    room: Arc<WaitingRoom>,
}

/// What becomes of a request above the limit.
pub enum Held {
    /// Wait for so many milliseconds; a place is taken.
    For(u64, Seat),
    Refused(Decision),
    /// A place became free meanwhile.
    Admitted(Decision),
}

impl Delay {
    pub fn new(config: &Config, build: &Build<'_>) -> Self {
        let seats = config.max_delayed.unwrap_or(DEFAULT_SEATS);
        // Of the configuration, not of the plan: who waits already still holds a seat after a change elsewhere.
        let key = format!("rate-limiting/waiting/{}/{seats}", build.plugin_id);
        let room = build.shared(&key, || WaitingRoom::new(seats));
        let max_ms = (config.max_delay.unwrap_or(DEFAULT_SECONDS) * 1_000.0) as u64;
        Delay { max_ms, room }
    }

    /// For a request that the node's own counts refused.
    pub fn hold(&self, refused: Decision, windows: &FixedWindows, key: &[u8], limits: &Limits, now_ms: u64) -> Held {
        // The seat comes first: a place that is reserved in a window cannot be given back.
        let Some(seat) = self.room.enter() else { return Held::Refused(refused) };
        match windows.admit_or_wait(key, limits, now_ms, self.max_ms) {
            Admission::Now(decision) => Held::Admitted(decision),
            Admission::After(ms, _) => Held::For(ms, seat),
            Admission::Refused(decision) => Held::Refused(decision),
        }
    }

    /// Asks again at the start of each next period, as long as the wait allows.
    ///
    /// # Errors
    /// When the counts cannot be reached.
    pub async fn wait_for_shared(
        &self,
        mut refused: Decision,
        shared: &Shared,
        key: &str,
        limits: &Limits,
        clock: &dyn Clock,
    ) -> Result<Decision, CounterError> {
        let Some(_seat) = self.room.enter() else { return Ok(refused) };
        let until_ms = clock.wall_ns() / 1_000_000 + self.max_ms;
        loop {
            let now_ms = clock.wall_ns() / 1_000_000;
            let Some(period) = refused.stop else { return Ok(refused) };
            let next_ms = period.next_start_ms(period.start_ms(now_ms));
            if next_ms > until_ms {
                return Ok(refused);
            }
            clock.sleep(std::time::Duration::from_millis(next_ms - now_ms)).await;
            let now_ms = (clock.wall_ns() / 1_000_000).max(next_ms);
            refused = shared.admit(key, limits, now_ms).await?;
            if refused.is_allowed() {
                return Ok(refused);
            }
        }
    }
}
