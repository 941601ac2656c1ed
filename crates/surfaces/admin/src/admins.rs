//! Administrators: people who are invited, register, and then call with a token of their own. Behind each stands a user
//! of access control, which roles are given to.

use std::sync::Arc;

use gibbon_model::{DEFAULT_WORKSPACE_ID, EntityDef, is_token};
use gibbon_schema::Sources as _;
use gibbon_store::{Address, Document, Query, Row, SystemSources, Tags};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::Call;
use crate::failure::{self, Deed};
use crate::{Admin, crud, rbac};

/// What an administrator's status says.
const APPROVED: i64 = 0;
const INVITED: i64 = 4;

/// More workspaces than this are not looked through.
const MOST: usize = 10_000;

fn def(admin: &Admin, name: &str) -> Result<Arc<EntityDef>, Answer> {
    admin.documents.registry.get(name).map(Arc::clone).ok_or_else(Answer::not_found)
}

fn home() -> Uuid {
    Uuid::parse_str(DEFAULT_WORKSPACE_ID).unwrap_or_default()
}

/// `/admins`
pub async fn collection(admin: &Admin, call: &Call) -> Answer {
    let done = async {
        let admins = def(admin, "admins")?;
        if call.method == Method::POST {
            invite(admin, call, &admins).await
        } else {
            Ok(crud::collection(admin, call, &admins, None).await)
        }
    };
    done.await.unwrap_or_else(|answer| answer)
}

/// A new administrator, whose user nobody can be yet: its token is random and known to no one.
async fn invite(admin: &Admin, call: &Call, admins: &Arc<EntityDef>) -> Result<Answer, Answer> {
    let mut fields = crud::fields(call, admins, None)?;
    let name = fields.get("username").and_then(Value::as_str).unwrap_or_default().to_owned();
    fields.insert("status".into(), INVITED.into());
    fields.shift_remove("rbac_user");
    // A document that is at fault must not leave a user behind.
    let mut whole = fields.clone();
    whole.insert("rbac_user".into(), json!({ "id": Uuid::nil().to_string() }));
    admin.documents.check(admins, whole).map_err(|faults| failure::schema_violation(&faults))?;
    let user = make_user(admin, &name, fields.get("rbac_token_enabled") != Some(&Value::Bool(false))).await?;
    fields.insert("rbac_user".into(), json!({ "id": user.id.to_string() }));
    match admin.documents.insert(admins, home(), fields).await {
        Ok(row) => Ok(Answer::ok(json!({ "admin": shown(admin, row).await? }))),
        Err(error) => {
            let users = def(admin, "rbac_users")?;
            let _ = admin.documents.delete(&users, user.workspace, &Address::Id(user.id)).await;
            Err(failure::of_change(&error, admins, Deed::Create))
        }
    }
}

async fn make_user(admin: &Admin, name: &str, enabled: bool) -> Result<Row, Answer> {
    let users = def(admin, "rbac_users")?;
    let token = SystemSources::new().secret();
    let fields =
        json!({ "name": name, "user_token": token, "enabled": enabled, "comment": "User of an administrator" });
    let made = admin.documents.insert(&users, home(), fields.as_object().cloned().unwrap_or_default()).await;
    made.map_err(|e| failure::of_change(&e, &users, Deed::Create))
}

async fn shown(admin: &Admin, row: Row) -> Result<Value, Answer> {
    admin.documents.show(&def(admin, "admins")?, row).await.map_err(|e| failure::of_store(&e))
}

async fn user_of(admin: &Admin, row: &Row) -> Result<Row, Answer> {
    let id = row.document.get("rbac_user").and_then(|user| user.get("id")).and_then(Value::as_str);
    let id = id.and_then(|id| Uuid::parse_str(id).ok()).ok_or_else(Answer::not_found)?;
    let users = def(admin, "rbac_users")?;
    match admin.documents.find(&users, home(), &Address::Id(id)).await {
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(Answer::not_found()),
        Err(error) => Err(failure::of_store(&error)),
    }
}

