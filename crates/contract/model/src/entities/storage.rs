//! What plugins keep in the store: ACME, sessions, counters of rate limits.

use gibbon_schema::{Field, OnDelete, Record, typedefs};

use crate::entity::EntityDef;

pub fn acme_storage() -> EntityDef {
    let record = Record::new()
        .field("id", typedefs::id())
        .field("key", Field::string().required().unique().auto())
        .field("value", Field::string().required().auto())
        .field("created_at", typedefs::auto_timestamp())
        .ttl();
    EntityDef::new("acme_storage", record).cache_key(&["key"]).global()
}

pub fn sessions() -> EntityDef {
    let record = Record::new()
        .field("id", typedefs::id())
        .field("session_id", Field::string().required().unique())
        .field("expires", Field::integer())
        .field("data", Field::string())
        .field("created_at", typedefs::auto_timestamp())
        .ttl();
    EntityDef::new("sessions", record).endpoint_key("session_id").cache_key(&["session_id"]).global().unexported()
}

pub fn session_metadatas() -> EntityDef {
    let record = Record::new()
        .field("id", typedefs::id())
        .field("session", Field::foreign("sessions").required().on_delete(OnDelete::Cascade))
        .field("sid", Field::string())
        .field("audience", Field::string())
        .field("subject", Field::string())
        .field("created_at", typedefs::auto_timestamp());
    EntityDef::new("session_metadatas", record).global().without_api().unexported()
}

pub fn ratelimiting_metrics() -> EntityDef {
    let record = Record::new()
        .field("identifier", Field::string().required().len_min(0))
        .field("period", Field::string().required())
        .field("period_date", Field::integer().required().timestamp())
        .field("service_id", typedefs::uuid().required())
        .field("route_id", typedefs::uuid().required())
        .field("value", Field::integer().required())
        .ttl();
    EntityDef::new("ratelimiting_metrics", record)
        .primary_key(&["identifier", "period", "period_date", "service_id", "route_id"])
        .global()
        .without_api()
        .unexported()
}
