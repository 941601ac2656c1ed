//! Calendar periods in UTC: where one begins, where the next does, and how long it is said to be.

const SECOND_MS: u64 = 1_000;
const DAY_MS: u64 = 86_400_000;

/// A period of the calendar. The order is from the shortest to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day from midnight UTC.
    Day,
    /// A month of the Gregorian calendar.
    Month,
    /// A year of the Gregorian calendar.
    Year,
}

impl Period {
    /// All periods, from the shortest to the longest.
    pub const ALL: [Self; 6] = [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Month, Self::Year];

    /// Name of the setting.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// Name as the `X-RateLimit-Limit-*` headers carry it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Second => "Second",
            Self::Minute => "Minute",
            Self::Hour => "Hour",
            Self::Day => "Day",
            Self::Month => "Month",
            Self::Year => "Year",
        }
    }

    /// Length in seconds as resets are computed with it: every month has 30 days and every year 365.
    pub fn nominal_seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Month => 2_592_000,
            Self::Year => 31_536_000,
        }
    }

    /// Start of the period that contains `now_ms`, both in milliseconds since 1970.
    pub fn start_ms(self, now_ms: u64) -> u64 {
        match self {
            Self::Second | Self::Minute | Self::Hour | Self::Day => {
                let length = self.nominal_seconds() * SECOND_MS;
                now_ms - now_ms % length
            }
            Self::Month => {
                let (year, month) = civil(now_ms / DAY_MS);
                days_before(year, month) * DAY_MS
            }
            Self::Year => {
                let (year, _) = civil(now_ms / DAY_MS);
                days_before(year, 1) * DAY_MS
            }
        }
    }

    /// Start of the period after the one that begins at `start_ms`.
    pub fn next_start_ms(self, start_ms: u64) -> u64 {
        match self {
            Self::Second | Self::Minute | Self::Hour | Self::Day => start_ms + self.nominal_seconds() * SECOND_MS,
            Self::Month | Self::Year => {
                let (year, month) = civil(start_ms / DAY_MS);
                let (year, month) = if self == Self::Year || month == 12 { (year + 1, 1) } else { (year, month + 1) };
                days_before(year, month) * DAY_MS
            }
        }
    }

    /// Start of the period that lies `count` periods after the one that begins at `start_ms`.
    pub(crate) fn later_start_ms(self, start_ms: u64, count: u64) -> u64 {
        match self {
            Self::Month | Self::Year => (0..count).fold(start_ms, |start, _| self.next_start_ms(start)),
            _ => start_ms.saturating_add(count.saturating_mul(self.nominal_seconds() * SECOND_MS)),
        }
    }

    /// How many periods lie between two that begin at these times; 0 if the second is not later.
    pub(crate) fn count_between(self, from_ms: u64, to_ms: u64) -> u64 {
        match self {
            Self::Month | Self::Year => {
                let mut count = 0;
                let mut start = from_ms;
                while start < to_ms {
                    start = self.next_start_ms(start);
                    count += 1;
                }
                count
            }
            _ => to_ms.saturating_sub(from_ms) / (self.nominal_seconds() * SECOND_MS),
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// Year and month (1..=12) of a day counted from 1970-01-01.
///
/// Counts in years that begin in March, so that the leap day comes last and months have a regular pattern.
fn civil(days: u64) -> (u64, u64) {
    const DAYS_TO_MARCH_OF_YEAR_0: u64 = 719_468;
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let days = days + DAYS_TO_MARCH_OF_YEAR_0;
    let era = days / DAYS_IN_400_YEARS;
    let day_of_era = days % DAYS_IN_400_YEARS;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_from_march = (5 * day_of_year + 2) / 153;
    let year = era * 400 + year_of_era;
    if months_from_march < 10 { (year, months_from_march + 3) } else { (year + 1, months_from_march - 9) }
}

/// Days from 1970-01-01 to the first of a month.
fn days_before(year: u64, month: u64) -> u64 {
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let years_before = year - 1;
    let leap_days = years_before / 4 - years_before / 100 + years_before / 400;
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let in_year = BEFORE.get(month.saturating_sub(1) as usize).copied().unwrap_or(0) + u64::from(is_leap && month > 2);
    (365 * years_before + leap_days + in_year).saturating_sub(719_162)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2024-02-29T13:37:42.123Z
    const LEAP_DAY: u64 = 1_709_213_862_123;

    #[test]
    fn periods_begin_where_the_calendar_says() {
        let starts = Period::ALL.map(|period| period.start_ms(LEAP_DAY));
        assert_eq!(
            starts,
            [
                1_709_213_862_000,
                1_709_213_820_000,
                1_709_211_600_000,
                1_709_164_800_000, // 2024-02-29
                1_706_745_600_000, // 2024-02-01
                1_704_067_200_000, // 2024-01-01
            ]
        );
    }

    #[test]
    fn the_next_month_and_year_begin_where_the_calendar_says() {
        assert_eq!(Period::Month.next_start_ms(1_706_745_600_000), 1_709_251_200_000); // 2024-03-01
        assert_eq!(Period::Year.next_start_ms(1_704_067_200_000), 1_735_689_600_000); // 2025-01-01
        assert_eq!(Period::Month.next_start_ms(1_701_388_800_000), 1_704_067_200_000); // December to January
        assert_eq!(Period::Month.start_ms(0), 0);
        assert_eq!(Period::Year.start_ms(951_782_400_000), 946_684_800_000); // 2000 was a leap year
    }

    proptest! {
        #[test]
        fn a_moment_lies_between_its_start_and_the_next(now in 0_u64..10_000_000_000_000) {
            for period in Period::ALL {
                let start = period.start_ms(now);
                let next = period.next_start_ms(start);
                prop_assert!(start <= now && now < next, "{:?}: {} {} {}", period, start, now, next);
                prop_assert_eq!(period.start_ms(next), next);
                prop_assert_eq!(period.start_ms(next - 1), start);
                let later = period.later_start_ms(start, 5);
                prop_assert_eq!(period.start_ms(later), later);
                prop_assert_eq!(period.count_between(start, later), 5);
            }
        }
    }
}
