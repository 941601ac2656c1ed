//! What a call is answered with.

use std::borrow::Cow;

use http::StatusCode;
use serde_json::{Value, json};

/// The body of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Nothing,
    Json(Value),
    /// JSON that is written already.
    Written(String),
    Text {
        media_type: &'static str,
        text: String,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub content: Content,
    pub headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub fn json(status: StatusCode, value: Value) -> Self {
        Answer { status, content: Content::Json(value), headers: Vec::new() }
    }

    pub fn ok(value: Value) -> Self {
        Self::json(StatusCode::OK, value)
    }

    pub fn nothing(status: StatusCode) -> Self {
        Answer { status, content: Content::Nothing, headers: Vec::new() }
    }

    pub fn no_content() -> Self {
        Self::nothing(StatusCode::NO_CONTENT)
    }

    pub fn message(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self::json(status, json!({ "message": message.into() }))
    }

    pub fn bad(message: impl Into<Cow<'static, str>>) -> Self {
        Self::message(StatusCode::BAD_REQUEST, message)
    }

    pub fn not_found() -> Self {
        Self::message(StatusCode::NOT_FOUND, "Not found")
    }

    pub fn method_not_allowed() -> Self {
        Self::message(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
    }

    pub fn unexpected() -> Self {
        Self::message(StatusCode::INTERNAL_SERVER_ERROR, "An unexpected error occurred")
    }

    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
