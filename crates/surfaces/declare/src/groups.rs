//! Memberships of consumers in groups, which files write as lists of names in either of the two.

use serde_json::{Map, Value};

/// The kind of entity a membership is.
pub const ENTITY: &str = "consumer_group_consumers";

/// Memberships written inside an entity.
pub struct Memberships {
    /// The key they stood under.
    pub key: &'static str,
    /// The field that refers to the entity they stood in.
    pub field: &'static str,
    pub list: Value,
}

/// Moves the memberships out of a consumer or a group.
pub fn take(entity: &str, document: &mut Map<String, Value>) -> Option<Memberships> {
    let (key, field, other, name) = match entity {
        "consumers" => ("groups", "consumer", "consumer_group", "name"),
        "consumer_groups" => ("consumers", "consumer_group", "consumer", "username"),
        _ => return None,
    };
    let list = match document.shift_remove(key)? {
        Value::Array(members) => members.into_iter().map(|member| membership(member, other, name)).collect(),
        other => other,
    };
    Some(Memberships { key, field, list })
}

/// `gold` or `{"name": "gold"}` as a membership that refers to it.
fn membership(member: Value, field: &str, name: &str) -> Value {
    let reference = match member {
        Value::Object(mut member) => match member.swap_remove("id").or_else(|| member.swap_remove(name)) {
            Some(key) => key,
            None => Value::Object(member),
        },
        other => other,
    };
    Value::Object(Map::from_iter([(field.to_owned(), reference)]))
}
