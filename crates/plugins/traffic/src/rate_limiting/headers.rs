//! What clients are told: limit and rest of each period, and the period that matters most.

use gibbon_limit::{Decision, Period};
use gibbon_message::Headers;

use crate::numbers::{set_count, set_number_of};

/// Sets the headers of a decision.
pub fn show(headers: &mut Headers, decision: &Decision) {
    for usage in decision.usages() {
        let (limit, remaining) = names(usage.period);
        set_number_of(headers, limit, usage.limit);
        set_number_of(headers, remaining, decision.remaining_shown(&usage));
    }
    if let Some(summary) = decision.summary() {
        set_number_of(headers, "RateLimit-Limit", summary.limit);
        set_number_of(headers, "RateLimit-Remaining", summary.remaining);
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
