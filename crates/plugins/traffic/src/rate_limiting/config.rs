//! Settings of rate-limiting.

use gibbon_limit::{Limits, Period};
use gibbon_schema::{Field, Schema, Shorthand, checks, checks::EntityCheck, typedefs};
use serde_json::Value;

use crate::counters::check_order;
use gibbon_pdk::redis::{Redis, old_names};

/// Limits, who they hold for, and where counts lie.
#[derive(Schema, Debug)]
#[schema(custom = check_whole, shorthands = shorthands)]
#[schema(plugin_check = checks::at_least_one_of(&["config.second", "config.minute", "config.hour", "config.day", "config.month", "config.year"]))]
#[schema(plugin_check = redis_needs("config.redis.host"))]
#[schema(plugin_check = redis_needs("config.redis.port"))]
#[schema(plugin_check = redis_needs("config.redis.timeout"))]
#[schema(plugin_check = limit_by_needs("header", "config.header_name"))]
#[schema(plugin_check = limit_by_needs("path", "config.path"))]
pub struct Config {
    /// Requests per second.
    #[schema(gt = 0)]
    pub second: Option<f64>,
    /// Requests per minute.
    #[schema(gt = 0)]
    pub minute: Option<f64>,
    /// Requests per hour.
    #[schema(gt = 0)]
    pub hour: Option<f64>,
    /// Requests per day, from midnight UTC.
    #[schema(gt = 0)]
    pub day: Option<f64>,
    /// Requests per calendar month.
    #[schema(gt = 0)]
    pub month: Option<f64>,
    /// Requests per calendar year.
    #[schema(gt = 0)]
    pub year: Option<f64>,
    /// What requests are told apart by. Where a request has none of it, its address counts.
    #[schema(default = "consumer")]
    pub limit_by: LimitBy,
    /// The header that `limit_by: header` reads.
    #[schema(custom = typedefs::check_header_name)]
    pub header_name: Option<String>,
    /// The path that `limit_by: path` counts; requests for other paths count by address.
    #[schema(typedef = typedefs::path())]
    pub path: Option<String>,
    /// Where counts lie.
    #[schema(default = "local", len_min = 0)]
    pub policy: Policy,
    /// Whether requests pass, uncounted, while counts cannot be reached. Otherwise they get 500.
    #[schema(required, default = true)]
    pub fault_tolerant: bool,
    /// The server that `policy: redis` counts at.
    pub redis: Redis,
    /// Whether clients are not told of limits.
    #[schema(required, default = false)]
    pub hide_client_headers: bool,
    /// Status of a refusal.
    #[schema(default = 429, gt = 0)]
    pub error_code: f64,
    /// Message of a refusal.
    #[schema(default = "API rate limit exceeded")]
    pub error_message: String,
    /// Seconds between two reconciliations with Redis; -1 counts there with each request.
    #[schema(required, default = -1)]
    pub sync_rate: f64,
    /// What happens to requests above a limit: refused (as when unset), or held back until there is room.
    #[schema(ours)]
    pub on_limit: Option<OnLimit>,
    /// Seconds that a request may be held back; 10 when unset. What would wait for longer is refused at once.
    #[schema(ours, between(0.001, 600))]
    pub max_delay: Option<f64>,
    /// How many requests this node holds back at once; 1,000 when unset. Further ones are refused.
    #[schema(ours, between(1, 1_000_000))]
    pub max_delayed: Option<u32>,
}

/// What requests are told apart by.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitBy {
    Consumer,
    Credential,
    Ip,
    Service,
    Header,
    Path,
}

/// Where counts lie.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    Local,
    Cluster,
    Redis,
}

/// What happens to requests above a limit.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLimit {
    Reject,
    Delay,
}

impl Config {
    pub fn limits(&self) -> Limits {
        let periods = [self.second, self.minute, self.hour, self.day, self.month, self.year];
        Period::ALL.into_iter().zip(periods).filter_map(|(period, limit)| Some((period, limit?))).collect()
    }
}

fn shorthands() -> Vec<Shorthand> {
    old_names(super::PART.name)
}

fn redis_needs(field: &'static str) -> EntityCheck {
    checks::conditional("config.policy", Field::condition().eq("redis"), field, Field::condition().required())
}

fn limit_by_needs(value: &'static str, field: &'static str) -> EntityCheck {
    checks::conditional("config.limit_by", Field::condition().eq(value), field, Field::condition().required())
}

/// Rules across limits, and what `sync_rate` goes with.
fn check_whole(config: &Value) -> Result<(), String> {
    const REAL_TIME: f64 = -1.0;
    let Some(fields) = config.as_object() else { return Ok(()) };
    check_order(fields)?;
    let rate = fields.get("sync_rate").and_then(Value::as_f64).unwrap_or(REAL_TIME);
    let with_redis = fields.get("policy").and_then(Value::as_str) == Some("redis");
    if rate != REAL_TIME && !with_redis {
        return Err("sync_rate can only be used with the redis policy".to_owned());
    }
    if rate != REAL_TIME && rate < 0.02 {
        return Err("sync_rate must be greater than 0.02, or -1 to disable".to_owned());
    }
    Ok(())
}
