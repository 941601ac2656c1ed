//! Which plugins are linked to a partial.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::{Admin, crud, failure};

pub async fn links(admin: &Admin, call: &Call) -> Answer {
    let Some(partials) = admin.documents.registry.get("partials").map(Arc::clone) else { return Answer::not_found() };
    let partial = match crud::existing(admin, call, &partials, call.parameter(0)).await {
        Ok(partial) => partial,
        Err(answer) => return answer,
    };
    let rows = admin.documents.conductor.read(move |rows| rows.referrers("plugins", "partials", partial.id)).await;
    match rows {
        Ok(rows) => {
            let shown: Vec<Value> = rows
                .iter()
                .map(|row| {
                    let field = |name: &str| row.document.get(name).cloned().unwrap_or(Value::Null);
                    json!({ "id": row.id.to_string(), "name": field("name"), "instance_name": field("instance_name") })
                })
                .collect();
            Answer::ok(json!({ "count": shown.len(), "data": shown, "next": null }))
        }
        Err(error) => failure::of_store(&error),
    }
}
