//! Settings of Kong 3.15 that name callers whom Konnect, Kong's hosted service, knows.
//!
//! There are none here. Configurations that carry the settings switched off can be read; to switch them on is refused,
//! since every one of those callers would be turned away. Nothing else reads them.

use gibbon_schema::{Field, Record, Validator};
use serde_json::Value;

/// Callers that a directory of Konnect knows.
pub fn principals() -> Field {
    let enabled = Field::boolean().default(false).custom(Validator::new("stays off", stays_off));
    let record = Record::new()
        .field("enabled", enabled.description("Whether they are looked for."))
        .field("directory", Field::string().default("default").description("Which directory knows them."))
        .field("error_on_miss", Field::boolean().default(true).description("Whether an unknown caller is an error."));
    Field::record(record)
}

/// Whose consumers are asked, in order.
pub fn identity_realms() -> Field {
    let scope = Field::string().one_of(["cp", "realm"]).default("cp").custom(Validator::new("is ours", is_ours));
    let record = Record::new()
        .field("scope", scope.description("`cp` are the control plane's, which is this gateway."))
        .field("id", Field::string().description("Which realm."))
        .field("region", Field::string().description("Where that realm is."));
    Field::array(Field::record(record))
}

fn stays_off(enabled: &Value) -> Result<(), String> {
    if enabled == true { Err("principals are kept by Konnect; this gateway has none".to_owned()) } else { Ok(()) }
}

fn is_ours(scope: &Value) -> Result<(), String> {
    if scope == "realm" { Err("realms are kept by Konnect; this gateway has none".to_owned()) } else { Ok(()) }
}
