//! Every tag of every entity.

use std::sync::Arc;

use gibbon_store::{StoreError, Tagged};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::Call;
use crate::page::Window;
use crate::{Admin, failure};

pub async fn all(admin: &Admin, call: &Call) -> Answer {
    page(admin, call, None).await
}

pub async fn one(admin: &Admin, call: &Call) -> Answer {
    let tag = call.parameter(0);
    if gibbon_schema::validators::tag(&Value::from(tag)).is_err() {
        return failure::invalid_options(json!({"tags": format!("invalid tag '{tag}'")}));
    }
    page(admin, call, Some(tag.to_owned())).await
}

async fn page(admin: &Admin, call: &Call, tag: Option<String>) -> Answer {
    let window = match Window::of(&call.arguments, true) {
        Ok(window) => window,
        Err(answer) => return answer,
    };
    let path = tag.as_ref().map_or_else(|| "/tags".to_owned(), |tag| format!("/tags/{tag}"));
    let after = call.arguments.get("offset").and_then(place);
    let (workspace, limit) = (call.workspace, window.size + 1);
    let read = move |rows: &mut dyn gibbon_store::Rows| rows.tagged(workspace, tag.as_deref(), after.as_ref(), limit);
    let found: Result<Vec<Tagged>, StoreError> = admin.documents.conductor.read(read).await;
    match found {
        Ok(mut rows) => {
            let more = rows.len() > window.size;
            rows.truncate(window.size);
            let offset = rows.last().filter(|_| more).map(offset);
            let data: Vec<Value> = rows.iter().map(shown).collect();
            Answer::ok(match offset {
                Some(offset) => json!({ "data": data, "next": format!("{path}?offset={offset}"), "offset": offset }),
                None => json!({ "data": data, "next": null }),
            })
        }
        Err(error) => failure::of_store(&error),
    }
}

fn shown(row: &Tagged) -> Value {
    json!({ "entity_name": &*row.entity, "entity_id": row.id.to_string(), "tag": &*row.tag })
}

/// The place after a row; tags have neither commas nor slashes.
fn offset(row: &Tagged) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("{},{},{}", row.entity, row.id, row.tag))
}

fn place(offset: &str) -> Option<Tagged> {
    use base64::Engine as _;
    let text = String::from_utf8(base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(offset).ok()?).ok()?;
    let mut parts = text.splitn(3, ',');
    let entity: Arc<str> = parts.next()?.into();
    let id = Uuid::parse_str(parts.next()?).ok()?;
    Some(Tagged { entity, id, tag: parts.next()?.into() })
}
