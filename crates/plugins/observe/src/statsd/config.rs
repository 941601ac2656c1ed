//! Settings of statsd.

use gibbon_schema::{Field, Schema, checks, typedefs};
use serde_json::{Value, json};

use crate::names::ConsumerName;
use crate::queue_settings::Queue;
use crate::replaced;

/// Which metrics are sent, under which names, and where to.
#[derive(Schema, Debug)]
pub struct Config {
    /// The daemon.
    #[schema(typedef = typedefs::host(), default = "localhost")]
    pub host: String,
    /// Its port.
    #[schema(default = 8125, between(0, 65535))]
    pub port: u16,
    /// The beginning of every name.
    #[schema(default = "kong")]
    pub prefix: String,
    /// The metrics.
    #[schema(default = usual_metrics())]
    pub metrics: Vec<Metric>,
    /// Only exchanges with a status in one of these ranges, e.g. `200-299`.
    #[schema(elements(matches = "^[0-9]+-[0-9]+$"))]
    pub allow_status_codes: Option<Vec<String>>,
    /// Lines are put together up to this size; 0 sends each by itself.
    #[schema(default = 0, between(0, 65507))]
    pub udp_packet_size: f64,
    /// TCP instead of UDP.
    #[schema(default = false)]
    pub use_tcp: bool,
    /// Whether the node's name is part of the prefix.
    #[schema(default = false)]
    pub hostname_in_prefix: bool,
    /// What stands for a consumer where a metric does not say.
    #[schema(required, default = "custom_id")]
    pub consumer_identifier_default: ConsumerName,
    /// What stands for a service where a metric does not say.
    #[schema(required, default = "service_name_or_host")]
    pub service_identifier_default: ServiceIdentifier,
    /// What stands for a workspace where a metric does not say.
    #[schema(required, default = "workspace_id")]
    pub workspace_identifier_default: WorkspaceIdentifier,
    /// Without effect.
    #[schema(typedef = replaced::retry_count("statsd"))]
    #[allow(dead_code)]
    pub retry_count: Option<i64>,
    /// Replaced by `queue.max_batch_size`.
    #[schema(typedef = replaced::queue_size("statsd"))]
    pub queue_size: Option<i64>,
    /// Replaced by `queue.max_coalescing_delay`.
    #[schema(typedef = replaced::flush_timeout("statsd"))]
    pub flush_timeout: Option<f64>,
    /// Names with tags instead of long names, in this dialect.
    pub tag_style: Option<TagStyle>,
    /// How exchanges wait.
    pub queue: Queue,
}

/// A metric.
#[derive(Schema, Debug)]
#[schema(check = checks::conditional("stat_type", Field::condition().one_of(["counter", "gauge"]), "sample_rate", Field::condition().required()))]
pub struct Metric {
    /// What is measured.
    pub name: MetricName,
    /// How the daemon treats it.
    pub stat_type: StatType,
    /// The share of exchanges that is sent.
    #[schema(gt = 0)]
    pub sample_rate: Option<f64>,
    /// What stands for the consumer.
    pub consumer_identifier: Option<ConsumerName>,
    /// What stands for the service.
    pub service_identifier: Option<ServiceIdentifier>,
    /// What stands for the workspace.
    pub workspace_identifier: Option<WorkspaceIdentifier>,
}

/// What can be measured.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricName {
    KongLatency,
    Latency,
    RequestCount,
    RequestPerUser,
    RequestSize,
    ResponseSize,
    StatusCount,
    StatusCountPerUser,
    UniqueUsers,
    UpstreamLatency,
    StatusCountPerWorkspace,
    StatusCountPerUserPerRoute,
    ShdictUsage,
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
        }
    }
}

/// What stands for a service.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::enum_variant_names)] // the words of the setting
pub enum ServiceIdentifier {
    ServiceId,
    ServiceName,
    ServiceHost,
    ServiceNameOrHost,
}

/// What stands for a workspace.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::enum_variant_names)] // the words of the setting
pub enum WorkspaceIdentifier {
    WorkspaceId,
    WorkspaceName,
}

/// Dialects of tags.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagStyle {
    Dogstatsd,
    Influxdb,
    Librato,
    Signalfx,
}

/// The metrics sent unless others are named.
fn usual_metrics() -> Value {
    json!([
            {"name": "request_count", "sample_rate": 1, "stat_type": "counter"},
            {"name": "latency", "stat_type": "timer"},
            {"name": "request_size", "sample_rate": 1, "stat_type": "counter"},
            {"name": "status_count", "sample_rate": 1, "stat_type": "counter"},
            {"name": "response_size", "sample_rate": 1, "stat_type": "counter"},
            {"name": "unique_users", "stat_type": "set"},
            {"name": "request_per_user", "sample_rate": 1, "stat_type": "counter"},
            {"name": "upstream_latency", "stat_type": "timer"},
            {"name": "kong_latency", "stat_type": "timer"},
            {"name": "status_count_per_user", "sample_rate": 1, "stat_type": "counter"},
            {"name": "status_count_per_workspace", "sample_rate": 1, "stat_type": "counter"},
            {"name": "status_count_per_user_per_route", "sample_rate": 1, "stat_type": "counter"},
            {"name": "shdict_usage", "sample_rate": 1, "stat_type": "gauge"}
    ])
}
