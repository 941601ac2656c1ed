//! Partials: pieces of configuration that several plugins share. The form of `config` depends on the type; it is
//! checked where it is filled into a plugin, by that plugin's schema.

use gibbon_schema::{Field, Validator, typedefs};
use serde_json::Value;

use super::identified;
use crate::entity::EntityDef;

const TYPES: [&str; 5] = ["redis-ce", "redis-ee", "vectordb", "embeddings", "model"];

pub fn partials() -> EntityDef {
    let record = identified()
        .field("name", typedefs::utf8_name())
        .field("type", Field::string().required().one_of(TYPES))
        .field("config", Field::json().required().custom(Validator::new("settings", check_settings)))
        .field("tags", typedefs::tags());
    EntityDef::new("partials", record).endpoint_key("name").since("3.11")
}

fn check_settings(config: &Value) -> Result<(), String> {
    if config.is_object() { Ok(()) } else { Err("expected a record".to_owned()) }
}
