//! Who may do what on the Admin API: users with a token, roles, and the permissions of a role on paths and on single
//! entities. Groups carry roles for users that an identity provider knows. What the permissions mean is decided by the
//! Admin API; here is only what may be written down.

use gibbon_schema::{Field, OnDelete, Record, typedefs};
use serde_json::{Map, Value};

use super::identified;
use crate::{entity::EntityDef, transforms};

/// What may be done to a path or an entity.
const ACTIONS: [&str; 4] = ["create", "delete", "read", "update"];

/// Beside [`ACTIONS`]: all of them.
const EVERYTHING: &str = "*";

/// An entity of access control: kept in the store, and in no file and on no data plane.
fn of_access(name: &'static str, record: Record) -> EntityDef {
    EntityDef::new(name, record).unexported().since("3.11")
}

pub fn users() -> EntityDef {
    let record = identified()
        .field("name", typedefs::utf8_name().required())
        .field("user_token", Field::string().required().encrypted())
        .field("user_token_ident", Field::string())
        .field("enabled", Field::boolean().required().default(true))
        .field("comment", Field::string());
    of_access("rbac_users", record)
        .endpoint_key("name")
        .paths("rbac/users", "users")
        .transform(&["user_token"], transforms::hash_user_token)
        .hidden(&["user_token"])
}

pub fn roles() -> EntityDef {
    let record = identified()
        .field("name", typedefs::utf8_name().required())
        .field("comment", Field::string())
        .field("is_default", Field::boolean().required().default(false));
    of_access("rbac_roles", record).endpoint_key("name").paths("rbac/roles", "roles")
}

pub fn user_roles() -> EntityDef {
    let record = Record::new()
        .field("id", typedefs::id())
        .field("user", parent("rbac_users"))
        .field("role", parent("rbac_roles"))
        .field("role_source", Field::string().one_of(["idp", "local"]).default("local"));
    of_access("rbac_user_roles", record).cache_key(&["user", "role"]).paths("rbac_user_roles", "roles")
}

pub fn role_endpoints() -> EntityDef {
    let record = permission()
        .field("workspace", Field::string().required().default("default"))
        .field("endpoint", Field::string().required().match_any(["^%*$", "^/"], "must be * or begin with /"));
    of_access("rbac_role_endpoints", record)
        .cache_key(&["role", "workspace", "endpoint"])
        .paths("rbac_role_endpoints", "endpoints")
        .canonicalise(spell_out_actions)
        .hidden(&["id"])
}

pub fn role_entities() -> EntityDef {
    let record = permission()
        .field("entity_id", Field::string().required())
        .field("entity_type", Field::string().required().default("wildcard"));
    of_access("rbac_role_entities", record)
        .cache_key(&["role", "entity_id"])
        .paths("rbac_role_entities", "entities")
        .canonicalise(spell_out_actions)
        .hidden(&["id"])
}

pub fn groups() -> EntityDef {
    let record = identified().field("name", typedefs::utf8_name().required()).field("comment", Field::string());
    of_access("groups", record).endpoint_key("name").global()
}

pub fn group_roles() -> EntityDef {
    let record = Record::new()
        .field("id", typedefs::id())
        .field("created_at", typedefs::auto_timestamp())
        .field("updated_at", typedefs::auto_timestamp())
        .field("group", parent("groups"))
        .field("rbac_role", parent("rbac_roles"))
        .field("workspace", parent("workspaces"));
    of_access("group_rbac_roles", record)
        .cache_key(&["group", "rbac_role", "workspace"])
        .paths("group_rbac_roles", "roles")
        .global()
}

pub fn user_groups() -> EntityDef {
    let record = Record::new()
        .field("id", typedefs::id())
        .field("user", parent("rbac_users"))
        .field("group", parent("groups"))
        .field("group_source", Field::string().one_of(["idp", "local"]).default("local"));
    of_access("rbac_user_groups", record).cache_key(&["user", "group"]).paths("rbac_user_groups", "groups")
}

/// Administrators: people with a user of access control, who are invited and set their own token.
pub fn admins() -> EntityDef {
    let record = identified()
        .field("username", typedefs::utf8_name().required())
        .field("custom_id", Field::string().unique())
        .field("email", Field::string().unique().matches("^[^@%s]+@[^@%s]+$"))
        .field("rbac_token_enabled", Field::boolean().required().default(true))
        .field("status", Field::integer().required().default(4).between(0, 6))
        .field("rbac_user", parent("rbac_users"))
        // No reference: the default workspace need not be stored.
        .field("belong_workspace", Field::string().uuid().ours());
    of_access("admins", record).endpoint_key("username").global().without_api().hidden(&["rbac_user"])
}

fn parent(entity: &'static str) -> Field {
    Field::foreign(entity).required().on_delete(OnDelete::Cascade)
}

fn permission() -> Record {
    identified()
        .field("role", parent("rbac_roles"))
        .field("actions", Field::set(Field::string().one_of(ACTIONS)).required().len_min(1))
        .field("negative", Field::boolean().required().default(false))
        .field("comment", Field::string())
}

/// `"read,update"`, `["read", "update"]` and `"*"` are all ways to write actions.
fn spell_out_actions(document: &mut Map<String, Value>) {
    let Some(given) = document.get("actions") else { return };
    let texts: Vec<&str> = match given {
        Value::String(text) => vec![text],
        Value::Array(items) if items.iter().all(Value::is_string) => items.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let mut actions: Vec<&str> = texts.iter().flat_map(|text| text.split(',')).map(str::trim).collect();
    if actions.contains(&EVERYTHING) {
        actions = ACTIONS.to_vec();
    }
    let actions: Vec<Value> = actions.into_iter().map(Value::from).collect();
    document.insert("actions".into(), actions.into());
}
