//! Paths of access control that are not the usual ones: the roles of a user, what a user or role may do, and permissions
//! by what they are about instead of by an identifier.

use std::sync::Arc;

use gibbon_model::EntityDef;
use gibbon_store::{Address, Document, Key, Row};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::grants;
use super::permissions::{Permissions, Scope};
use crate::answer::Answer;
use crate::body::Body;
use crate::call::Call;
use crate::failure::{self, Deed};
use crate::{Admin, crud};

fn def(admin: &Admin, name: &str) -> Result<Arc<EntityDef>, Answer> {
    admin.documents.registry.get(name).map(Arc::clone).ok_or_else(Answer::not_found)
}

/// `/rbac/users/{u}/roles`
pub async fn user_roles(admin: &Admin, call: &Call) -> Answer {
    let done = async {
        let user = crud::existing(admin, call, &def(admin, "rbac_users")?, call.parameter(0)).await?;
        of_user(admin, call, &user).await
    };
    done.await.unwrap_or_else(|answer| answer)
}

/// The roles of a user by the verb of the call.
pub async fn of_user(admin: &Admin, call: &Call, user: &Row) -> Result<Answer, Answer> {
    match call.method {
        Method::POST => {
            for role in wanted_roles(admin, call, user).await? {
                assign(admin, user, &role).await?;
            }
            Ok(Answer::json(StatusCode::CREATED, with_roles(admin, user).await?))
        }
        Method::DELETE => {
            let roles = wanted_roles(admin, call, user).await?;
            let assigned = assignments(admin, user).await?;
            for row in assigned.iter().filter(|row| roles.iter().any(|role| names(row, "role") == Some(role.id))) {
                let links = def(admin, "rbac_user_roles")?;
                let address = Address::Id(row.id);
                let gone = admin.documents.delete(&links, row.workspace, &address).await;
                gone.map_err(|e| failure::of_change(&e, &links, Deed::Remove(&address)))?;
            }
            Ok(Answer::no_content())
        }
        _ => Ok(Answer::ok(with_roles(admin, user).await?)),
    }
}

async fn with_roles(admin: &Admin, user: &Row) -> Result<Value, Answer> {
    let id = user.id;
    let roles = admin.documents.conductor.read(move |rows| grants::roles_of_user(rows, id)).await;
    let mut shown = Vec::new();
    for role in roles.map_err(|e| failure::of_store(&e))? {
        shown.push(show(admin, "rbac_roles", role).await?);
    }
    Ok(json!({ "user": show(admin, "rbac_users", user.clone()).await?, "roles": shown }))
}

async fn show(admin: &Admin, entity: &str, row: Row) -> Result<Value, Answer> {
    admin.documents.show(&def(admin, entity)?, row).await.map_err(|e| failure::of_store(&e))
}

fn names(row: &Row, field: &str) -> Option<Uuid> {
    row.document.get(field)?.get("id")?.as_str().and_then(|id| Uuid::parse_str(id).ok())
}

async fn assignments(admin: &Admin, user: &Row) -> Result<Vec<Row>, Answer> {
    let id = user.id;
    let rows = admin.documents.conductor.read(move |rows| rows.referrers("rbac_user_roles", "user", id)).await;
    rows.map_err(|e| failure::of_store(&e))
}

async fn assign(admin: &Admin, user: &Row, role: &Row) -> Result<(), Answer> {
    if assignments(admin, user).await?.iter().any(|row| names(row, "role") == Some(role.id)) {
        return Ok(());
    }
    let links = def(admin, "rbac_user_roles")?;
    let mut link = Document::new();
    link.insert("user".into(), json!({ "id": user.id.to_string() }));
    link.insert("role".into(), json!({ "id": role.id.to_string() }));
    let made = admin.documents.insert(&links, user.workspace, link).await;
    made.map(drop).map_err(|e| failure::of_change(&e, &links, Deed::Create))
}

/// The roles a call names: `roles=a,b`, a list, or `role.id`.
async fn wanted_roles(admin: &Admin, call: &Call, user: &Row) -> Result<Vec<Row>, Answer> {
    let given = call.body.fields_as_sent()?;
    let mut names: Vec<String> = Vec::new();
    match given.get("roles") {
        Some(Value::String(text)) => names.extend(text.split(',').map(|name| name.trim().to_owned())),
        Some(Value::Array(items)) => names.extend(items.iter().filter_map(Value::as_str).map(ToOwned::to_owned)),
        _ => {}
    }
    if let Some(reference) = given.get("role") {
        let named = |field: &str| reference.get(field).and_then(Value::as_str).map(ToOwned::to_owned);
        names.extend(named("id").or_else(|| named("name")));
    }
    names.retain(|name| !name.is_empty());
    if names.is_empty() {
        return Err(Answer::bad("must provide >= 1 role"));
    }
    let roles = def(admin, "rbac_roles")?;
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let address = Address::parse(&roles, &name).ok_or_else(failure::invalid_primary_key)?;
        match admin.documents.find(&roles, user.workspace, &address).await {
            Ok(Some(role)) => found.push(role),
            Ok(None) => return Err(Answer::bad(format!("role not found with name '{name}'"))),
            Err(error) => return Err(failure::of_store(&error)),
        }
    }
    Ok(found)
}

