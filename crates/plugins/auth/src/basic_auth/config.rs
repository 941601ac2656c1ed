//! Settings of `basic-auth`.

use gibbon_pdk::redis::Redis;
use gibbon_schema::Schema;
use serde_json::Value;

use crate::konnect;

/// What is asked of callers.
#[derive(Schema, Debug)]
pub struct Config {
    /// Id or user name of the consumer that a caller without valid credentials becomes.
    pub anonymous: Option<String>,
    /// Take the credentials out of the request before it goes upstream.
    #[schema(required, default = false, default_3_15 = true)]
    pub hide_credentials: bool,
    /// The realm named in a refusal.
    #[schema(required, default = "service")]
    pub realm: String,
    /// What happens to callers who guess passwords.
    #[schema(optional, since = "3.15")]
    pub brute_force_protection: Option<Protection>,
    /// Callers that a directory of Konnect knows.
    #[schema(typedef = konnect::principals(), optional, since = "3.15")]
    #[expect(dead_code, reason = "can only be off")]
    pub principals: Value,
}

/// Where failed logins are counted.
#[derive(Schema, Debug)]
#[schema(custom = check_protection)]
pub struct Protection {
    /// Where failed logins are counted, if at all.
    #[schema(default = "off")]
    pub strategy: Strategy,
    /// The server that `strategy: redis` counts at.
    pub redis: Redis,
}

/// Where failed logins are counted.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Not at all.
    Off,
    /// In this node's memory.
    Memory,
    /// In the datastore.
    Cluster,
    /// In Redis.
    Redis,
}

fn check_protection(protection: &Value) -> Result<(), String> {
    let host = protection.pointer("/redis/host").and_then(Value::as_str);
    match protection.get("strategy").and_then(Value::as_str) {
        Some("redis") if host.is_none() => Err("strategy 'redis' needs 'redis.host'".to_owned()),
        _ => Ok(()),
    }
}
