//! What clients are told: limit and rest of each period, and the period that matters most.

use gibbon_limit::{Decision, Period};
use gibbon_message::Headers;

/// Sets the headers of a decision.
pub fn show(headers: &mut Headers, decision: &Decision) {
    for usage in decision.usages() {
        let (limit, remaining) = names(usage.period);
        set_number(headers, limit, usage.limit);
        set_number(headers, remaining, decision.remaining_shown(&usage));
    }
    if let Some(summary) = decision.summary() {
        set_number(headers, "RateLimit-Limit", summary.limit);
        set_number(headers, "RateLimit-Remaining", summary.remaining);
        set_count(headers, "RateLimit-Reset", summary.reset_seconds);
    }
}

fn names(period: Period) -> (&'static str, &'static str) {
    match period {
        Period::Second => ("X-RateLimit-Limit-Second", "X-RateLimit-Remaining-Second"),
        Period::Minute => ("X-RateLimit-Limit-Minute", "X-RateLimit-Remaining-Minute"),
        Period::Hour => ("X-RateLimit-Limit-Hour", "X-RateLimit-Remaining-Hour"),
        Period::Day => ("X-RateLimit-Limit-Day", "X-RateLimit-Remaining-Day"),
        Period::Month => ("X-RateLimit-Limit-Month", "X-RateLimit-Remaining-Month"),
        Period::Year => ("X-RateLimit-Limit-Year", "X-RateLimit-Remaining-Year"),
    }
}

/// Limits are numbers, mostly whole ones, which need no allocation.
fn set_number(headers: &mut Headers, name: &str, value: f64) {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        headers.set(name, itoa::Buffer::new().format(value as i64));
    } else {
        headers.set(name, value.to_string());
    }
}

pub fn set_count(headers: &mut Headers, name: &str, value: u64) {
    headers.set(name, itoa::Buffer::new().format(value));
}
