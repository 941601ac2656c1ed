//! OpenAI's list of models.

use crate::Result;
use crate::canonical::ModelEntry;
use crate::json::Fields;
use serde_json::{Value, json};

/// Reads `{"object":"list","data":[...]}`, or the bare array some servers answer.
pub(in crate::dialect) fn read(body: &[u8]) -> Result<Vec<ModelEntry>> {
    let value: Value = serde_json::from_slice(body).map_err(|_| crate::Error::NotJson { what: "list of models" })?;
    let value = if value.is_array() { json!({"data": value}) } else { value };
    let mut list = Fields::of(value, crate::json::Path::Root)?;
    let models = list.each("data", |mut m| {
        Ok(ModelEntry {
            id: m.need_string("id")?,
            created: m.take("created").and_then(|c| c.as_u64()),
            owner: m.lenient_string("owned_by"),
            title: m.lenient_string("display_name"),
        })
    })?;
    models.ok_or_else(|| list.must_be("data", "an array"))
}

/// Writes it.
pub(in crate::dialect) fn write(models: &[ModelEntry]) -> Vec<u8> {
    let data: Vec<Value> = models
        .iter()
        .map(|m| {
            let owner = m.owner.as_deref().unwrap_or("system");
            json!({"id": m.id, "object": "model", "created": m.created.unwrap_or(0), "owned_by": owner})
        })
        .collect();
    json!({"object": "list", "data": data}).to_string().into_bytes()
}