/// Everything a user may do.
pub async fn permissions_of(admin: &Admin, user: Uuid) -> Result<Permissions, Answer> {
    let permissions = admin.documents.conductor.read(move |rows| grants::of_user(rows, user)).await;
    permissions.map_err(|e| failure::of_store(&e))
}

/// `/rbac/users/{u}/permissions`
pub async fn user_permissions(admin: &Admin, call: &Call) -> Answer {
    let shown = async {
        let user = crud::existing(admin, call, &def(admin, "rbac_users")?, call.parameter(0)).await?;
        permissions_of(admin, user.id).await
    };
    shown.await.map_or_else(|answer| answer, |permissions| Answer::ok(table(&permissions)))
}

/// `/rbac/roles/{r}/permissions`
pub async fn role_permissions(admin: &Admin, call: &Call) -> Answer {
    let shown = async {
        let role = crud::existing(admin, call, &def(admin, "rbac_roles")?, call.parameter(0)).await?;
        let permissions = admin.documents.conductor.read(move |rows| grants::of_role(rows, &role)).await;
        permissions.map_err(|e| failure::of_store(&e))
    };
    shown.await.map_or_else(|answer| answer, |permissions| Answer::ok(table(&permissions)))
}

/// Permissions by workspace and path, and by entity.
fn table(permissions: &Permissions) -> Value {
    let rights = |actions: &[String], negative: bool| json!({ "actions": actions, "negative": negative });
    let mut endpoints: Map<String, Value> = Map::new();
    for rule in &permissions.endpoints {
        let place = endpoints.entry(rule.workspace.clone()).or_insert_with(|| json!({}));
        if let Value::Object(paths) = place {
            let path = match rule.endpoint.as_str() {
                "*" => "*".to_owned(),
                path => format!("/{}{path}", rule.workspace),
            };
            paths.insert(path, rights(&rule.actions.0, rule.negative));
        }
    }
    let mut entities: Map<String, Value> = Map::new();
    for rule in &permissions.entities {
        let name = match rule.scope {
            Scope::All => "*".to_owned(),
            Scope::In(id) | Scope::One(id) => id.to_string(),
        };
        entities.insert(name, rights(&rule.actions.0, rule.negative));
    }
    json!({ "endpoints": endpoints, "entities": entities })
}

/// `/rbac/roles/{r}/endpoints/{workspace}/{endpoint}`
pub async fn endpoint(admin: &Admin, call: &Call) -> Answer {
    let path = match call.parameter(2) {
        "*" => "*".to_owned(),
        path => format!("/{path}"),
    };
    let fields = [("workspace", call.parameter(1).to_owned()), ("endpoint", path)];
    permission(admin, call, "rbac_role_endpoints", &fields).await
}

/// `/rbac/roles/{r}/entities/{entity_id}`
pub async fn entity(admin: &Admin, call: &Call) -> Answer {
    let fields = [("entity_id", call.parameter(1).to_owned())];
    permission(admin, call, "rbac_role_entities", &fields).await
}

/// A permission of a role, found by what it is about.
async fn permission(admin: &Admin, call: &Call, entity: &str, about: &[(&str, String)]) -> Answer {
    let done = async {
        let role = crud::existing(admin, call, &def(admin, "rbac_roles")?, call.parameter(0)).await?;
        let permissions = def(admin, entity)?;
        let mut key = Document::new();
        key.insert("role".into(), json!({ "id": role.id.to_string() }));
        for (field, value) in about {
            key.insert((*field).to_owned(), value.clone().into());
        }
        let owner = Key::of_several(&permissions, role.workspace, &key);
        let found = admin.documents.conductor.read(move |rows| rows.owner(&owner)).await;
        match found.map_err(|e| failure::of_store(&e))? {
            Some(id) if call.method == Method::PUT => replace(admin, call, &permissions, &Address::Id(id), key).await,
            Some(id) => Ok(crud::at(admin, call, &permissions, &Address::Id(id), None).await),
            None if call.method == Method::PUT => {
                replace(admin, call, &permissions, &Address::Id(Uuid::new_v4()), key).await
            }
            None if call.method == Method::DELETE => Ok(Answer::no_content()),
            None => Err(Answer::not_found()),
        }
    };
    done.await.unwrap_or_else(|answer| answer)
}

async fn replace(
    admin: &Admin,
    call: &Call,
    def: &Arc<EntityDef>,
    address: &Address,
    key: Document,
) -> Result<Answer, Answer> {
    let mut document = match &call.body {
        Body::Form(_) => call.body.fields(&def.record)?,
        other => other.fields_as_sent()?,
    };
    document.extend(key);
    let put = admin.documents.upsert(def, call.workspace, address, document).await;
    let row = put.map_err(|e| failure::of_change(&e, def, Deed::Upsert(address)))?;
    Ok(crud::show(admin, def, row, StatusCode::OK).await)
}
