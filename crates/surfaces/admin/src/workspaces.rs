//! Workspaces. The first one, `default`, is always there, whether or not it was ever written down.

use std::sync::Arc;

use gibbon_model::{DEFAULT_WORKSPACE_ID, EntityDef};
use gibbon_schema::Faults;
use gibbon_store::rules::Write;
use gibbon_store::{Address, ChangeError, Document, Query, Row, Tags, Violation};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::Call;
use crate::failure;
use crate::page::{self, Window};
use crate::{Admin, crud, information};

const DEFAULT_NAME: &str = "default";

/// How many rows are read at once.
const CHUNK: usize = 5_000;

fn def(admin: &Admin) -> Option<Arc<EntityDef>> {
    admin.documents.registry.get("workspaces").map(Arc::clone)
}

/// The default workspace as it is shown while nobody has written to it.
fn default_workspace() -> Document {
    let mut fields = Document::new();
    fields.insert("id".into(), DEFAULT_WORKSPACE_ID.into());
    fields.insert("name".into(), DEFAULT_NAME.into());
    for (name, value) in [
        ("comment", Value::Null),
        ("created_at", 0.into()),
        ("updated_at", 0.into()),
        ("meta", json!({})),
        ("config", json!({})),
    ] {
        fields.insert(name.into(), value);
    }
    fields
}

fn is_default(address: &Address) -> bool {
    match address {
        Address::Id(id) => id.to_string() == DEFAULT_WORKSPACE_ID,
        Address::Key { value, .. } => &**value == DEFAULT_NAME,
    }
}

/// `/workspaces`
pub async fn collection(admin: &Admin, call: &Call) -> Answer {
    let Some(def) = def(admin) else { return Answer::not_found() };
    if call.method == Method::POST {
        return match check_name(admin, call, &def, None) {
            Ok(()) => crud::collection(admin, call, &def, None).await,
            Err(answer) => answer,
        };
    }
    let first = Window::of(&call.arguments, true).is_ok_and(|window| window.after.is_none());
    match page::list_values(admin, call, &def, "/workspaces").await {
        Ok(mut page) => {
            if let Some(Value::Array(list)) = page.get_mut("data").filter(|_| first) {
                add_default(list);
            }
            Answer::ok(page)
        }
        Err(answer) => answer,
    }
}

/// Puts the default workspace first, unless it is there.
pub fn add_default(list: &mut Vec<Value>) {
    if !list.iter().any(|workspace| workspace.get("name").and_then(Value::as_str) == Some(DEFAULT_NAME)) {
        list.insert(0, Value::Object(default_workspace()));
    }
}

/// A workspace cannot be called as a path of the Admin API is: its own paths could not be told from those.
fn check_name(admin: &Admin, call: &Call, def: &EntityDef, address: Option<&Address>) -> Result<(), Answer> {
    let given = crud::fields(call, def, None)?;
    let name = match address {
        Some(Address::Key { value, .. }) => Some(&**value),
        _ => given.get("name").and_then(Value::as_str),
    };
    let Some(name) = name.filter(|name| admin.routes.begins(name)) else { return Ok(()) };
    let mut faults = Faults::default();
    faults.insert("name", format!("must not be '{name}', which is a path of the Admin API"));
    Err(failure::schema_violation(&faults))
}

/// The workspace of that name or identifier.
///
/// # Errors
/// The answer where the store cannot be read.
pub async fn id_of(admin: &Admin, text: &str) -> Result<Option<Uuid>, Answer> {
    let Some(def) = def(admin) else { return Ok(None) };
    let Some(address) = Address::parse(&def, text) else { return Ok(None) };
    let default = Uuid::parse_str(DEFAULT_WORKSPACE_ID).unwrap_or_default();
    match admin.documents.find(&def, default, &address).await {
        Ok(Some(row)) => Ok(Some(row.id)),
        Ok(None) => Ok(is_default(&address).then_some(default)),
        Err(error) => Err(failure::of_store(&error)),
    }
}

/// `/workspaces/{w}/meta`: how many entities of each kind there are in it.
pub async fn meta(admin: &Admin, call: &Call) -> Answer {
    let workspace = match id_of(admin, call.parameter(0)).await {
        Ok(Some(workspace)) => workspace,
        Ok(None) => return Answer::not_found(),
        Err(answer) => return answer,
    };
    let registry = Arc::clone(&admin.documents.registry);
    let count = move |rows: &mut dyn gibbon_store::Rows| {
        let kinds: Vec<&str> = registry.iter().filter(|def| is_counted(def)).map(|def| def.name.as_ref()).collect();
        information::count(rows, &kinds, Some(workspace))
    };
    match admin.documents.conductor.read(count).await {
        Ok(mut counts) => {
            counts.retain(|_, number| *number > 0);
            Answer::ok(json!({ "counts": counts }))
        }
        Err(error) => failure::of_store(&error),
    }
}

