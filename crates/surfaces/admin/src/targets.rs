//! Targets live below their upstream only. They are shown newest first, and PUT changes one that exists.

use std::sync::Arc;

use gibbon_model::EntityDef;
use gibbon_store::{Address, Key, Query, Row};
use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::Call;
use crate::failure::{self, Deed};
use crate::page::Window;
use crate::rbac::Action;
use crate::{Admin, crud};

/// More targets than this are not shown; upstreams have a few hundred at most.
const MOST: usize = 100_000;

pub struct Kinds {
    pub upstreams: Arc<EntityDef>,
    pub targets: Arc<EntityDef>,
}

pub fn kinds(admin: &Admin) -> Option<Kinds> {
    let get = |name| admin.documents.registry.get(name).map(Arc::clone);
    Some(Kinds { upstreams: get("upstreams")?, targets: get("targets")? })
}

/// All targets of an upstream, newest first.
pub async fn of_upstream(admin: &Admin, call: &Call, kinds: &Kinds, upstream: &Row) -> Result<Vec<Value>, Answer> {
    let window = Window::of(&call.arguments, true)?;
    let query = Query {
        entity: "targets".into(),
        workspace: Some(upstream.workspace),
        parent: Some(("upstream".into(), upstream.id)),
        tags: window.tags,
        after: None,
        limit: MOST,
    };
    let rows = admin.documents.page(&kinds.targets, query).await.map_err(|e| failure::of_store(&e))?;
    let seen = rows.into_iter().filter(|(id, _)| call.may(upstream.workspace, *id, Action::Read));
    let mut targets: Vec<Value> = seen.map(|(_, value)| value).collect();
    let made = |target: &Value| target.get("created_at").and_then(Value::as_f64).unwrap_or(0.0);
    targets.sort_by(|a, b| made(b).total_cmp(&made(a)));
    Ok(targets)
}

/// A slice of the list; the offset is a number here.
pub fn slice(call: &Call, path: &str, targets: Vec<Value>) -> Result<Value, Answer> {
    let window = Window::of(&call.arguments, true)?;
    let start: usize = call.arguments.get("offset").and_then(|offset| offset.parse().ok()).unwrap_or(0);
    let end = start.saturating_add(window.size);
    let more = targets.len() > end;
    let data: Vec<Value> = targets.into_iter().skip(start).take(window.size).collect();
    Ok(match more {
        true => json!({ "data": data, "next": format!("{path}?offset={end}"), "offset": end.to_string() }),
        false => json!({ "data": data, "next": null }),
    })
}

pub async fn collection(admin: &Admin, call: &Call) -> Answer {
    let Some(kinds) = kinds(admin) else { return Answer::not_found() };
    let upstream = match crud::existing(admin, call, &kinds.upstreams, call.parameter(0)).await {
        Ok(upstream) => upstream,
        Err(answer) => return answer,
    };
    if call.method == Method::POST {
        return match crud::fields(call, &kinds.targets, Some(("upstream", upstream.id))) {
            Ok(document) => crud::insert(admin, call.workspace, &kinds.targets, document).await,
            Err(answer) => answer,
        };
    }
    listed(admin, call, &kinds, &upstream, "targets").await
}

pub async fn all(admin: &Admin, call: &Call) -> Answer {
    let Some(kinds) = kinds(admin) else { return Answer::not_found() };
    match crud::existing(admin, call, &kinds.upstreams, call.parameter(0)).await {
        Ok(upstream) => listed(admin, call, &kinds, &upstream, "targets/all").await,
        Err(answer) => answer,
    }
}

async fn listed(admin: &Admin, call: &Call, kinds: &Kinds, upstream: &Row, path: &str) -> Answer {
    let path = format!("/upstreams/{}/{path}", upstream.id);
    let page = of_upstream(admin, call, kinds, upstream).await.and_then(|targets| slice(call, &path, targets));
    page.map_or_else(|answer| answer, Answer::ok)
}

/// The target a path names by identifier or address.
pub async fn find(admin: &Admin, kinds: &Kinds, upstream: &Row, text: &str) -> Result<Option<Row>, Answer> {
    let def = Arc::clone(&kinds.targets);
    let (id, workspace) = (upstream.id, upstream.workspace);
    let text = text.to_owned();
    let read = move |rows: &mut dyn gibbon_store::Rows| {
        let target = match Uuid::parse_str(&text) {
            Ok(target) => Some(target),
            Err(_) => {
                let address = gibbon_model::normalise_target(&text).unwrap_or(text);
                let fields = json!({"upstream": {"id": id.to_string()}, "target": address});
                let fields = fields.as_object().cloned().unwrap_or_default();
                rows.owner(&Key::of_several(&def, workspace, &fields))?
            }
        };
        match target {
            Some(target) => rows.get("targets", target),
            None => Ok(None),
        }
    };
    let row = admin.documents.conductor.read(read).await.map_err(|e| failure::of_store(&e))?;
    let own = |row: &Row| {
        let of = row.document.get("upstream").and_then(|u| u.get("id")).and_then(Value::as_str);
        of.and_then(|of| Uuid::parse_str(of).ok()) == Some(id)
    };
    Ok(row.filter(own))
}

pub async fn entity(admin: &Admin, call: &Call) -> Answer {
    let Some(kinds) = kinds(admin) else { return Answer::not_found() };
    let upstream = match crud::existing(admin, call, &kinds.upstreams, call.parameter(0)).await {
        Ok(upstream) => upstream,
        Err(answer) => return answer,
    };
    let row = match find(admin, &kinds, &upstream, call.parameter(1)).await {
        Ok(row) => row,
        Err(answer) => return answer,
    };
    let Some(row) = row else {
        return if call.method == Method::DELETE { Answer::no_content() } else { Answer::not_found() };
    };
    let (def, address) = (&kinds.targets, Address::Id(row.id));
    let action = match call.method {
        Method::GET => Action::Read,
        Method::DELETE => Action::Delete,
        _ => Action::Update,
    };
    if let Err(answer) = call.demand(&row, action) {
        return answer;
    }
    match call.method {
        Method::GET => crud::show(admin, def, row, http::StatusCode::OK).await,
        Method::DELETE => match admin.documents.delete(def, call.workspace, &address).await {
            Ok(_) => Answer::no_content(),
            Err(error) => failure::of_change(&error, def, Deed::Remove(&address)),
        },
        _ => match crud::fields(call, def, None) {
            Ok(changes) => match admin.documents.update(def, call.workspace, &address, changes).await {
                Ok(row) => crud::show(admin, def, row, http::StatusCode::OK).await,
                Err(error) => failure::of_change(&error, def, Deed::Update(&address)),
            },
            Err(answer) => answer,
        },
    }
}
