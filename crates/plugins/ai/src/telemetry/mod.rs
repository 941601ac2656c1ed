//! What becomes known of calls: the `ai` object of the log entry, from which metrics are taken too, and spans.

mod span;

use gibbon_pdk::{Exchange, SpanKind};
use serde_json::{Value, json};

use crate::call::Call;

/// Where calls of clients stand in the log.
pub const PROXY: &str = "proxy";

/// Lays the object over the entry, in Kong's shape: `ai.NAME.meta`, `.usage` and `.payload`.
pub fn log(x: &mut Exchange, name: &str) {
    if let Some(shown) = x.slots.get_mut::<Call>().and_then(|call| call.shown_query.take()) {
        x.destination.query = Some(shown);
    }
    let Some(call) = x.slots.get::<Call>() else { return };
    let values = values(call, name);
    if x.trace.is_on()
        && let Some(described) = span::describe(call, x.response.status)
    {
        let end = if call.ended == 0 { x.latencies.end } else { call.ended };
        let kind = SpanKind::Described(Box::new(described));
        x.trace.add(kind, call.started, end.max(call.started));
    }
    x.log_values.extend(values);
}

/// Records a call of the gateway's own that has been answered.
pub fn record(x: &mut Exchange, call: &Call, name: &str) {
    x.log_values.extend(values(call, name));
    if x.trace.is_on()
        && let Some(described) = span::describe(call, 200)
    {
        x.trace.add(SpanKind::Described(Box::new(described)), call.started, call.ended);
    }
}

/// What a call adds to the log under a name.
fn values(call: &Call, name: &str) -> Vec<(Box<str>, Value)> {
    let mut values = Vec::new();
    let mut add = |path: &str, value: Value| values.push((format!("ai.{name}.{path}").into(), value));
    if call.logging.log_statistics {
        statistics(call, name == PROXY, &mut add);
    }
    if call.logging.log_payloads {
        add("payload.request", json!(call.request_payload.as_deref().unwrap_or_default()));
        add("payload.response", json!(call.response_payload.as_deref().unwrap_or_default()));
    }
    values
}

fn statistics(call: &Call, of_client: bool, add: &mut dyn FnMut(&str, Value)) {
    let usage = call.usage();
    let ms = |from: u64, to: u64| to.saturating_sub(from) / 1_000_000;
    let latency = if call.started == 0 { 0 } else { ms(call.started, call.ended.max(call.started)) };
    add("meta.plugin_id", json!(call.plugin_id));
    add("meta.provider_name", json!(call.provider));
    add("meta.request_model", json!(call.model));
    add("meta.response_model", json!(call.response_model()));
    add("meta.llm_latency", json!(latency));
    for (name, value) in call.target.iter().flat_map(|target| target.azure()) {
        add(&format!("meta.{name}"), json!(value));
    }
    add("meta.request_mode", json!(if call.stream { "stream" } else { "oneshot" }));
    add("usage.prompt_tokens", json!(usage.input));
    add("usage.completion_tokens", json!(usage.output));
    add("usage.total_tokens", json!(usage.total()));
    // Images and speech are told under the names that their providers have for it.
    if call.prompt.as_ref().is_some_and(|prompt| prompt.passed_on.is_some()) {
        add("usage.input_tokens", json!(usage.input));
        add("usage.output_tokens", json!(usage.output));
    }
    // As in Kong, calls of clients say that they cost nothing where no price is known; the gateway's own say nothing.
    if of_client || call.price().is_some() {
        add("usage.cost", number(call.cost()));
    }
    let per_token = if usage.output == 0 { 0.0 } else { latency as f64 / usage.output as f64 };
    add("usage.time_per_token", number(per_token));
    if call.first_token > 0 {
        add("usage.time_to_first_token", json!(ms(call.started, call.first_token)));
    }
    if usage.cache_read + usage.input_audio > 0 {
        add(
            "usage.prompt_tokens_details",
            json!({"cached_tokens": usage.cache_read, "audio_tokens": usage.input_audio}),
        );
    }
    if usage.reasoning + usage.output_audio > 0 {
        let details = json!({"reasoning_tokens": usage.reasoning, "audio_tokens": usage.output_audio});
        add("usage.completion_tokens_details", details);
    }
}

/// A number as JSON; whole ones without a fraction, as Kong's logs have them.
fn number(value: f64) -> Value {
    // A rounded last digit keeps sums of prices readable.
    let value = (value * 1e12).round() / 1e12;
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}
