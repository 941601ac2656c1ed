//! Sizes and durations as nginx writes them. Nothing here knows which setting it reads.

use std::time::Duration;

/// Parses a number of bytes: digits and an optional `k`, `m` or `g` in either case (powers of 1024).
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b'k' | b'K' => (text.get(..text.len() - 1)?, 1 << 10),
        b'm' | b'M' => (text.get(..text.len() - 1)?, 1 << 20),
        b'g' | b'G' => (text.get(..text.len() - 1)?, 1 << 30),
        _ => (text, 1),
    };
    digits_only(digits)?.checked_mul(factor)
}

/// Parses a duration: numbers with units from large to small (`y M w d h m s ms`), spaces between them allowed, each unit
/// at most once; a last number without a unit means seconds. A month is 30 days and a year 365, as nginx counts.
#[must_use]
pub fn parse_time(text: &str) -> Option<Duration> {
    const DAY: u64 = 86_400_000;
    const UNITS: &[(&str, u64)] = &[
        ("y", 365 * DAY),
        ("M", 30 * DAY),
        ("w", 7 * DAY),
        ("d", DAY),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut smaller_than = 0;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number_ends = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, after) = rest.split_at_checked(number_ends)?;
        let unit_ends = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_ends)?;
        let place = if unit.is_empty() {
            after.trim().is_empty().then_some(6)?
        } else {
            UNITS.iter().position(|(name, _)| *name == unit)?
        };
        if place < smaller_than {
            return None;
        }
        smaller_than = place + 1;
        let (_, milliseconds) = UNITS.get(place)?;
        total = total.checked_add(digits_only(digits)?.checked_mul(*milliseconds)?)?;
        rest = after.trim_start_matches(' ');
    }
    Some(Duration::from_millis(total))
}

/// A number of nothing but decimal digits.
pub(crate) fn digits_only(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_digits_and_one_unit_of_either_case() {
        assert_eq!(parse_size("0"), Some(0));
        assert_eq!(parse_size("1024"), Some(1024));
        assert_eq!(parse_size("8k"), Some(8192));
        assert_eq!(parse_size("10M"), Some(10 << 20));
        assert_eq!(parse_size("2g"), Some(2 << 30));
    }

    #[test]
    fn a_size_is_refused_when_it_is_empty_signed_fractional_or_too_large() {
        for bad in ["", "k", "-1", "+1", "1.5m", "1kb", "1 k", "99999999999999999999", "18446744073709551615k"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_bare_number_is_seconds() {
        assert_eq!(parse_time("75"), Some(Duration::from_secs(75)));
        assert_eq!(parse_time("0"), Some(Duration::ZERO));
    }

    #[test]
    fn units_add_up_from_large_to_small() {
        assert_eq!(parse_time("1d"), Some(Duration::from_secs(86_400)));
        assert_eq!(parse_time("1h 30m"), Some(Duration::from_secs(5_400)));
        assert_eq!(parse_time("1h30m5"), Some(Duration::from_secs(5_405)));
        assert_eq!(parse_time("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_time("1M"), Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(parse_time("1y"), Some(Duration::from_secs(365 * 86_400)));
    }

    #[test]
    fn units_out_of_order_repeated_or_unknown_are_refused() {
        for bad in ["", "s", "5m 1h", "1s 1s", "1q", "1.5s", "-1", "10 5s", "1sec"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parsers_fail(text in ".{0,24}") {
            let _ = (parse_size(&text), parse_time(&text));
        }
    }
}
