//! The record of what was done through the Admin API, and hooks that tell others of events.

use gibbon_schema::{Field, Record, typedefs};

use super::identified;
use crate::entity::EntityDef;

/// What both kinds of records begin with.
fn record() -> Record {
    Record::new()
        .field("id", typedefs::id())
        .field("request_id", Field::string().required())
        .field("request_timestamp", Field::integer().required().timestamp())
        .field("rbac_user_id", Field::string())
        .field("rbac_user_name", Field::string())
        .field("signature", Field::string())
        .ttl()
}

/// One row per call.
pub fn requests() -> EntityDef {
    let record = record()
        .field("client_ip", Field::string().required())
        .field("path", Field::string().required().len_min(0))
        .field("method", Field::string().required())
        .field("payload", Field::string().len_min(0))
        .field("removed_from_payload", Field::string())
        .field("status", Field::integer().required())
        .field("workspace", Field::string())
        .field("request_source", Field::string());
    EntityDef::new("audit_requests", record).global().without_api().unexported().since("3.11").hidden(&["id"])
}

/// One row per changed entity.
pub fn objects() -> EntityDef {
    let record = record()
        .field("dao_name", Field::string().required())
        .field("entity_key", Field::string().required())
        .field("operation", Field::string().required().one_of(["create", "update", "delete"]))
        .field("entity", Field::string().required())
        .field("removed_from_entity", Field::string());
    EntityDef::new("audit_objects", record).global().without_api().unexported().since("3.11")
}

const HANDLERS: [&str; 4] = ["webhook", "webhook-custom", "log", "lambda"];

/// Hooks: what is told, to whom, and how. The form of `config` depends on the handler; it is checked where hooks are run.
pub fn event_hooks() -> EntityDef {
    let record = identified()
        .field("source", Field::string().required())
        .field("event", Field::string())
        .field("handler", Field::string().required().one_of(HANDLERS))
        .field("on_change", Field::boolean())
        .field("snooze", Field::integer().between(0, i32::MAX))
        .field("config", Field::json().required());
    EntityDef::new("event_hooks", record).paths("event-hooks", "event-hooks").global().unexported().since("3.11")
}
