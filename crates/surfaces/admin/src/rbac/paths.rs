//! Paths of access control that are not the usual ones: the roles of a user, what a user or role may do, and permissions
//! by what they are about instead of by an identifier.

use std::sync::Arc;

use gibbon_model::{DEFAULT_WORKSPACE_ID, EntityDef};
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

/// `/groups/{g}/roles`: the roles that a group carries, each in a workspace.
pub async fn group_roles(admin: &Admin, call: &Call) -> Answer {
    let done = async {
        let group = crud::existing(admin, call, &def(admin, "groups")?, call.parameter(0)).await?;
        let id = group.id;
        let links = admin.documents.conductor.read(move |rows| rows.referrers("group_rbac_roles", "group", id)).await;
        let links = links.map_err(|e| failure::of_store(&e))?;
        if call.method == Method::GET {
            let mut data = Vec::with_capacity(links.len());
            for link in links {
                data.push(group_role(admin, &group, &link).await?);
            }
            return Ok(Answer::ok(json!({ "data": data, "next": null })));
        }
        let (role, workspace) = wanted_role(admin, call).await?;
        let named = |link: &&Row| names(link, "rbac_role") == Some(role) && names(link, "workspace") == Some(workspace);
        let known = links.iter().find(named).cloned();
        let kinds = def(admin, "group_rbac_roles")?;
        match (known, call.method == Method::DELETE) {
            (Some(link), true) => {
                let address = Address::Id(link.id);
                let gone = admin.documents.delete(&kinds, link.workspace, &address).await;
                gone.map(|_| Answer::no_content()).map_err(|e| failure::of_change(&e, &kinds, Deed::Remove(&address)))
            }
            (None, true) => Ok(Answer::no_content()),
            (Some(link), false) => Ok(Answer::json(StatusCode::CREATED, group_role(admin, &group, &link).await?)),
            (None, false) => {
                let link = json!({
                    "group": { "id": id.to_string() }, "rbac_role": { "id": role.to_string() },
                    "workspace": { "id": workspace.to_string() },
                });
                let made =
                    admin.documents.insert(&kinds, call.workspace, link.as_object().cloned().unwrap_or_default());
                let made = made.await.map_err(|e| failure::of_change(&e, &kinds, Deed::Create))?;
                Ok(Answer::json(StatusCode::CREATED, group_role(admin, &group, &made).await?))
            }
        }
    };
    done.await.unwrap_or_else(|answer| answer)
}

async fn group_role(admin: &Admin, group: &Row, link: &Row) -> Result<Value, Answer> {
    let role = names(link, "rbac_role").unwrap_or_default();
    let role = admin.documents.conductor.read(move |rows| rows.get("rbac_roles", role)).await;
    let role = match role.map_err(|e| failure::of_store(&e))? {
        Some(role) => show(admin, "rbac_roles", role).await?,
        None => Value::Null,
    };
    let workspace = link.document.get("workspace").cloned().unwrap_or_default();
    Ok(json!({ "group": show(admin, "groups", group.clone()).await?, "rbac_role": role, "workspace": workspace }))
}

/// The role and the workspace a call names: `rbac_role_id` and `workspace_id`, or references.
async fn wanted_role(admin: &Admin, call: &Call) -> Result<(Uuid, Uuid), Answer> {
    let given = call.body.fields_as_sent()?;
    let named = |short: &str, field: &str| {
        let reference = given.get(field);
        let inner = |name: &str| reference.and_then(|reference| reference.get(name)).and_then(Value::as_str);
        given
            .get(short)
            .and_then(Value::as_str)
            .or_else(|| inner("id"))
            .or_else(|| inner("name"))
            .map(ToOwned::to_owned)
    };
    let find = async |entity: &str, name: Option<String>| {
        let name = name.ok_or_else(|| Answer::bad("rbac_role_id and workspace_id are required"))?;
        let def = def(admin, entity)?;
        let address = Address::parse(&def, &name).ok_or_else(failure::invalid_primary_key)?;
        match admin.documents.find(&def, call.workspace, &address).await {
            Ok(Some(row)) => Ok(row.id),
            Ok(None) => Err(Answer::bad(format!("no such entity in '{entity}': '{name}'"))),
            Err(error) => Err(failure::of_store(&error)),
        }
    };
    let role = find("rbac_roles", named("rbac_role_id", "rbac_role")).await?;
    let workspace = match named("workspace_id", "workspace") {
        Some(name) if name == "default" || name == DEFAULT_WORKSPACE_ID => default_workspace(admin).await?,
        name => find("workspaces", name).await?,
    };
    Ok((role, workspace))
}

/// The default workspace is written down when something is to refer to it.
async fn default_workspace(admin: &Admin) -> Result<Uuid, Answer> {
    let (workspaces, id) = (def(admin, "workspaces")?, Uuid::parse_str(DEFAULT_WORKSPACE_ID).unwrap_or_default());
    let found = admin.documents.find(&workspaces, Uuid::nil(), &Address::Id(id)).await;
    if found.map_err(|e| failure::of_store(&e))?.is_none() {
        let fields = json!({ "id": DEFAULT_WORKSPACE_ID, "name": "default" });
        let made = admin.documents.insert(&workspaces, Uuid::nil(), fields.as_object().cloned().unwrap_or_default());
        made.await.map_err(|e| failure::of_change(&e, &workspaces, Deed::Create))?;
    }
    Ok(id)
}
