//! Settings of request-transformer.

use gibbon_schema::{Schema, typedefs};
use serde_json::Value;

use super::template;
use crate::pair;

/// What is changed, in this order: path, method, headers, body, query string.
#[derive(Schema, Debug)]
pub struct Config {
    /// The method sent upstream in place of the client's.
    #[schema(matches = "^%u+$")]
    pub http_method: Option<String>,
    /// What is taken away.
    pub remove: Names,
    /// What gets another name: `old:new`.
    pub rename: Renames,
    /// What gets another value if it is there: `name:value`.
    pub replace: Replacements,
    /// What is set if it is absent: `name:value`.
    pub add: Pairs,
    /// What is set beside what is there: `name:value`.
    pub append: Pairs,
}

/// Names in each part of a request.
#[derive(Schema, Debug)]
pub struct Names {
    /// Names of body parameters.
    #[schema(required, default = [])]
    pub body: Vec<String>,
    /// Names of headers.
    #[schema(required, default = [], elements(custom = typedefs::check_header_name))]
    pub headers: Vec<String>,
    /// Names of query parameters.
    #[schema(required, default = [])]
    pub querystring: Vec<String>,
}

/// New names in each part of a request.
#[derive(Schema, Debug)]
pub struct Renames {
    /// Names for the body.
    #[schema(required, default = [], elements(custom = check_pair))]
    pub body: Vec<String>,
    /// Names for the headers.
    #[schema(required, default = [], elements(matches = "^[^:]+:.*$", custom = pair::check_renamed_header))]
    pub headers: Vec<String>,
    /// Names for the query string.
    #[schema(required, default = [], elements(custom = check_pair))]
    pub querystring: Vec<String>,
}

/// Pairs in each part of a request. Values may hold `$(…)`.
#[derive(Schema, Debug)]
pub struct Pairs {
    /// Pairs for the body.
    #[schema(required, default = [], elements(custom = check_pair))]
    pub body: Vec<String>,
    /// Pairs for the headers.
    #[schema(required, default = [], elements(matches = "^[^:]+:.*$", custom = check_header_pair))]
    pub headers: Vec<String>,
    /// Pairs for the query string.
    #[schema(required, default = [], elements(custom = check_pair))]
    pub querystring: Vec<String>,
}

/// Pairs, and the path.
#[derive(Schema, Debug)]
pub struct Replacements {
    /// Pairs for the body.
    #[schema(required, default = [], elements(custom = check_pair))]
    pub body: Vec<String>,
    /// Pairs for the headers.
    #[schema(required, default = [], elements(matches = "^[^:]+:.*$", custom = check_header_pair))]
    pub headers: Vec<String>,
    /// Pairs for the query string.
    #[schema(required, default = [], elements(custom = check_pair))]
    pub querystring: Vec<String>,
    /// The path sent upstream; may hold `$(…)`.
    pub uri: Option<String>,
}

/// A pair has a value, and the value is a template that can be read.
pub fn check_pair(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let (_, value) = pair::split(text);
    if value.is_empty() {
        return Err("key '".to_owned() + text + "' has no value");
    }
    template::check(value).map_err(|e| e.to_string())
}

/// The name of a header pair is a header name.
pub fn check_header_pair(value: &Value) -> Result<(), String> {
    let (name, _) = pair::split(value.as_str().unwrap_or_default());
    typedefs::check_header_name(&Value::from(name)).map_err(|_| format!("'{name}' is not a valid header"))
}
