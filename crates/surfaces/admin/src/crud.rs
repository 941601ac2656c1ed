//! Entities by the usual verbs: lists and creation, one entity, children of a parent, the parent of a child.

use std::sync::Arc;

use gibbon_model::EntityDef;
use gibbon_store::{Address, ChangeError, Document, Row, Violation};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::Call;
use crate::failure::{self, Deed};
use crate::rbac::Action;
use crate::routes::Family;
use crate::{Admin, hooks, page};

/// `/services`; `parent` as field and identifier for lists below one.
pub async fn collection(
    admin: &Admin,
    call: &Call,
    def: &Arc<EntityDef>,
    parent: Option<(&str, Uuid, &str)>,
) -> Answer {
    let fixed = parent.map(|(field, id, _)| (field, id));
    if call.method == Method::POST {
        return match fields(call, def, fixed) {
            Ok(document) => match irregular(admin, def, &document) {
                Ok(()) => insert(admin, call.workspace, def, document).await,
                Err(answer) => answer,
            },
            Err(answer) => answer,
        };
    }
    match parent {
        None => match lookup(call, def) {
            Some(Address::Key { value, .. }) if value.is_empty() => Answer::bad("custom_id must be an unempty string"),
            Some(address) => one_in_a_list(admin, call, def, &address).await,
            None => page::list(admin, call, def, &format!("/{}", def.admin_path), None).await,
        },
        Some((_, _, path)) => page::list(admin, call, def, path, fixed).await,
    }
}

/// `/consumers?custom_id=…` finds at most one.
fn lookup(call: &Call, def: &EntityDef) -> Option<Address> {
    let value = call.arguments.get("custom_id").filter(|_| def.name == "consumers")?;
    Some(Address::Key { field: "custom_id".into(), value: value.into() })
}

