//! `X-Kong-Request-Debug`: whoever may know is told where their request's time went, in a header of the answer and, if
//! asked for, in the error log. The stations record (`walk.rs`, `run.rs`, `balance.rs`); here stands who is told, and how.
//!
//! The three headers end here, whoever sends them: the token is a secret of this node and no upstream's business.

use gibbon_message::Headers;
use gibbon_pdk::{Clock, Exchange, Timing};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;

use crate::finish::request_line;
use crate::settings::ProxySettings;

const ASKS: &str = "X-Kong-Request-Debug";
const TOKEN: &str = "X-Kong-Request-Debug-Token";
const LOG: &str = "X-Kong-Request-Debug-Log";
const OUTPUT: &str = "X-Kong-Request-Debug-Output";

/// Bytes from which the header is too large for a client elsewhere: many accept 4 KiB of headers only.
const HEADER_LIMIT: usize = 2 * 1024;
/// Bytes of the tree in one line of the log.
const LOG_PART: usize = 3 * 1024;

/// Whether one of the three headers is there.
pub fn is_asked(headers: &Headers) -> bool {
    headers.any_begins(ASKS.as_bytes())
}

/// Takes the headers out, and begins to record for whoever may know: this machine, and those who show the token.
pub fn begin(x: &mut Exchange, settings: &ProxySettings) {
    let headers = &mut x.request.headers;
    let asked = only(headers, ASKS).is_some_and(|value| value == b"*");
    let token = only(headers, TOKEN).map(<[u8]>::to_vec);
    let log = only(headers, LOG).is_some_and(|value| value == b"true");
    for name in [ASKS, TOKEN, LOG] {
        headers.remove(name);
    }
    if !asked {
        return;
    }
    // The peer must be this machine, too: a trusted proxy may pass on an address that its client made up.
    let loopback = x.client.ip.is_loopback() && x.client.peer_ip.is_loopback();
    let shown = token.zip(settings.request_debug.as_ref());
    if loopback || shown.is_some_and(|(token, secret)| token.ct_eq(secret.0.as_bytes()).into()) {
        x.trace.begin_timing(Timing::new(log, loopback));
    }
}

/// The value of a header that was sent once.
fn only<'h>(headers: &'h Headers, name: &'h str) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name);
    values.next().filter(|_| values.next().is_none())
}

/// A name is about to be resolved: for the first try as part of the access phase, as in Kong.
pub fn enter_resolving(x: &mut Exchange, host: &str, clock: &dyn Clock) {
    let phase = if x.tries.is_empty() { "access" } else { "balancer" };
    for part in [phase, "dns", host, "resolve"] {
        x.trace.enter(part, clock);
    }
}

/// It is resolved.
pub fn leave_resolving(x: &mut Exchange, cache_hit: bool, clock: &dyn Clock) {
    if let Some(timing) = x.trace.timing_mut() {
        timing.note("cache_hit", cache_hit.into());
    }
    x.trace.leave(4, clock);
}

/// The choice of a peer is over, which began at this moment.
pub fn balanced(x: &mut Exchange, begin_ns: u64, clock: &dyn Clock) {
    if let Some(timing) = x.trace.timing_mut() {
        timing.add(&["balancer"], begin_ns, clock.monotonic_ns());
    }
}

/// Puts what is known when the head of the answer leaves into it.
pub fn show(x: &mut Exchange, headers: &mut Headers, clock: &dyn Clock) {
    let Some(timing) = x.trace.timing() else { return };
    let mut output = tree(x, timing, clock, None);
    if output.len() >= HEADER_LIMIT && !timing.loopback {
        output = truncated(x);
        if let Some(timing) = x.trace.timing_mut() {
            timing.log = true;
        }
    }
    headers.set(OUTPUT, output);
}

fn truncated(x: &Exchange) -> String {
    let message = "Output is truncated, please check the error_log for full output by filtering with the request_id.";
    json!({ "truncated": true, "request_id": x.id.to_string(), "message": message }).to_string()
}

/// Writes the whole to the error log, if that was asked for, in as many lines as it takes.
pub fn log(x: &mut Exchange, clock: &dyn Clock) {
    let Some(timing) = x.trace.timing().filter(|timing| timing.log) else { return };
    let output = tree(x, timing, clock, Some(x.latencies.end));
    let parts = parts(&output);
    let many = output.len() >= LOG_PART;
    for (number, part) in parts.iter().enumerate() {
        let which = if many { format!("parts: {}/{} ", number + 1, parts.len()) } else { String::new() };
        let (client, request, host) = (x.client.shown_ip(), request_line(x), x.host());
        tracing::info!(
            severity = "notice", client, server = "kong", request, host, request_id = %x.id,
            "[request-debug] {which}output: {part} while logging request"
        );
    }
}

/// Cuts at characters' ends.
fn parts(mut text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    while !text.is_empty() {
        let (part, rest) = text.split_at(text.floor_char_boundary(LOG_PART));
        parts.push(part);
        text = rest;
    }
    parts
}

/// The tree as JSON; with the moment at which the answer ended, also what its body took.
fn tree(x: &Exchange, timing: &Timing, clock: &dyn Clock, ended_ns: Option<u64>) -> String {
    let mut child = timing.tree(clock.monotonic_ns());
    if let Some(upstream) = upstream(x, ended_ns) {
        child.insert("upstream".into(), upstream);
    }
    if ended_ns.is_some() {
        child.entry("body_filter").or_insert_with(|| json!({ "total_time": 0 }));
    }
    let mut root = Map::new();
    root.insert("request_id".into(), Value::from(x.id.to_string()));
    root.insert("workspace_id".into(), Value::from(x.workspace.to_string()));
    root.insert("child".into(), child.into());
    Value::from(root).to_string()
}

/// What the upstream took, in whole milliseconds as in Kong; nothing if none answered.
fn upstream(x: &Exchange, ended_ns: Option<u64>) -> Option<Value> {
    let times = &x.latencies;
    if times.balancer_end == 0 || times.first_byte < times.balancer_end {
        return None;
    }
    let ms = |until: u64| until.saturating_sub(times.balancer_end) / 1_000_000;
    let first_byte = ms(times.first_byte);
    let total = ended_ns.map_or(first_byte, ms);
    let mut parts = Map::new();
    parts.insert("time_to_first_byte".into(), json!({ "total_time": first_byte }));
    if ended_ns.is_some() {
        parts.insert("streaming".into(), json!({ "total_time": total.saturating_sub(first_byte) }));
    }
    Some(json!({ "total_time": total, "child": parts }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_long_tree_is_cut_at_characters_ends_and_nothing_is_lost() {
        let long = "a\u{20ac}".repeat(LOG_PART);
        let parts = parts(&long);
        assert!(parts.len() > 1 && parts.iter().all(|part| part.len() <= LOG_PART));
        assert_eq!(parts.concat(), long);
    }

    #[test]
    fn a_header_sent_twice_says_nothing() {
        let mut headers = Headers::new();
        headers.append(ASKS, "*");
        assert!(is_asked(&headers));
        assert_eq!(only(&headers, ASKS), Some(&b"*"[..]));
        headers.append("x-kong-request-debug", "*");
        assert_eq!(only(&headers, ASKS), None);
    }
}
