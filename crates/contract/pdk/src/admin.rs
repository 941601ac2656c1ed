//! Paths that a plugin adds to the Admin API, e.g. `/proxy-cache`. They run on the control runtime.

use std::borrow::Cow;
use std::sync::Arc;

use gibbon_message::Method;
use serde_json::Value;

use crate::SendFuture;

/// A call of a plugin's path.
#[derive(Clone, Debug)]
pub struct AdminCall {
    pub method: Method,
    /// The segments of the path behind the plugin's own first one, decoded.
    pub path: Vec<String>,
    /// Query arguments, decoded.
    pub query: Vec<(String, String)>,
    /// Fields of the body; null without one. Texts of a form are texts.
    pub body: Value,
}

/// An answer; an error without a body gets the page of its status.
#[derive(Clone, Debug, PartialEq)]
pub struct AdminAnswer {
    pub status: u16,
    pub body: Option<Value>,
}

impl AdminAnswer {
    #[must_use]
    pub fn empty(status: u16) -> Self {
        AdminAnswer { status, body: None }
    }

    #[must_use]
    pub fn json(status: u16, body: Value) -> Self {
        AdminAnswer { status, body: Some(body) }
    }

    #[must_use]
    pub fn message(status: u16, message: &str) -> Self {
        AdminAnswer::json(status, serde_json::json!({ "message": message }))
    }
}

/// What answers below one first segment.
pub trait AdminPaths: Send + Sync {
    /// `None` for a path that does not exist.
    fn answer(&self, call: AdminCall) -> SendFuture<'_, Option<AdminAnswer>>;
}

/// A first segment, and what answers below it.
pub type AdminRoot = (Cow<'static, str>, Arc<dyn AdminPaths>);