async fn one_in_a_list(admin: &Admin, call: &Call, def: &Arc<EntityDef>, address: &Address) -> Answer {
    let found = match admin.documents.find(def, call.workspace, address).await {
        Ok(Some(row)) if call.may(row.workspace, row.id, Action::Read) => {
            admin.documents.show(def, row).await.map(|value| vec![value])
        }
        Ok(_) => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    match found {
        Ok(data) => Answer::ok(json!({ "data": data, "next": null })),
        Err(error) => failure::of_store(&error),
    }
}

/// `/services/{services}`
pub async fn entity(admin: &Admin, call: &Call, def: &Arc<EntityDef>, id: &str) -> Answer {
    let address = match address(admin, call, def, id).await {
        Ok(address) => address,
        Err(answer) => return answer,
    };
    at(admin, call, def, &address, None).await
}

/// # Errors
/// The answer to a caller who may not do to that entity what the verb says.
async fn demand(admin: &Admin, call: &Call, def: &Arc<EntityDef>, address: &Address) -> Result<(), Answer> {
    if !call.identity.as_ref().is_some_and(|who| who.by_entity) {
        return Ok(());
    }
    let found = admin.documents.find(def, call.workspace, address).await.map_err(|e| failure::of_store(&e))?;
    let action = match call.method {
        Method::GET => Action::Read,
        Method::DELETE => Action::Delete,
        _ => Action::Update,
    };
    found.map_or(Ok(()), |row| call.demand(&row, action))
}

/// What the verbs mean for one entity; `parent` is the field and identifier it gets with PUT and keeps with PATCH.
pub async fn at(
    admin: &Admin,
    call: &Call,
    def: &Arc<EntityDef>,
    address: &Address,
    parent: Option<(&str, Uuid)>,
) -> Answer {
    let documents = &admin.documents;
    if let Err(answer) = demand(admin, call, def, address).await {
        return answer;
    }
    if matches!(call.method, Method::PUT | Method::PATCH)
        && let Err(answer) = fields(call, def, parent).and_then(|document| irregular(admin, def, &document))
    {
        return answer;
    }
    match call.method {
        Method::GET => match documents.find(def, call.workspace, address).await {
            Ok(Some(row)) => show(admin, def, row, StatusCode::OK).await,
            Ok(None) => Answer::not_found(),
            Err(error) => failure::of_store(&error),
        },
        Method::PUT => match fields(call, def, parent) {
            Ok(document) => {
                let put = documents.upsert(def, call.workspace, address, document).await;
                done(admin, def, put, StatusCode::OK, Deed::Upsert(address)).await
            }
            Err(answer) => answer,
        },
        Method::PATCH => match changes(admin, call, def, address, parent).await {
            Ok(changes) => {
                let updated = documents.update(def, call.workspace, address, changes).await;
                if def.name == "plugins" && matches!(updated, Err(ChangeError::Violation(Violation::Missing))) {
                    return Answer::not_found(); // Kong looks at a plugin before it reads what is to be changed
                }
                done(admin, def, updated, StatusCode::OK, Deed::Update(address)).await
            }
            Err(answer) => answer,
        },
        _ => match documents.delete(def, call.workspace, address).await {
            Ok(_) => Answer::no_content(),
            Err(error) => failure::of_change(&error, def, Deed::Remove(address)),
        },
    }
}

/// What the schema of a kind cannot say.
fn irregular(admin: &Admin, def: &EntityDef, document: &Document) -> Result<(), Answer> {
    if def.name == "event_hooks" { hooks::check(admin, document) } else { Ok(()) }
}

pub async fn insert(admin: &Admin, workspace: Uuid, def: &Arc<EntityDef>, document: Document) -> Answer {
    let inserted = admin.documents.insert(def, workspace, document).await;
    done(admin, def, inserted, StatusCode::CREATED, Deed::Create).await
}

async fn done(
    admin: &Admin,
    def: &Arc<EntityDef>,
    result: Result<Row, ChangeError>,
    status: StatusCode,
    deed: Deed<'_>,
) -> Answer {
    match result {
        Ok(row) => show(admin, def, row, status).await,
        Err(error) => failure::of_change(&error, def, deed),
    }
}

pub async fn show(admin: &Admin, def: &Arc<EntityDef>, row: Row, status: StatusCode) -> Answer {
    match admin.documents.show(def, row).await {
        Ok(value) => Answer::json(status, value),
        Err(error) => failure::of_store(&error),
    }
}

/// The fields a client sent, with the parent the path names.
pub fn fields(call: &Call, def: &EntityDef, parent: Option<(&str, Uuid)>) -> Result<Document, Answer> {
    let mut document = call.body.fields(&def.record)?;
    if let Some((field, id)) = parent {
        document.insert(field.to_owned(), json!({ "id": id.to_string() }));
    }
    Ok(document)
}

/// As `fields`, for a change. A form says what it means only together with the plugin whose settings it holds.
async fn changes(
    admin: &Admin,
    call: &Call,
    def: &Arc<EntityDef>,
    address: &Address,
    parent: Option<(&str, Uuid)>,
) -> Result<Document, Answer> {
    let crate::body::Body::Form(form) = &call.body else { return fields(call, def, parent) };
    let Some(key) = def.record.subschemas.as_ref().map(|s| s.key.as_ref()) else { return fields(call, def, parent) };
    let mut form = form.clone();
    let mut borrowed = false;
    if form.get(key).is_none() {
        let row = admin.documents.find(def, call.workspace, address).await.map_err(|e| failure::of_store(&e))?;
        let stored = row.as_ref().and_then(|row| row.document.get(key)).cloned();
        if let (crate::form::Node::Fields(fields), Some(stored)) = (&mut form, stored) {
            fields.insert(key.to_owned(), texts(&stored));
            borrowed = true;
        }
    }
    let mut document = crate::infer::record(&def.record, &form);
    if borrowed {
        document.shift_remove(key);
    }
    if let Some((field, id)) = parent {
        document.insert(field.to_owned(), json!({ "id": id.to_string() }));
    }
    Ok(document)
}

fn texts(value: &Value) -> crate::form::Node {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    crate::form::Node::Texts(match value {
        Value::Array(items) => items.iter().map(text).collect(),
        other => vec![text(other)],
    })
}

/// What an identifier in a path means. Certificates go by their server names too.
pub async fn address(admin: &Admin, call: &Call, def: &Arc<EntityDef>, text: &str) -> Result<Address, Answer> {
    match Address::parse(def, text) {
        Some(address) => Ok(address),
        None if def.name == "certificates" => certificate_named(admin, call, def, text).await,
        None if def.name == "acls" => Err(Answer::not_found()),
        None => Err(failure::invalid_primary_key()),
    }
}

async fn certificate_named(admin: &Admin, call: &Call, def: &Arc<EntityDef>, name: &str) -> Result<Address, Answer> {
    let Some(names) = admin.documents.registry.get("snis") else { return Err(Answer::not_found()) };
    let address = Address::Key { field: "name".into(), value: name.into() };
    let found = admin.documents.find(names, call.workspace, &address).await.map_err(|e| failure::of_store(&e))?;
    if let Some(id) = found.as_ref().and_then(|row| reference(row, "certificate")) {
        return Ok(Address::Id(id));
    }
    if call.method == Method::PUT && call.parameters.len() == 1 {
        let mut document = fields(call, def, None)?;
        document.insert("snis".into(), json!([name]));
        let inserted = admin.documents.insert(def, call.workspace, document).await;
        return Err(done(admin, def, inserted, StatusCode::OK, Deed::Create).await);
    }
    Err(Answer::message(StatusCode::NOT_FOUND, "SNI not found"))
}

fn reference(row: &Row, field: &str) -> Option<Uuid> {
    row.document.get(field)?.get("id")?.as_str().and_then(|id| Uuid::parse_str(id).ok())
}

/// The row a path names, or the answer that there is none.
pub async fn existing(admin: &Admin, call: &Call, def: &Arc<EntityDef>, text: &str) -> Result<Row, Answer> {
    let address = address(admin, call, def, text).await?;
    match admin.documents.find(def, call.workspace, &address).await {
        Ok(Some(row)) => call.demand(&row, Action::Read).map(|()| row),
        Ok(None) => Err(Answer::not_found()),
        Err(error) => Err(failure::of_store(&error)),
    }
}

/// `/services/{services}/routes`
pub async fn nested(admin: &Admin, call: &Call, family: &Family) -> Answer {
    match existing(admin, call, &family.parent, call.parameter(0)).await {
        Ok(parent) => {
            let path = format!("/{}/{}/{}", family.parent.admin_path, call.parameter(0), family.child.nested_path);
            collection(admin, call, &family.child, Some((&family.field, parent.id, &path))).await
        }
        Err(answer) => answer,
    }
}

/// `/services/{services}/routes/{routes}`
pub async fn nested_entity(admin: &Admin, call: &Call, family: &Family) -> Answer {
    let (child, field) = (&family.child, &*family.field);
    let parent = match existing(admin, call, &family.parent, call.parameter(0)).await {
        Ok(parent) => parent,
        Err(answer) => return answer,
    };
    let address = match child_address(admin, call, family, &parent).await {
        Ok(address) => address,
        Err(answer) => return answer,
    };
    if call.method != Method::PUT {
        match admin.documents.find(child, call.workspace, &address).await {
            Ok(Some(row)) if reference(&row, field) == Some(parent.id) => {}
            Ok(None) if call.method == Method::PATCH => return failure::missing(&address),
            Ok(_) => return Answer::not_found(),
            Err(error) => return failure::of_store(&error),
        }
    }
    at(admin, call, child, &address, Some((field, parent.id))).await
}

/// Groups of an access list go by their name below a consumer.
async fn child_address(admin: &Admin, call: &Call, family: &Family, parent: &Row) -> Result<Address, Answer> {
    let text = call.parameter(1);
    if family.child.name != "acls" || Address::parse(&family.child, text).is_some() {
        return address(admin, call, &family.child, text).await;
    }
    let (def, workspace) = (Arc::clone(&family.child), parent.workspace);
    let mut key = Document::new();
    key.insert("consumer".into(), json!({ "id": parent.id.to_string() }));
    key.insert("group".into(), text.into());
    let key = gibbon_store::Key::of_several(&def, workspace, &key);
    let owner = admin.documents.conductor.read(move |rows| rows.owner(&key)).await;
    match owner {
        Ok(Some(id)) => Ok(Address::Id(id)),
        Ok(None) if call.method == Method::PUT => {
            let mut document = fields(call, &family.child, Some((&family.field, parent.id)))?;
            document.insert("group".into(), text.into());
            let inserted = admin.documents.insert(&family.child, call.workspace, document).await;
            Err(done(admin, &family.child, inserted, StatusCode::OK, Deed::Create).await)
        }
        Ok(None) => Err(Answer::not_found()),
        Err(error) => Err(failure::of_store(&error)),
    }
}

/// `/routes/{routes}/service`
pub async fn parent(admin: &Admin, call: &Call, family: &Family) -> Answer {
    let child = match existing(admin, call, &family.child, call.parameter(0)).await {
        Ok(child) => child,
        Err(answer) => return answer,
    };
    let Some(id) = reference(&child, &family.field) else { return Answer::not_found() };
    if call.method == Method::DELETE {
        return Answer::method_not_allowed();
    }
    at(admin, call, &family.parent, &Address::Id(id), None).await
}
