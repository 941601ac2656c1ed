//! Settings of request-termination.

use gibbon_schema::{Schema, typedefs};
use serde_json::Value;

/// The answer to give, and when.
#[derive(Schema, Debug)]
#[schema(custom = check_exclusive)]
pub struct Config {
    /// Status of the answer.
    #[schema(required, default = 503, between(100, 599))]
    pub status_code: u16,
    /// Text of the JSON answer's `message`, in place of the usual one for the status.
    pub message: Option<String>,
    /// Media type of `body`.
    pub content_type: Option<String>,
    /// The whole body, sent as it is.
    pub body: Option<String>,
    /// Answers with a description of the request instead. It shows every header, credentials included: for
    /// debugging only.
    #[schema(required, default = false)]
    pub echo: bool,
    /// Only requests with a header or a query argument of this name are answered.
    #[schema(custom = typedefs::check_header_name)]
    pub trigger: Option<String>,
}

/// Which settings exclude each other.
fn check_exclusive(config: &Value) -> Result<(), String> {
    let given = |name: &str| config.get(name).is_some_and(|value| !value.is_null());
    if given("message") && (given("content_type") || given("body")) {
        return Err("message cannot be used with content_type or body".to_owned());
    }
    if given("content_type") && !given("body") {
        return Err("content_type requires a body".to_owned());
    }
    if config.get("echo") == Some(&Value::Bool(true)) && (given("content_type") || given("body")) {
        return Err("echo cannot be used with content_type and body".to_owned());
    }
    Ok(())
}
