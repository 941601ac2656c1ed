//! Errors in Kong's shape: `{"code", "name", "message", "fields"}`.

use gibbon_model::EntityDef;
use gibbon_schema::Faults;
use gibbon_store::{Address, ChangeError, StoreError, Violation};
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::lua;

/// What was being done, for the messages of a node without a datastore.
#[derive(Clone, Copy, Debug)]
pub enum Deed<'a> {
    Create,
    Update(&'a Address),
    Upsert(&'a Address),
    Remove(&'a Address),
}

fn failure(status: StatusCode, code: u8, name: &str, message: &str, more: Option<(&str, Value)>) -> Answer {
    let mut body = Map::new();
    body.insert("code".into(), code.into());
    body.insert("name".into(), name.into());
    body.insert("message".into(), message.into());
    if let Some((name, value)) = more {
        body.insert(name.into(), value);
    }
    Answer::json(status, Value::Object(body))
}

/// A path that should hold an identifier and holds something else.
pub fn invalid_primary_key() -> Answer {
    let fields = json!({"id": "expected a valid UUID"});
    let message = format!("invalid primary key: '{}'", lua::literal(&fields));
    failure(StatusCode::BAD_REQUEST, 1, "invalid primary key", &message, Some(("fields", fields)))
}

/// Everything that is wrong with a document.
pub fn schema_violation(faults: &Faults) -> Answer {
    let fields = Some(("fields", faults.to_json()));
    failure(StatusCode::BAD_REQUEST, 2, "schema violation", &faults.message(), fields)
}

pub fn invalid_size(message: &str) -> Answer {
    failure(StatusCode::BAD_REQUEST, 9, "invalid size", message, None)
}

pub fn invalid_offset(offset: &str) -> Answer {
    // Padding counts for nothing, and one letter alone is no byte.
    let text = offset.trim_end_matches('=');
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'/');
    let encoding = if text.bytes().all(is_base64) && text.len() % 4 != 1 { "json" } else { "base64" };
    let message = format!("'{offset}' is not a valid offset: bad {encoding} encoding");
    failure(StatusCode::BAD_REQUEST, 7, "invalid offset", &message, None)
}

/// Options of a query that cannot be used: `{"tags": "…"}`.
pub fn invalid_options(options: Value) -> Answer {
    let parts: Vec<String> = options
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}: {}", v.as_str().unwrap_or_default()))
        .collect();
    let message = format!("invalid option ({})", parts.join("; "));
    failure(StatusCode::BAD_REQUEST, 11, "invalid options", &message, Some(("options", options)))
}

/// A change of an entity that does not exist.
pub fn missing(address: &Address) -> Answer {
    let (key, message) = match address {
        Address::Id(id) => (json!({"id": id.to_string()}), "could not find the entity with primary key"),
        Address::Key { field, value } => (json!({ &**field: &**value }), "could not find the entity with"),
    };
    let message = format!("{message} '{}'", lua::literal(&key));
    failure(StatusCode::NOT_FOUND, 6, "not found", &message, Some(("fields", key)))
}

/// The store cannot be read.
pub fn of_store(error: &StoreError) -> Answer {
    tracing::error!(target: "admin", "datastore: {error}");
    Answer::message(StatusCode::SERVICE_UNAVAILABLE, format!("the datastore is not available: {error}"))
}

/// A change that is not made.
pub fn of_change(error: &ChangeError, def: &EntityDef, deed: Deed<'_>) -> Answer {
    match error {
        ChangeError::Invalid(faults) => schema_violation(faults),
        ChangeError::Violation(violation) => of_violation(violation, deed),
        ChangeError::Unresolved { field, entity, key, value } => unresolved(field, entity, key, value),
        ChangeError::Refused(reason) => schema_violation(&Faults { entity: vec![reason.clone()], ..Faults::default() }),
        ChangeError::Store(error) => of_store(error),
        ChangeError::ReadOnly => unsupported(def, deed),
    }
}

fn of_violation(violation: &Violation, deed: Deed<'_>) -> Answer {
    match violation {
        Violation::PrimaryKey { id } => {
            let key = json!({"id": id.to_string()});
            let message = format!("primary key violation on key '{}'", lua::literal(&key));
            failure(StatusCode::CONFLICT, 3, "primary key violation", &message, Some(("fields", key)))
        }
        Violation::Unique { fields } => {
            let fields = Value::Object(fields.clone());
            let message = format!("UNIQUE violation detected on '{}'", lua::literal(&fields));
            failure(StatusCode::CONFLICT, 5, "unique constraint violation", &message, Some(("fields", fields)))
        }
        Violation::ForeignKey { field, entity, id } => {
            let key = json!({"id": id.to_string()});
            let message =
                format!("the foreign key '{}' does not reference an existing '{entity}' entity.", lua::literal(&key));
            let fields = json!({ field: key });
            failure(StatusCode::BAD_REQUEST, 4, "foreign key violation", &message, Some(("fields", fields)))
        }
        Violation::Referenced { entity, by } => {
            let message = format!("an existing '{by}' entity references this '{entity}' entity");
            let fields = json!({"@referenced_by": by});
            failure(StatusCode::BAD_REQUEST, 4, "foreign key violation", &message, Some(("fields", fields)))
        }
        Violation::Listed { id, by, by_id } => {
            let message = format!("ca certificate {id} is still referenced by {by} (id = {by_id})");
            failure(StatusCode::BAD_REQUEST, 19, "referenced by others", &message, None)
        }
        Violation::Stale => Answer::message(StatusCode::CONFLICT, "the entity is being changed by others; try again"),
        Violation::Missing => match deed {
            Deed::Update(address) | Deed::Upsert(address) | Deed::Remove(address) => missing(address),
            Deed::Create => Answer::not_found(),
        },
    }
}

fn unresolved(field: &str, entity: &str, key: &str, value: &str) -> Answer {
    let table = lua::literal(&json!({ key: value }));
    let reason = format!("the foreign key cannot be resolved with '{table}' for an existing '{entity}' entity");
    let message = format!("foreign key unresolved ({field}.{key}: {reason})");
    let fields = json!({ field: { key: reason } });
    failure(StatusCode::BAD_REQUEST, 13, "foreign keys unresolved", &message, Some(("fields", fields)))
}

fn unsupported(def: &EntityDef, deed: Deed<'_>) -> Answer {
    let (verb, address) = match deed {
        Deed::Create => ("create", None),
        Deed::Update(address) => ("update", Some(address)),
        Deed::Upsert(address) => ("create or update", Some(address)),
        Deed::Remove(address) => ("remove", Some(address)),
    };
    let by = match address {
        Some(Address::Key { field, .. }) => format!(" by '{field}'"),
        _ => String::new(),
    };
    let message = format!("cannot {verb} '{}' entities{by} when not using a database", def.name);
    failure(StatusCode::METHOD_NOT_ALLOWED, 12, "operation unsupported", &message, None)
}