fn is_counted(def: &EntityDef) -> bool {
    def.workspaceable && def.primary_key == ["id"]
}

/// `/workspaces/{w}`
pub async fn entity(admin: &Admin, call: &Call) -> Answer {
    let Some(def) = def(admin) else { return Answer::not_found() };
    let Some(address) = Address::parse(&def, call.parameter(0)) else { return Answer::not_found() };
    if call.method == Method::DELETE {
        return delete(admin, call, &def, &address).await;
    }
    if matches!(call.method, Method::PUT | Method::PATCH)
        && let Err(answer) = check_name(admin, call, &def, (call.method == Method::PUT).then_some(&address))
    {
        return answer;
    }
    if !is_default(&address) {
        return crud::entity(admin, call, &def, call.parameter(0)).await;
    }
    match admin.documents.find(&def, call.workspace, &address).await {
        Ok(Some(_)) => return crud::entity(admin, call, &def, call.parameter(0)).await,
        Ok(None) => {}
        Err(error) => return failure::of_store(&error),
    }
    if call.method == Method::GET {
        return Answer::ok(Value::Object(default_workspace()));
    }
    write_down(admin, call, &def).await
}

/// The first change of the default workspace.
async fn write_down(admin: &Admin, call: &Call, def: &Arc<EntityDef>) -> Answer {
    let changes = match crud::fields(call, def, None) {
        Ok(changes) => changes,
        Err(answer) => return answer,
    };
    let mut document = default_workspace();
    document.shift_remove("created_at");
    document.extend(changes);
    document.insert("id".into(), DEFAULT_WORKSPACE_ID.into());
    document.insert("name".into(), DEFAULT_NAME.into());
    match admin.documents.insert(def, call.workspace, document).await {
        Ok(row) => crud::show(admin, def, row, StatusCode::OK).await,
        Err(error) => failure::of_change(&error, def, failure::Deed::Create),
    }
}

async fn delete(admin: &Admin, call: &Call, def: &Arc<EntityDef>, address: &Address) -> Answer {
    if is_default(address) {
        return Answer::bad("cannot delete the default workspace");
    }
    let row = match admin.documents.find(def, call.workspace, address).await {
        Ok(Some(row)) => row,
        Ok(None) => return Answer::no_content(),
        Err(error) => return failure::of_store(&error),
    };
    if call.arguments.flag("cascade") {
        return delete_with_all(admin, &row).await;
    }
    match is_empty(admin, row.id).await {
        Ok(true) => {}
        Ok(false) => return Answer::bad("Workspace is not empty"),
        Err(error) => return failure::of_store(&error),
    }
    match admin.documents.delete(def, call.workspace, address).await {
        Ok(_) | Err(ChangeError::Violation(Violation::Missing)) => Answer::no_content(),
        Err(error) => failure::of_change(&error, def, failure::Deed::Remove(address)),
    }
}

async fn is_empty(admin: &Admin, workspace: Uuid) -> Result<bool, gibbon_store::StoreError> {
    let registry = Arc::clone(&admin.documents.registry);
    let look = move |rows: &mut dyn gibbon_store::Rows| {
        for def in registry.iter().filter(|def| def.workspaceable) {
            let query = Query {
                entity: def.name.as_ref().into(),
                workspace: Some(workspace),
                parent: None,
                tags: Tags::Whatever,
                after: None,
                limit: 1,
            };
            if !rows.page(&query)?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    };
    admin.documents.conductor.read(look).await
}

/// Deletes a workspace and everything in it, in one go.
async fn delete_with_all(admin: &Admin, workspace: &Row) -> Answer {
    let (registry, id) = (Arc::clone(&admin.documents.registry), workspace.id);
    let collect = move |rows: &mut dyn gibbon_store::Rows| {
        let mut writes = Vec::new();
        // What refers comes before what it refers to.
        for def in registry.iter().rev().filter(|def| is_counted(def)) {
            let mut query = Query {
                entity: def.name.as_ref().into(),
                workspace: Some(id),
                parent: None,
                tags: Tags::Whatever,
                after: None,
                limit: CHUNK,
            };
            loop {
                let page = rows.page(&query)?;
                let Some(last) = page.last() else { break };
                query.after = Some(last.id);
                let entity = &query.entity;
                writes.extend(page.iter().map(|row| Write::Delete {
                    entity: entity.clone(),
                    workspace: id,
                    id: row.id,
                }));
            }
        }
        writes.push(Write::Delete { entity: "workspaces".into(), workspace: Uuid::nil(), id });
        Ok(writes)
    };
    let writes = match admin.documents.conductor.read(collect).await {
        Ok(writes) => writes,
        Err(error) => return failure::of_store(&error),
    };
    match (admin.documents.conductor.commit(writes).await, def(admin)) {
        (Err(error), Some(def)) => failure::of_change(&error, &def, failure::Deed::Remove(&Address::Id(workspace.id))),
        _ => Answer::no_content(),
    }
}
