//! Settings of prometheus.

use gibbon_schema::Schema;

/// What is counted.
#[derive(Schema, Debug)]
pub struct Config {
    /// Whether series are kept apart by consumer.
    #[schema(default = false)]
    pub per_consumer: bool,
    /// Answers by status.
    #[schema(default = false)]
    pub status_code_metrics: bool,
    /// Calls to models: requests, tokens, costs and latencies, of plugins that log statistics.
    #[schema(default = false)]
    pub ai_metrics: bool,
    /// Histograms of latencies.
    #[schema(default = false)]
    pub latency_metrics: bool,
    /// Bytes received and sent.
    #[schema(default = false)]
    pub bandwidth_metrics: bool,
    /// Health of upstream targets.
    #[schema(default = false)]
    pub upstream_health_metrics: bool,
    /// Accepted; there are no such figures.
    #[schema(default = false)]
    #[allow(dead_code)]
    pub wasm_metrics: bool,
}
