//! The time of a line in the forms nginx writes. A second's text is made once and reused, because calendars are slow.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Renders wall-clock time; one per thread that writes lines.
#[derive(Debug)]
pub struct LineClock {
    zone: TimeZone,
    second: i64,
    local: String,
    iso8601: String,
    error: String,
}

impl Default for LineClock {
    fn default() -> Self {
        Self::new(TimeZone::system())
    }
}

impl LineClock {
    /// A clock for a time zone.
    #[must_use]
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, second: i64::MIN, local: String::new(), iso8601: String::new(), error: String::new() }
    }

    /// `24/Nov/2025:07:31:02 +0000`, nginx's `$time_local`.
    pub fn local(&mut self, milliseconds: u64) -> &str {
        self.refresh(milliseconds);
        &self.local
    }

    /// `2025-11-24T07:31:02+00:00`, nginx's `$time_iso8601`.
    pub fn iso8601(&mut self, milliseconds: u64) -> &str {
        self.refresh(milliseconds);
        &self.iso8601
    }

    /// `2025/11/24 07:31:02`, as error log lines begin.
    pub fn error(&mut self, milliseconds: u64) -> &str {
        self.refresh(milliseconds);
        &self.error
    }

    fn refresh(&mut self, milliseconds: u64) {
        let second = i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX);
        if second == self.second {
            return;
        }
        let Ok(timestamp) = Timestamp::from_second(second) else { return };
        let zoned = timestamp.to_zoned(self.zone.clone());
        self.local = zoned.strftime("%d/%b/%Y:%H:%M:%S %z").to_string();
        self.iso8601 = zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        self.error = zoned.strftime("%Y/%m/%d %H:%M:%S").to_string();
        self.second = second;
    }
}

/// Milliseconds since 1970.
pub(crate) fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn one_moment_has_three_forms() {
        let mut clock = LineClock::new(TimeZone::fixed(jiff::tz::offset(2)));
        let moment = 1_700_000_000_123;
        assert_eq!(clock.local(moment), "15/Nov/2023:00:13:20 +0200");
        assert_eq!(clock.iso8601(moment), "2023-11-15T00:13:20+02:00");
        assert_eq!(clock.error(moment), "2023/11/15 00:13:20");
        assert_eq!(clock.error(moment + 1000), "2023/11/15 00:13:21");
    }
}
