//! Calendar dates for the few formats that want them. The clock itself is the caller's.

/// `2024-01-31T23:59:59Z` for seconds since 1970.
#[must_use]
pub fn rfc3339(seconds: u64) -> String {
    let (y, m, d, hh, mm, ss) = civil(seconds);
    format!("{y:04}-{m:02}-{d:02}T{hh:02}:{mm:02}:{ss:02}Z")
}

/// `20240131T235959Z`, as AWS signatures want it.
#[must_use]
pub fn basic(seconds: u64) -> String {
    let (y, m, d, hh, mm, ss) = civil(seconds);
    format!("{y:04}{m:02}{d:02}T{hh:02}{mm:02}{ss:02}Z")
}

/// Year, month, day, hour, minute, second. (Days to date after Howard Hinnant's `civil_from_days`.)
fn civil(seconds: u64) -> (u64, u64, u64, u64, u64, u64) {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    (year, month, day, rest / 3_600, rest / 60 % 60, rest % 60)
}

/// Seconds since 1970 of an RFC 3339 time; fractions are cut off, times before 1970 are `None`.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let number = |from: usize, len: usize| text.get(from..from + len)?.parse::<i64>().ok();
    let (y, m, d) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hh, mm, ss) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    if !(1..=12).contains(&m) || !(1..=31).contains(&d) || hh > 24 || mm > 60 || ss > 60 {
        return None;
    }
    let rest = text.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match rest.as_bytes().first()? {
        b'Z' | b'z' => 0,
        sign @ (b'+' | b'-') => {
            let part = |from: usize| rest.get(from..from + 2)?.parse::<i64>().ok();
            let minutes = part(1)? * 60 + part(4)?;
            if *sign == b'+' { minutes } else { -minutes }
        }
        _ => return None,
    };
    let (y, m) = if m <= 2 { (y - 1, m + 9) } else { (y, m - 3) };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + (153 * m + 2) / 5 + d - 1;
    let days = era * 146_097 + doe - 719_468;
    u64::try_from(days * 86_400 + hh * 3_600 + mm * 60 + ss - offset * 60).ok()
}

/// Seconds since 1970 of an HTTP date in its preferred form (RFC 9110, section 5.6.7), as in
/// `Sun, 06 Nov 1994 08:49:37 GMT`.
#[must_use]
pub fn parse_http_date(text: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let (_, rest) = text.trim().split_once(", ")?;
    let mut words = rest.split(' ');
    let (day, month, year, clock) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.find(month).filter(|at| month.len() == 3 && at % 3 == 0)? / 3 + 1;
    parse_rfc3339(&format!("{year}-{month:02}-{day}T{clock}Z"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(basic(1_440_938_160), "20150830T123600Z");
        assert_eq!(parse_rfc3339("2024-01-01T01:00:00.123456789+01:00"), Some(1_704_067_200));
        for bad in
            ["", "2024", "2024-13-01T00:00:00Z", "1969-01-01T00:00:00Z", "2024-01-01T00:00:00", "é024-01-01T00:00:00Z"]
        {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(seconds in 0u64..4_000_000_000) {
            prop_assert_eq!(parse_rfc3339(&rfc3339(seconds)), Some(seconds));
        }
    }
}
