//! Schemas as clients read them, and documents checked against them.

use std::sync::Arc;

use gibbon_model::EntityDef;
use gibbon_schema::Record;
use http::StatusCode;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::{Admin, failure};

/// `/schemas/services`
pub fn entity(admin: &Admin, name: &str) -> Answer {
    match admin.documents.registry.get(name) {
        Some(def) => Answer::ok(rendered(admin, &def.record)),
        None => no_entity(name),
    }
}

/// `/schemas/plugins/key-auth`, `/schemas/vaults/env`
pub fn subschema(admin: &Admin, entity: &str, name: &str) -> Answer {
    match find_subschema(admin, entity, name) {
        Some(record) => Answer::ok(rendered(admin, &record)),
        None => Answer::message(StatusCode::NOT_FOUND, format!("No {} named '{name}'", singular(entity))),
    }
}

/// Shorthands of the whole entity are not shown: clients that fill in defaults would take them for fields.
fn rendered(admin: &Admin, record: &Record) -> Value {
    let mut schema = record.render(admin.documents.compat);
    if let Value::Object(fields) = &mut schema {
        fields.shift_remove("shorthand_fields");
    }
    schema
}

fn find_subschema(admin: &Admin, entity: &str, name: &str) -> Option<Arc<Record>> {
    let def = admin.documents.registry.get(entity)?;
    (def.record.subschemas.as_ref()?.lookup)(name)
}

fn singular(entity: &str) -> &str {
    entity.strip_suffix('s').unwrap_or(entity)
}

pub fn filter(name: &str) -> Answer {
    Answer::message(StatusCode::NOT_FOUND, format!("Filter '{name}' not found"))
}

/// `/plugins/schema/key-auth`: the fields of `config` alone.
pub fn old_plugin(admin: &Admin, name: &str) -> Answer {
    let Some(record) = find_subschema(admin, "plugins", name) else {
        return Answer::message(StatusCode::NOT_FOUND, format!("No plugin named '{name}'"));
    };
    let config = record.get("config").map(|field| field.render(admin.documents.compat));
    let part = |name| config.as_ref().and_then(|config| config.get(name)).cloned().unwrap_or_else(|| json!([]));
    Answer::ok(json!({ "fields": part("fields"), "entity_checks": part("entity_checks") }))
}

pub fn validate(admin: &Admin, call: &Call, name: &str) -> Answer {
    match admin.documents.registry.get(name) {
        Some(def) => checked(admin, call, def),
        None => no_entity(name),
    }
}

fn checked(admin: &Admin, call: &Call, def: &EntityDef) -> Answer {
    let document = match call.body.fields_as_sent() {
        Ok(document) => document,
        Err(answer) => return answer,
    };
    match admin.documents.check(def, document) {
        Ok(()) => Answer::message(StatusCode::OK, "schema validation successful"),
        Err(faults) => failure::schema_violation(&faults),
    }
}

fn no_entity(name: &str) -> Answer {
    Answer::message(StatusCode::NOT_FOUND, format!("No entity named '{name}'"))
}