/// `/admins/{a}`; `?generate_register_url=true` adds a token to register with, which takes the place of the one before.
pub async fn entity(admin: &Admin, call: &Call) -> Answer {
    let done = async {
        let admins = def(admin, "admins")?;
        match call.method {
            Method::GET if call.arguments.flag("generate_register_url") => invitation(admin, call, &admins).await,
            Method::DELETE => remove(admin, call, &admins).await,
            Method::PUT => Err(Answer::method_not_allowed()),
            Method::PATCH => update(admin, call, &admins).await,
            _ => Ok(crud::entity(admin, call, &admins, call.parameter(0)).await),
        }
    };
    done.await.unwrap_or_else(|answer| answer)
}

async fn invitation(admin: &Admin, call: &Call, admins: &Arc<EntityDef>) -> Result<Answer, Answer> {
    if !call.may_write() {
        // Whoever holds the invitation becomes the administrator.
        return Err(rbac::forbidden(&call.caller(), rbac::Action::Update));
    }
    let row = crud::existing(admin, call, admins, call.parameter(0)).await?;
    let token = SystemSources::new().secret();
    set_token(admin, &row, &token).await?;
    let mut body = shown(admin, row).await?;
    if let Value::Object(fields) = &mut body {
        fields.insert("token".into(), token.into());
    }
    Ok(Answer::ok(body))
}

async fn set_token(admin: &Admin, row: &Row, token: &str) -> Result<(), Answer> {
    let user = user_of(admin, row).await?;
    change(admin, "rbac_users", user.workspace, user.id, json!({ "user_token": token })).await
}

async fn change(admin: &Admin, entity: &str, workspace: Uuid, id: Uuid, changes: Value) -> Result<(), Answer> {
    let (def, address) = (def(admin, entity)?, Address::Id(id));
    let changes: Document = changes.as_object().cloned().unwrap_or_default();
    let changed = admin.documents.update(&def, workspace, &address, changes).await;
    changed.map(drop).map_err(|e| failure::of_change(&e, &def, Deed::Update(&address)))
}

async fn update(admin: &Admin, call: &Call, admins: &Arc<EntityDef>) -> Result<Answer, Answer> {
    let row = crud::existing(admin, call, admins, call.parameter(0)).await?;
    let mut changes = crud::fields(call, admins, None)?;
    changes.shift_remove("rbac_user");
    let enabled = changes.get("rbac_token_enabled").cloned();
    let address = Address::Id(row.id);
    let updated = admin.documents.update(admins, home(), &address, changes).await;
    let updated = updated.map_err(|e| failure::of_change(&e, admins, Deed::Update(&address)))?;
    if let Some(Value::Bool(enabled)) = enabled {
        let user = user_of(admin, &row).await?;
        change(admin, "rbac_users", user.workspace, user.id, json!({ "enabled": enabled })).await?;
    }
    Ok(Answer::ok(shown(admin, updated).await?))
}

/// The user goes, and the administrator with it.
async fn remove(admin: &Admin, call: &Call, admins: &Arc<EntityDef>) -> Result<Answer, Answer> {
    let row = crud::existing(admin, call, admins, call.parameter(0)).await?;
    let user = user_of(admin, &row).await?;
    let (users, address) = (def(admin, "rbac_users")?, Address::Id(user.id));
    let gone = admin.documents.delete(&users, user.workspace, &address).await;
    gone.map_err(|e| failure::of_change(&e, &users, Deed::Remove(&address)))?;
    Ok(Answer::no_content())
}

/// `/admins/{a}/roles`
pub async fn roles(admin: &Admin, call: &Call) -> Answer {
    let done = async {
        let row = crud::existing(admin, call, &def(admin, "admins")?, call.parameter(0)).await?;
        rbac::paths::of_user(admin, call, &user_of(admin, &row).await?).await
    };
    done.await.unwrap_or_else(|answer| answer)
}

