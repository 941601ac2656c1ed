//! Groups of consumers: who is in them. A membership is an entity of its own that no path names; it is made and deleted
//! through the group or the consumer.

use std::sync::Arc;

use gibbon_model::EntityDef;
use gibbon_store::{Address, Document, Query, Row, StoreError, Tags};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::body::Body;
use crate::call::Call;
use crate::failure::{self, Deed};
use crate::{Admin, crud};

const MEMBERSHIPS: &str = "consumer_group_consumers";
/// More members than this are not shown in one answer.
const MOST: usize = 100_000;

/// The two ends of a membership, seen from one of them.
struct Side {
    own: Arc<EntityDef>,
    other: Arc<EntityDef>,
    memberships: Arc<EntityDef>,
    /// The fields of a membership that name the two.
    own_field: &'static str,
    other_field: &'static str,
    /// How an answer calls the two.
    own_name: &'static str,
    others_name: &'static str,
    /// The argument that names whom to add.
    argument: &'static str,
}

fn side(admin: &Admin, from_group: bool) -> Option<Side> {
    let get = |name: &str| admin.documents.registry.get(name).map(Arc::clone);
    let (groups, consumers, memberships) = (get("consumer_groups")?, get("consumers")?, get(MEMBERSHIPS)?);
    Some(match from_group {
        true => Side {
            own: groups,
            other: consumers,
            memberships,
            own_field: "consumer_group",
            other_field: "consumer",
            own_name: "consumer_group",
            others_name: "consumers",
            argument: "consumer",
        },
        false => Side {
            own: consumers,
            other: groups,
            memberships,
            own_field: "consumer",
            other_field: "consumer_group",
            own_name: "consumer",
            others_name: "consumer_groups",
            argument: "group",
        },
    })
}

/// `GET /consumer_groups/{g}` shows the group with its members and plugins; the other verbs are the usual ones.
pub async fn group(admin: &Admin, call: &Call) -> Answer {
    let Some(side) = side(admin, true) else { return Answer::not_found() };
    if call.method != Method::GET {
        return crud::entity(admin, call, &side.own, call.parameter(0)).await;
    }
    let shown = async {
        let group = crud::existing(admin, call, &side.own, call.parameter(0)).await?;
        let mut body = Document::new();
        if call.arguments.get("list_consumers") != Some("false") {
            body.insert("consumers".into(), others(admin, &side, &group).await?.into());
        }
        body.insert("plugins".into(), plugins(admin, &group).await?.into());
        let group = admin.documents.show(&side.own, group).await.map_err(|e| failure::of_store(&e))?;
        body.insert("consumer_group".into(), group);
        Ok::<_, Answer>(Value::Object(body))
    };
    shown.await.map_or_else(|answer| answer, Answer::ok)
}

/// `/consumer_groups/{g}/consumers` and `/consumers/{c}/consumer_groups`
pub async fn members(admin: &Admin, call: &Call, from_group: bool) -> Answer {
    let Some(side) = side(admin, from_group) else { return Answer::not_found() };
    let own = match crud::existing(admin, call, &side.own, call.parameter(0)).await {
        Ok(own) => own,
        Err(answer) => return answer,
    };
    let done = match call.method {
        Method::POST => add(admin, call, &side, &own).await,
        Method::DELETE => remove_all(admin, call, &side, &own).await,
        _ => others(admin, &side, &own).await.map(|data| Answer::ok(json!({ "data": data, "next": null }))),
    };
    done.unwrap_or_else(|answer| answer)
}

