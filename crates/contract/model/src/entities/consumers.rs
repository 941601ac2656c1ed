//! Consumers, and the groups they may be in.

use gibbon_schema::{Field, OnDelete, Record, checks, typedefs};

use super::identified;
use crate::entity::EntityDef;

pub fn consumers() -> EntityDef {
    let record = identified()
        .field("username", Field::string().unique())
        .field("custom_id", Field::string().unique())
        .field("tags", typedefs::tags())
        .check(checks::at_least_one_of(&["custom_id", "username"]));
    EntityDef::new("consumers", record).endpoint_key("username")
}

pub fn consumer_groups() -> EntityDef {
    let record = identified().field("name", typedefs::utf8_name().required()).field("tags", typedefs::tags());
    EntityDef::new("consumer_groups", record).endpoint_key("name").since("3.11")
}

/// Which consumer is in which group. Not addressed by itself: it is changed through the two it connects.
pub fn memberships() -> EntityDef {
    let record = Record::new()
        .field("id", typedefs::id())
        .field("created_at", typedefs::auto_timestamp())
        .field("consumer_group", Field::foreign("consumer_groups").required().on_delete(OnDelete::Cascade))
        .field("consumer", Field::foreign("consumers").required().on_delete(OnDelete::Cascade));
    EntityDef::new("consumer_group_consumers", record)
        .cache_key(&["consumer_group", "consumer"])
        .without_api()
        .since("3.11")
}
