//! Partials: pieces of configuration that several plugins share. The form of `config` depends on the type; it is
//! checked where it is filled into a plugin, by that plugin's schema.

use gibbon_schema::{Field, typedefs};

use super::identified;
use crate::entity::EntityDef;

const TYPES: [&str; 5] = ["redis-ce", "redis-ee", "vectordb", "embeddings", "model"];

pub fn partials() -> EntityDef {
    let record = identified()
        .field("name", typedefs::utf8_name())
        .field("type", Field::string().required().one_of(TYPES))
        .field("config", Field::map(Field::string(), Field::json()).required())
        .field("tags", typedefs::tags());
    EntityDef::new("partials", record).endpoint_key("name").since("3.11")
}
