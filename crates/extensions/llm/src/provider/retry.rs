//! When a provider says to come back. The clock is the caller's.

use crate::json::scan;
use crate::time;

/// Longer waits are nobody's wish; a header that says so is not believed.
const MAX_WAIT_MS: u64 = 24 * 60 * 60 * 1000;

/// Milliseconds to wait before the next try, as the answer has it: `retry-after-ms`, `retry-after`
/// (seconds or a date), the provider's own reset headers, or Gemini's `retryDelay` in the body.
/// `header` looks one up by its name in small letters; `now` is in seconds since 1970.
#[must_use]
pub fn retry_after_ms<'a>(header: impl Fn(&str) -> Option<&'a str>, body: &[u8], now: u64) -> Option<u64> {
    let ms = header("retry-after-ms").and_then(|v| v.trim().parse().ok());
    let wait = ms
        .or_else(|| header("retry-after").and_then(|v| seconds_or_date(v, now)))
        .or_else(|| retry_delay(body))
        .or_else(|| resets(&header, now))?;
    (wait <= MAX_WAIT_MS).then_some(wait)
}

fn seconds_or_date(value: &str, now: u64) -> Option<u64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return (seconds.is_finite() && seconds >= 0.0).then_some((seconds * 1000.0) as u64);
    }
    let at = time::parse_http_date(value)?;
    Some(at.saturating_sub(now).saturating_mul(1000))
}

/// The latest of the reset headers whose allowance is used up.
fn resets<'a>(header: &impl Fn(&str) -> Option<&'a str>, now: u64) -> Option<u64> {
    let spent = |name: &str| header(name).is_some_and(|v| v.trim() == "0");
    let openai = ["requests", "tokens"].into_iter().filter_map(|what| {
        let reset = header(&format!("x-ratelimit-reset-{what}"))?;
        spent(&format!("x-ratelimit-remaining-{what}")).then(|| duration_ms(reset)).flatten()
    });
    let anthropic = ["requests", "tokens", "input-tokens", "output-tokens"].into_iter().filter_map(|what| {
        let reset = header(&format!("anthropic-ratelimit-{what}-reset"))?;
        let at = time::parse_rfc3339(reset)?;
        spent(&format!("anthropic-ratelimit-{what}-remaining")).then(|| at.saturating_sub(now).saturating_mul(1000))
    });
    openai.chain(anthropic).max()
}

/// `{"error":{"details":[{"retryDelay":"12.5s"}]}}`
fn retry_delay(body: &[u8]) -> Option<u64> {
    let body = scan::elements(body).next().unwrap_or(body);
    let details = scan::get(scan::get(body, "error")?, "details")?;
    let delay = scan::elements(details).find_map(|d| scan::get(d, "retryDelay"))?;
    duration_ms(&scan::string(delay)?)
}

/// `6m0s`, `1.5s`, `250ms`.
fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let factor = match unit {
            "ms" => 1.0,
            "s" | "" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    Some(total as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn wait(headers: &[(&str, &'static str)], body: &str) -> Option<u64> {
        let get = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        retry_after_ms(get, body.as_bytes(), 784_111_777)
    }

    #[test]
    fn every_way_to_say_it_is_understood() {
        for (headers, body, expected) in [
            (&[("retry-after", "2")][..], "", Some(2000)),
            (&[("retry-after", "2"), ("retry-after-ms", "1500")], "", Some(1500)),
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")], "", Some(10_000)),
            (&[("x-ratelimit-reset-requests", "6m0s"), ("x-ratelimit-remaining-requests", "0")], "", Some(360_000)),
            (&[("x-ratelimit-reset-requests", "6m0s"), ("x-ratelimit-remaining-requests", "4")], "", None),
            (
                &[
                    ("anthropic-ratelimit-tokens-reset", "1994-11-06T08:49:38Z"),
                    ("anthropic-ratelimit-tokens-remaining", "0"),
                ],
                "",
                Some(1000),
            ),
            (&[], r#"[{"error":{"code":429,"details":[{"a":1},{"retryDelay":"12.5s"}]}}]"#, Some(12_500)),
            (&[("retry-after", "soon")], "", None),
            (&[("retry-after", "-1")], "", None),
            (&[("retry-after", "99999999")], "", None),
        ] {
            assert_eq!(wait(headers, body), expected, "{headers:?} {body}");
        }
    }
}
