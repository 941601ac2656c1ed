//! Workspaces. The first one, `default`, is always there, whether or not it was ever written down.

use std::sync::Arc;

use gibbon_model::{DEFAULT_WORKSPACE_ID, EntityDef};
use gibbon_store::{Address, ChangeError, Document, Query, Tags, Violation};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::Call;
use crate::failure;
use crate::page::{self, Window};
use crate::{Admin, crud};

const DEFAULT_NAME: &str = "default";

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
        return crud::collection(admin, call, &def, None).await;
    }
    let stored = page::list(admin, call, &def, "/workspaces", None).await;
    let first = Window::of(&call.arguments, true).is_ok_and(|window| window.after.is_none());
    with_default(stored, first)
}

/// Puts the default workspace first on the first page, unless it is there.
fn with_default(mut answer: Answer, first: bool) -> Answer {
    if let crate::answer::Content::Json(page) = &mut answer.content
        && let Some(Value::Array(list)) = page.get_mut("data").filter(|_| first)
        && !list.iter().any(|workspace| workspace.get("name").and_then(Value::as_str) == Some(DEFAULT_NAME))
    {
        list.insert(0, Value::Object(default_workspace()));
    }
    answer
}

/// `/workspaces/{w}`
pub async fn entity(admin: &Admin, call: &Call) -> Answer {
    let Some(def) = def(admin) else { return Answer::not_found() };
    let Some(address) = Address::parse(&def, call.parameter(0)) else { return Answer::not_found() };
    if call.method == Method::DELETE {
        return delete(admin, call, &def, &address).await;
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