/// `/consumer_groups/{g}/consumers/{c}` and `/consumers/{c}/consumer_groups/{g}`
pub async fn member(admin: &Admin, call: &Call, from_group: bool) -> Answer {
    let Some(side) = side(admin, from_group) else { return Answer::not_found() };
    let found = async {
        let own = crud::existing(admin, call, &side.own, call.parameter(0)).await?;
        let other = crud::existing(admin, call, &side.other, call.parameter(1)).await?;
        let memberships = memberships(admin, &side, &own).await.map_err(|e| failure::of_store(&e))?;
        let membership = memberships.into_iter().find(|m| named(m, side.other_field) == Some(other.id));
        Ok::<_, Answer>((other, membership.ok_or_else(Answer::not_found)?))
    };
    let (other, membership) = match found.await {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    if call.method == Method::DELETE {
        return remove(admin, call, &side, &membership).await.map_or_else(|answer| answer, |()| Answer::no_content());
    }
    crud::show(admin, &side.other, other, StatusCode::OK).await
}

async fn memberships(admin: &Admin, side: &Side, own: &Row) -> Result<Vec<Row>, StoreError> {
    let (field, id) = (side.own_field, own.id);
    admin.documents.conductor.read(move |rows| rows.referrers(MEMBERSHIPS, field, id)).await
}

fn named(row: &Row, field: &str) -> Option<Uuid> {
    row.document.get(field)?.get("id")?.as_str().and_then(|id| Uuid::parse_str(id).ok())
}

async fn others(admin: &Admin, side: &Side, own: &Row) -> Result<Vec<Value>, Answer> {
    let memberships = memberships(admin, side, own).await.map_err(|e| failure::of_store(&e))?;
    let ids: Vec<Uuid> = memberships.iter().filter_map(|row| named(row, side.other_field)).collect();
    let (other, workspace) = (Arc::clone(&side.other), own.workspace);
    let mut shown = Vec::with_capacity(ids.len());
    for id in ids {
        let row = admin.documents.find(&other, workspace, &Address::Id(id)).await.map_err(|e| failure::of_store(&e))?;
        if let Some(row) = row {
            shown.push(admin.documents.show(&other, row).await.map_err(|e| failure::of_store(&e))?);
        }
    }
    Ok(shown)
}

async fn plugins(admin: &Admin, group: &Row) -> Result<Vec<Value>, Answer> {
    let Some(plugins) = admin.documents.registry.get("plugins") else { return Ok(Vec::new()) };
    let query = Query {
        entity: "plugins".into(),
        workspace: Some(group.workspace),
        parent: Some(("consumer_group".into(), group.id)),
        tags: Tags::Whatever,
        after: None,
        limit: MOST,
    };
    let rows = admin.documents.page(plugins, query).await.map_err(|e| failure::of_store(&e))?;
    Ok(rows.into_iter().map(|(_, plugin)| plugin).collect())
}

async fn add(admin: &Admin, call: &Call, side: &Side, own: &Row) -> Result<Answer, Answer> {
    let names = wanted(call, side.argument);
    if names.is_empty() {
        return Err(Answer::bad(format!("must provide {}", side.argument)));
    }
    let mut added = Vec::with_capacity(names.len());
    for name in names {
        let other = crud::existing(admin, call, &side.other, &name).await?;
        let mut membership = Document::new();
        membership.insert(side.own_field.to_owned(), json!({ "id": own.id.to_string() }));
        membership.insert(side.other_field.to_owned(), json!({ "id": other.id.to_string() }));
        let inserted = admin.documents.insert(&side.memberships, call.workspace, membership).await;
        inserted.map_err(|error| failure::of_change(&error, &side.memberships, Deed::Create))?;
        added.push(admin.documents.show(&side.other, other).await.map_err(|e| failure::of_store(&e))?);
    }
    let own = admin.documents.show(&side.own, own.clone()).await.map_err(|e| failure::of_store(&e))?;
    let mut body = Document::new();
    body.insert(side.own_name.to_owned(), own);
    body.insert(side.others_name.to_owned(), added.into());
    Ok(Answer::json(StatusCode::CREATED, Value::Object(body)))
}

/// One name, or a list of them.
fn wanted(call: &Call, argument: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().or_else(|| value.get("id")?.as_str()).map(ToOwned::to_owned);
    match &call.body {
        Body::Json(body) => match body.get(argument) {
            Some(Value::Array(items)) => items.iter().filter_map(text).collect(),
            Some(one) => text(one).into_iter().collect(),
            None => Vec::new(),
        },
        Body::Form(form) => match form.get(argument) {
            Some(crate::form::Node::Texts(texts)) => texts.clone(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

async fn remove_all(admin: &Admin, call: &Call, side: &Side, own: &Row) -> Result<Answer, Answer> {
    for membership in memberships(admin, side, own).await.map_err(|e| failure::of_store(&e))? {
        remove(admin, call, side, &membership).await?;
    }
    Ok(Answer::no_content())
}

async fn remove(admin: &Admin, call: &Call, side: &Side, membership: &Row) -> Result<(), Answer> {
    let address = Address::Id(membership.id);
    let removed = admin.documents.delete(&side.memberships, call.workspace, &address).await;
    removed.map(drop).map_err(|error| failure::of_change(&error, &side.memberships, Deed::Remove(&address)))
}
