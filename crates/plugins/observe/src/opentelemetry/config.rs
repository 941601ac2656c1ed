//! Settings of opentelemetry.

use gibbon_schema::{Deprecation, Field, Schema, Shorthand, checks, typedefs};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::propagation::{HEADER_TYPES, W3cPropagation, plain_header_type};
use crate::queue_settings::Queue;

/// What is sent where, and which traces are kept.
#[derive(Schema, Debug)]
#[schema(check = checks::at_least_one_of(&["traces_endpoint", "logs_endpoint"]), shorthands = old_names)]
pub struct Config {
    /// The URL that takes traces.
    #[schema(typedef = typedefs::url(), referenceable)]
    pub traces_endpoint: Option<String>,
    /// The URL that takes logs.
    #[schema(typedef = typedefs::url(), referenceable)]
    pub logs_endpoint: Option<String>,
    /// Headers of what is sent.
    #[schema(keys(custom = typedefs::check_header_name), values(referenceable))]
    pub headers: Option<IndexMap<String, String>>,
    /// Attributes of the gateway, added to or in place of its own.
    #[schema(custom = check_attributes, keys(required), values(required))]
    pub resource_attributes: Option<IndexMap<String, String>>,
    /// How records wait.
    #[schema(default = json!({"max_batch_size": 200}))]
    pub queue: Queue,
    /// Replaced by `queue.max_batch_size`.
    #[schema(typedef = batch_span_count())]
    pub batch_span_count: Option<i64>,
    /// Replaced by `queue.max_coalescing_delay`.
    #[schema(typedef = batch_flush_delay())]
    pub batch_flush_delay: Option<i64>,
    /// Milliseconds to connect.
    #[schema(default = 1000, between(0, 2_147_483_646))]
    pub connect_timeout: u32,
    /// Milliseconds to send.
    #[schema(default = 5000, between(0, 2_147_483_646))]
    pub send_timeout: u32,
    /// Milliseconds to wait for the answer.
    #[schema(default = 5000, between(0, 2_147_483_646))]
    pub read_timeout: u32,
    /// The answer's header that shows the trace's id.
    pub http_response_header_for_traceid: Option<String>,
    /// Replaced by `propagation`.
    #[schema(typedef = plain_header_type("opentelemetry", "header_type", "propagation options", "preserve").one_of(HEADER_TYPES))]
    pub header_type: Option<String>,
    /// The share of traces that is kept, in place of the node's.
    #[schema(between(0, 1))]
    pub sampling_rate: Option<f64>,
    /// How trace headers are read and written.
    #[schema(default = json!({"default_format": "w3c"}))]
    pub propagation: W3cPropagation,
    /// What the caller's decision means: `parent_drop_probability_fallback` (as while it is unset) heeds only its no,
    /// `parent_probability_fallback` its yes too.
    #[schema(one_of("parent_drop_probability_fallback", "parent_probability_fallback"), since = "3.15")]
    pub sampling_strategy: Option<String>,
    /// Figures of requests, and where they go.
    #[schema(optional, since = "3.15")]
    pub metrics: Option<MetricsConfig>,
    /// A record per request, and where it goes.
    #[schema(optional, since = "3.15")]
    pub access_logs: Option<AccessLogs>,
}

/// Which figures are sent where, and how often.
#[derive(Schema, Debug)]
#[allow(dead_code)] // some fields are there to be accepted and shown
pub struct MetricsConfig {
    /// The URL that takes metrics.
    #[schema(typedef = typedefs::url(), referenceable)]
    pub endpoint: Option<String>,
    /// Seconds between two deliveries.
    #[schema(default = 60)]
    pub push_interval: f64,
    /// Count requests: `http.server.request.count`.
    #[schema(default = false)]
    pub enable_request_metrics: bool,
    /// Times of requests: `kong.latency.total`, `kong.latency.internal` and `kong.latency.upstream`.
    #[schema(default = false)]
    pub enable_latency_metrics: bool,
    /// Bytes of requests and answers: `http.server.request.size` and `http.server.response.size`.
    #[schema(default = false)]
    pub enable_bandwidth_metrics: bool,
    /// Tell consumers apart.
    #[schema(default = false)]
    pub enable_consumer_attribute: bool,
    /// Without effect: health of targets is in prometheus.
    #[schema(default = false)]
    pub enable_upstream_health_metrics: bool,
    /// Without effect: figures of models are in prometheus.
    #[schema(default = false)]
    pub enable_ai_metrics: bool,
}

/// Where a record of each request goes, and what is added to it.
#[derive(Schema, Debug)]
pub struct AccessLogs {
    /// The URL that takes them.
    #[schema(typedef = typedefs::url(), referenceable)]
    pub endpoint: Option<String>,
    /// Further attributes, computed in Lua.
    #[schema(keys(len_min = 1), values(len_min = 1))]
    pub custom_attributes_by_lua: Option<IndexMap<String, String>>,
}

fn old_names() -> Vec<Shorthand> {
    let message = "OpenTelemetry: config.endpoint is deprecated, please use config.traces_endpoint instead";
    let deprecation =
        Deprecation { message: message.into(), removal_in_version: Some("4.0".into()), ..Deprecation::default() };
    let field = typedefs::url().referenceable().deprecated(deprecation);
    let expand =
        |value: &Value, _: &Map<String, Value>| Map::from_iter([("traces_endpoint".to_owned(), value.clone())]);
    vec![Shorthand::new("endpoint", field, expand)]
}

fn replaced(field: &str, by: &str, old_default: i64) -> Field {
    let message = format!("opentelemetry: config.{field} is deprecated, please use config.queue.{by} instead");
    Field::integer().deprecated(Deprecation {
        message: message.into(),
        removal_in_version: Some("4.0".into()),
        old_default: Some(json!(old_default)),
        ..Deprecation::default()
    })
}

fn batch_span_count() -> Field {
    replaced("batch_span_count", "max_batch_size", 200)
}

fn batch_flush_delay() -> Field {
    replaced("batch_flush_delay", "max_coalescing_delay", 3)
}

/// Values of attributes are text that is not empty.
fn check_attributes(attributes: &Value) -> Result<(), String> {
    for value in attributes.as_object().into_iter().flat_map(Map::values) {
        match value {
            Value::String(text) if text.is_empty() => return Err("required field missing".into()),
            Value::String(_) | Value::Number(_) | Value::Bool(_) => {}
            _ => return Err(format!("invalid type of value: {}", kind(value))),
        }
    }
    Ok(())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Array(_) | Value::Object(_) => "table",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "boolean",
    }
}
