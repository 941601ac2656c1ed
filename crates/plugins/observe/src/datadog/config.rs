//! Settings of datadog.

use gibbon_schema::{Field, Schema, checks, typedefs};
use serde_json::{Value, json};

use crate::names::ConsumerName;
use crate::queue_settings::Queue;
use crate::replaced;

/// Which metrics are sent, under which names and tags, and where to.
#[derive(Schema, Debug)]
pub struct Config {
    /// The agent.
    #[schema(typedef = typedefs::host(), default = "localhost", referenceable)]
    pub host: Option<String>,
    /// Its port.
    #[schema(default = 8125, between(0, 65535))]
    pub port: Option<u16>,
    /// The beginning of every name.
    #[schema(default = "kong")]
    pub prefix: String,
    /// The tag of the service's name.
    #[schema(default = "name")]
    pub service_name_tag: String,
    /// The tag of the status.
    #[schema(default = "status")]
    pub status_tag: String,
    /// The tag of the consumer.
    #[schema(default = "consumer")]
    pub consumer_tag: String,
    /// The tag of the route's name; without it there is no such tag.
    #[schema(since = "3.15")]
    pub route_name_tag: Option<String>,
    /// Without effect.
    #[schema(typedef = replaced::retry_count("datadog"))]
    #[allow(dead_code)]
    pub retry_count: Option<i64>,
    /// Replaced by `queue.max_batch_size`.
    #[schema(typedef = replaced::queue_size("datadog"))]
    pub queue_size: Option<i64>,
    /// Replaced by `queue.max_coalescing_delay`.
    #[schema(typedef = replaced::flush_timeout("datadog"))]
    pub flush_timeout: Option<f64>,
    /// How exchanges wait.
    pub queue: Queue,
    /// The metrics.
    #[schema(required, default = usual_metrics())]
    pub metrics: Vec<Metric>,
}

/// A metric.
#[derive(Schema, Debug)]
#[schema(check = checks::conditional("stat_type", Field::condition().one_of(["counter", "gauge"]), "sample_rate", Field::condition().required()))]
pub struct Metric {
    /// What is measured.
    pub name: MetricName,
    /// How the agent treats it.
    pub stat_type: StatType,
    /// Further tags, `name:value` or `name`.
    #[schema(elements(matches = "^.*[^:]$"))]
    pub tags: Option<Vec<String>>,
    /// The share of exchanges that is sent.
    #[schema(between(0, 1))]
    pub sample_rate: Option<f64>,
    /// What stands for the consumer; without it there is no such tag.
    pub consumer_identifier: Option<ConsumerName>,
}

/// What can be measured.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricName {
    KongLatency,
    Latency,
    RequestCount,
    RequestSize,
    ResponseSize,
    UpstreamLatency,
}

/// Kinds of metrics.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatType {
    Counter,
    Gauge,
    Histogram,
    Meter,
    Set,
    Timer,
    Distribution,
}

impl StatType {
    pub fn mark(self) -> &'static str {
        match self {
            StatType::Counter => "c",
            StatType::Gauge => "g",
            StatType::Histogram => "h",
            StatType::Meter => "m",
            StatType::Set => "s",
            StatType::Timer => "ms",
            StatType::Distribution => "d",
        }
    }
}

/// The metrics sent unless others are named.
fn usual_metrics() -> Value {
    json!([
            {"name": "request_count", "tags": ["app:kong"], "sample_rate": 1, "stat_type": "counter", "consumer_identifier": "custom_id"},
            {"name": "latency", "tags": ["app:kong"], "stat_type": "timer", "consumer_identifier": "custom_id"},
            {"name": "request_size", "tags": ["app:kong"], "stat_type": "timer", "consumer_identifier": "custom_id"},
            {"name": "response_size", "tags": ["app:kong"], "stat_type": "timer", "consumer_identifier": "custom_id"},
            {"name": "upstream_latency", "tags": ["app:kong"], "stat_type": "timer", "consumer_identifier": "custom_id"},
            {"name": "kong_latency", "tags": ["app:kong"], "stat_type": "timer", "consumer_identifier": "custom_id"}
    ])
}
