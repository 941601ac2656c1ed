//! Dates as HTTP writes them (RFC 9110 5.6.7): all three forms are read, the first one is written.

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// 1970-01-01 was a Thursday.
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const SECONDS_PER_DAY: i64 = 86_400;

/// Seconds since the epoch. The name of the day is not compared with the date, as in nginx.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    match text.split_once(',') {
        // Sun, 06 Nov 1994 08:49:37 GMT, or Sunday, 06-Nov-94 08:49:37 GMT
        Some((_, rest)) => {
            let (date, rest) = rest.trim_start().split_at_checked(if rest.contains('-') { 9 } else { 11 })?;
            let time = rest.strip_prefix(' ')?.strip_suffix(" GMT")?;
            let (day, rest) = date.split_at_checked(2)?;
            let (month, year) = rest.get(1..)?.split_once([' ', '-'])?;
            let year = match (year.len(), number(year)?) {
                (4, year) => year,
                (2, year) if year < 70 => year + 2000,
                (2, year) => year + 1900,
                _ => return None,
            };
            seconds(year, month, number(day)?, time)
        }
        // Sun Nov  6 08:49:37 1994
        None => {
            let mut words = text.split_ascii_whitespace().skip(1);
            let (month, day, time, year) = (words.next()?, words.next()?, words.next()?, words.next()?);
            (year.len() == 4 && words.next().is_none()).then_some(())?;
            seconds(number(year)?, month, number(day)?, time)
        }
    }
}

/// The form `Sun, 06 Nov 1994 08:49:37 GMT`, for the years 0 to 9999.
#[must_use]
pub fn format(seconds: i64) -> String {
    let (days, time) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
    let (year, month, day) = civil(days);
    let name = DAYS.get(days.rem_euclid(7) as usize).copied().unwrap_or_default();
    let month = MONTHS.get(month as usize - 1).copied().unwrap_or_default();
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{name}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

fn number(digits: &str) -> Option<i64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

fn seconds(year: i64, month: &str, day: i64, time: &str) -> Option<i64> {
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let mut parts = time.split(':').map(|part| number(part).filter(|_| part.len() == 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    // A leap second is taken for the one before it.
    let in_range = hour < 24 && minute < 60 && second <= 60 && parts.next().is_none();
    if !in_range || day < 1 || day > days_in(year, month) {
        return None;
    }
    Some(days_since_epoch(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second.min(59))
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar; a year is counted from March, so that the leap day is its last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date of a number of days from 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_mean_the_same() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse(text), Some(784_111_777), "{text}");
        }
        assert_eq!(format(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(format(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "not a date",
            ",",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 30 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 99999 08:49:37 GMT",
            "Sun, \u{e9}\u{e9}6 Nov 94 08:49:37 GMT",
            "784111777",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in 0i64..253_402_300_800) {
            proptest::prop_assert_eq!(parse(&format(seconds)), Some(seconds));
        }

        #[test]
        fn any_text_is_taken_or_refused(text: String) {
            let _ = parse(&text);
        }
    }
}