/// `/admins/{a}/workspaces/{w}`: from now on the administrator belongs to that workspace. Rights come from roles alone.
pub async fn belong(admin: &Admin, call: &Call) -> Answer {
    let done = async {
        let admins = def(admin, "admins")?;
        let row = crud::existing(admin, call, &admins, call.parameter(0)).await?;
        let workspace = crate::workspaces::id_of(admin, call.parameter(1)).await?.ok_or_else(Answer::not_found)?;
        let (address, changes) = (Address::Id(row.id), json!({ "belong_workspace": workspace.to_string() }));
        let changes: Document = changes.as_object().cloned().unwrap_or_default();
        let updated = admin.documents.update(&admins, home(), &address, changes).await;
        let updated = updated.map_err(|e| failure::of_change(&e, &admins, Deed::Update(&address)))?;
        Ok(Answer::ok(shown(admin, updated).await?))
    };
    done.await.unwrap_or_else(|answer| answer)
}

/// `/admins/{a}/workspaces`: the one the administrator belongs to, and those in which they may read anything.
pub async fn workspaces(admin: &Admin, call: &Call) -> Answer {
    let done = async {
        let row = crud::existing(admin, call, &def(admin, "admins")?, call.parameter(0)).await?;
        let user = user_of(admin, &row).await?;
        let permissions = rbac::paths::permissions_of(admin, user.id).await?;
        let query = Query {
            entity: "workspaces".into(),
            workspace: None,
            parent: None,
            tags: Tags::Whatever,
            after: None,
            limit: MOST,
        };
        let all = admin.documents.page(&def(admin, "workspaces")?, query).await.map_err(|e| failure::of_store(&e))?;
        let mut all: Vec<Value> = all.into_iter().map(|(_, workspace)| workspace).collect();
        crate::workspaces::add_default(&mut all);
        all.retain(|workspace| {
            let name = workspace.get("name").and_then(Value::as_str).unwrap_or_default();
            let belongs = workspace.get("id").is_some() && workspace.get("id") == row.document.get("belong_workspace");
            belongs
                || permissions
                    .endpoints
                    .iter()
                    .any(|rule| !rule.negative && (rule.workspace == "*" || rule.workspace == name))
        });
        Ok(Answer::ok(json!({ "data": all, "next": null })))
    };
    done.await.unwrap_or_else(|answer| answer)
}

/// `/admins/register`: whoever shows the token of an invitation sets the token they will call with.
pub async fn register(admin: &Admin, call: &Call) -> Answer {
    let done = async {
        let given = call.body.fields_as_sent()?;
        let text = |name: &str| given.get(name).and_then(Value::as_str).unwrap_or_default();
        let (username, token, password) = (text("username"), text("token"), text("password"));
        let refused = rbac::unauthorised;
        if username.is_empty() || token.is_empty() || password.is_empty() || password.len() > rbac::LONGEST_TOKEN {
            return Err(refused());
        }
        let admins = def(admin, "admins")?;
        let address = Address::Key { field: "username".into(), value: username.into() };
        let found = admin.documents.find(&admins, home(), &address).await.map_err(|e| failure::of_store(&e))?;
        let row = found.filter(|row| row.document.get("status") == Some(&INVITED.into())).ok_or_else(refused)?;
        let user = user_of(admin, &row).await?;
        let stored = user.document.get("user_token").and_then(Value::as_str).unwrap_or_default().to_owned();
        let shown = token.to_owned();
        let fits = tokio::task::spawn_blocking(move || is_token(&stored, &shown)).await.unwrap_or(false);
        if !fits {
            return Err(refused());
        }
        set_token(admin, &row, password).await?;
        change(admin, "admins", home(), row.id, json!({ "status": APPROVED })).await?;
        Ok(Answer::nothing(StatusCode::CREATED))
    };
    done.await.unwrap_or_else(|answer| answer)
}
