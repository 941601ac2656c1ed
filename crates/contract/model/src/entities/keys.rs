//! Keys and sets of them, for plugins that sign or verify.

use gibbon_schema::{Field, OnDelete, Record, Validator, checks, typedefs};
use serde_json::Value;

use crate::{entity::EntityDef, jwk, x509};

pub fn key_sets() -> EntityDef {
    let record = Record::new()
        .field("id", typedefs::id())
        .field("name", Field::string().optional().unique())
        .field("tags", typedefs::tags())
        .field("created_at", typedefs::auto_timestamp())
        .field("updated_at", typedefs::auto_timestamp());
    EntityDef::new("key_sets", record).endpoint_key("name").paths("key-sets", "key-sets")
}

pub fn keys() -> EntityDef {
    let pem = Record::new()
        .field("private_key", Field::string().optional().referenceable().encrypted())
        .field("public_key", Field::string().optional().referenceable())
        .check(checks::at_least_one_of(&["private_key", "public_key"]));
    let record = Record::new()
        .field("id", typedefs::id())
        .field("set", Field::foreign("key_sets").optional().on_delete(OnDelete::Cascade))
        .field("name", Field::string().optional().unique())
        .field("kid", Field { unique: Some(false), ..Field::string().required() })
        .field("jwk", Field::string().referenceable().encrypted())
        .field("pem", Field::record(pem).optional().custom(Validator::new("pem", check_pem)))
        .field("tags", typedefs::tags())
        .field("created_at", typedefs::auto_timestamp())
        .field("updated_at", typedefs::auto_timestamp())
        .field("x5t", Field::string().since("3.12"))
        .check(checks::mutually_exclusive(&["pem", "jwk"]))
        .check(checks::at_least_one_of(&["pem", "jwk"]))
        .check(checks::custom("key_loads", &["jwk", "pem", "kid"], jwk::check_named));
    EntityDef::new("keys", record).endpoint_key("name").cache_key(&["kid", "set"])
}

/// Both halves load and belong together.
fn check_pem(pem: &Value) -> Result<(), String> {
    let half = |field: &str| pem.get(field).and_then(Value::as_str);
    x509::check_pair(half("private_key"), half("public_key")).map_err(ToOwned::to_owned)
}
