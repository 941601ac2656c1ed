//! What the connections of one thread share: buffers, deadlines, counters and the current date.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::buffers::Buffers;
use crate::{Counters, Deadlines};

/// One per worker thread.
#[derive(Debug)]
pub struct Worker {
    pub(crate) buffers: Buffers,
    pub deadlines: Deadlines,
    pub counters: Counters,
    date: RefCell<DateText>,
    /// Connections that keep their serving state although they wait.
    pub(crate) staying: Cell<usize>,
}

#[derive(Debug)]
struct DateText {
    tick: Option<u64>,
    second: u64,
    text: [u8; 29],
}

impl Worker {
    #[must_use]
    pub fn new() -> Rc<Self> {
        Rc::new(Worker {
            buffers: Buffers::default(),
            deadlines: Deadlines::new(),
            counters: Counters::default(),
            date: RefCell::new(DateText { tick: None, second: 0, text: format_date(0) }),
            staying: Cell::new(0),
        })
    }

    /// Drives the deadlines; spawn it once as a local task.
    pub async fn run(self: Rc<Self>) {
        self.deadlines.run().await;
    }

    /// The current time as a `Date` field value (RFC 9110 5.6.7), at most a tick old.
    #[must_use]
    pub fn date(&self) -> [u8; 29] {
        let mut date = self.date.borrow_mut();
        let tick = self.deadlines.tick();
        if date.tick != Some(tick) || self.deadlines.idle() {
            date.tick = Some(tick);
            let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
            if second != date.second {
                date.second = second;
                date.text = format_date(second);
            }
        }
        date.text
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` for seconds since 1970.
fn format_date(second: u64) -> [u8; 29] {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, rest) = (second / 86_400, second % 86_400);
    let (year, month, day) = civil_date(days);
    let weekday = DAYS.get((days % 7) as usize).copied().unwrap_or_default();
    let month = MONTHS.get(month as usize - 1).copied().unwrap_or_default();
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let text = format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT");
    let mut out = [b' '; 29];
    for (to, from) in out.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    out
}

/// Year, month (1..=12) and day of a day counted from 1970-01-01, by 400-year eras that begin in March.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_wants_them() {
        assert_eq!(&format_date(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&format_date(951_782_400), b"Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(&format_date(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
