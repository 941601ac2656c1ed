//! Settings of response-ratelimiting.

use gibbon_limit::{Limits, Period};
use gibbon_schema::{Field, Schema, Shorthand, checks, checks::EntityCheck};
use indexmap::IndexMap;
use serde_json::Value;

use crate::counters::check_order;
use gibbon_pdk::redis::{Redis, old_names};

/// Named limits, who they hold for, and where counts lie.
#[derive(Schema, Debug)]
#[schema(shorthands = shorthands)]
#[schema(plugin_check = redis_needs("config.redis.host"))]
#[schema(plugin_check = redis_needs("config.redis.port"))]
#[schema(plugin_check = redis_needs("config.redis.timeout"))]
pub struct Config {
    /// The response header in which upstreams name costs: `video=2, image=1`. Clients do not see it.
    #[schema(default = "x-kong-limit")]
    pub header_name: String,
    /// What requests are told apart by. Where a request has none of it, its address counts.
    #[schema(default = "consumer")]
    pub limit_by: LimitBy,
    /// Where counts lie.
    #[schema(default = "local")]
    pub policy: Policy,
    /// Whether requests pass, uncounted, while counts cannot be reached. Otherwise they get 500.
    #[schema(required, default = true)]
    pub fault_tolerant: bool,
    /// The server that `policy: redis` counts at.
    pub redis: Redis,
    /// Whether a request is refused before it reaches the upstream as soon as any limit is used up.
    #[schema(required, default = false)]
    pub block_on_first_violation: bool,
    /// Whether clients are not told of limits.
    #[schema(required, default = false)]
    pub hide_client_headers: bool,
    /// Limits by the name that upstreams use.
    #[schema(required, len_min = 1, values(required))]
    pub limits: IndexMap<String, NamedLimits>,
}

/// What may be used up in each period.
#[derive(Schema, Debug)]
#[schema(custom = check_periods)]
#[schema(check = checks::at_least_one_of(&["second", "minute", "hour", "day", "month", "year"]))]
pub struct NamedLimits {
    /// Per second.
    #[schema(gt = 0)]
    pub second: Option<f64>,
    /// Per minute.
    #[schema(gt = 0)]
    pub minute: Option<f64>,
    /// Per hour.
    #[schema(gt = 0)]
    pub hour: Option<f64>,
    /// Per day, from midnight UTC.
    #[schema(gt = 0)]
    pub day: Option<f64>,
    /// Per calendar month.
    #[schema(gt = 0)]
    pub month: Option<f64>,
    /// Per calendar year.
    #[schema(gt = 0)]
    pub year: Option<f64>,
}

/// What requests are told apart by.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitBy {
    Consumer,
    Credential,
    Ip,
}

/// Where counts lie.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    Local,
    Cluster,
    Redis,
}

impl NamedLimits {
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

fn check_periods(limits: &Value) -> Result<(), String> {
    limits.as_object().map_or(Ok(()), check_order)
}
