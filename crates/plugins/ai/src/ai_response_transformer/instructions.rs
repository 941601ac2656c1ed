//! What a model may say about an answer, in JSON: `{"headers": {}, "status": 200, "body": ""}`.

use serde_json::Value;

/// The answer that a model wants.
#[derive(Debug, PartialEq, Eq)]
pub struct Instructions {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Instructions {
    /// Reads the model's words.
    ///
    /// # Errors
    /// They are no such JSON, or what they ask for is no answer.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let object = value.as_object().ok_or("not an object")?;
        let status = match object.get("status") {
            None | Some(Value::Null) => 200,
            Some(status) => status.as_u64().filter(|s| (200..=599).contains(s)).ok_or("no valid status")? as u16,
        };
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let mut headers = Vec::new();
        for (name, value) in object.get("headers").and_then(Value::as_object).into_iter().flatten() {
            // Length and framing are the gateway's.
            let framing = ["content-length", "transfer-encoding", "connection", "content-encoding"];
            if framing.iter().any(|f| name.eq_ignore_ascii_case(f)) {
                continue;
            }
            headers.push((name.clone(), text(value)));
        }
        Ok(Instructions { status, headers, body: object.get("body").map(text).unwrap_or_default() })
    }
}
