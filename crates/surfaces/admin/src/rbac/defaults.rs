//! The roles that are there from the start, and the first user.

use std::sync::Arc;

use gibbon_model::{DEFAULT_WORKSPACE_ID, EntityDef};
use gibbon_store::{ChangeError, Document, Documents, Query, StoreError, Tags};
use serde_json::{Value, json};
use uuid::Uuid;

/// Set once the roles were made, so that a role somebody deletes stays deleted.
const MADE: &str = "rbac_default_roles";

/// The user who is there from the start, if a password was given for them.
const FIRST_USER: &str = "kong_admin";

/// The token of the first user.
pub struct FirstUser(pub String);

/// A role: name, comment, its identifier (the same on every node, so that nodes that start at once make one), its
/// permissions on paths, and the actions it allows on all entities.
struct Role {
    name: &'static str,
    comment: &'static str,
    id: u128,
    actions: &'static [&'static str],
    /// Paths it must not call.
    except: &'static [&'static str],
}

const ALL: &[&str] = &["create", "delete", "read", "update"];

/// Whoever may write these gives rights, also to themselves.
const ACCESS_CONTROL: &[&str] = &[
    "/rbac/*",
    "/rbac/*/*",
    "/rbac/*/*/*",
    "/rbac/*/*/*/*",
    "/rbac/*/*/*/*/*",
    "/rbac/*/*/*/*/*/*",
    "/rbac/*/*/*/*/*/*/*",
    "/rbac/*/*/*/*/*/*/*/*",
    "/admins",
    "/admins/*",
    "/admins/*/*",
    "/admins/*/*/*",
    "/groups",
    "/groups/*",
    "/groups/*/*",
    "/groups/*/*/*",
];

const ROLES: &[Role] = &[
    Role {
        name: "super-admin",
        comment: "Full access to all endpoints, across all workspaces",
        id: 0x6d8a_91c4_0001_4000_8000_0000_0000_0001,
        actions: ALL,
        except: &[],
    },
    Role {
        name: "admin",
        comment: "Full access to all endpoints, across all workspaces, except access control",
        id: 0x6d8a_91c4_0001_4000_8000_0000_0000_0002,
        actions: ALL,
        except: ACCESS_CONTROL,
    },
    Role {
        name: "read-only",
        comment: "Read access to all endpoints, across all workspaces",
        id: 0x6d8a_91c4_0001_4000_8000_0000_0000_0003,
        actions: &["read"],
        except: &[],
    },
];

/// Makes the default roles and the first user, once in the life of a datastore.
///
/// # Errors
/// Those of the store.
pub async fn prepare(documents: &Documents, first: Option<FirstUser>) -> Result<(), ChangeError> {
    if documents.conductor.is_declarative() {
        return Ok(());
    }
    let made = documents.conductor.read(|rows| rows.parameter(MADE)).await?;
    if made.is_some() {
        return Ok(());
    }
    for role in ROLES {
        make_role(documents, role).await?;
    }
    if let Some(FirstUser(token)) = first {
        make_first_user(documents, token).await?;
    }
    documents.conductor.set_parameter(MADE, "1").await
}

async fn make_role(documents: &Documents, role: &Role) -> Result<(), ChangeError> {
    let id = Uuid::from_u128(role.id).to_string();
    make(documents, "rbac_roles", json!({ "id": id, "name": role.name, "comment": role.comment })).await?;
    let everywhere = [("*", role.actions, false)];
    let except = role.except.iter().map(|path| (*path, ALL, true));
    for (endpoint, actions, negative) in everywhere.into_iter().chain(except) {
        let rule = json!({
            "role": { "id": id }, "workspace": "*", "endpoint": endpoint, "actions": actions, "negative": negative,
        });
        make(documents, "rbac_role_endpoints", rule).await?;
    }
    let entities =
        json!({ "role": { "id": id }, "entity_id": "*", "entity_type": "wildcard", "actions": role.actions });
    make(documents, "rbac_role_entities", entities).await
}

async fn make_first_user(documents: &Documents, token: String) -> Result<(), ChangeError> {
    let comment = "Initial user, made at the first start";
    make(documents, "rbac_users", json!({ "name": FIRST_USER, "user_token": token, "comment": comment })).await?;
    let user = json!({ "user": { "name": FIRST_USER }, "role": { "name": "super-admin" } });
    make(documents, "rbac_user_roles", user).await
}

/// Inserts an entity; that it is there already is no fault, another node may have been quicker.
async fn make(documents: &Documents, entity: &str, document: Value) -> Result<(), ChangeError> {
    let def = def(documents, entity)?;
    let fields: Document = document.as_object().cloned().unwrap_or_default();
    match documents.insert(&def, default_workspace(), fields).await {
        Ok(_) | Err(ChangeError::Violation(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn def(documents: &Documents, entity: &str) -> Result<Arc<EntityDef>, StoreError> {
    let def = documents.registry.get(entity).map(Arc::clone);
    def.ok_or_else(|| StoreError::new(format!("no entity is called '{entity}'")))
}

fn default_workspace() -> Uuid {
    Uuid::parse_str(DEFAULT_WORKSPACE_ID).unwrap_or_default()
}

/// Whether there is any user who could get in with access control on.
///
/// # Errors
/// Those of the store.
pub async fn has_users(documents: &Documents) -> Result<bool, StoreError> {
    let query = Query {
        entity: "rbac_users".into(),
        workspace: None,
        parent: None,
        tags: Tags::Whatever,
        after: None,
        limit: 1,
    };
    Ok(!documents.conductor.read(move |rows| rows.page(&query)).await?.is_empty())
}
