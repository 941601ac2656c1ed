//! An answer of the gateway's own making.

use std::borrow::Cow;

use bytes::Bytes;
use gibbon_message::Headers;
use serde_json::Value;

/// What stands in the body of a [`Reply`].
#[derive(Clone, Debug, Default)]
pub enum ReplyBody {
    #[default]
    Empty,
    /// Bytes as they are; the Content-Type is the plugin's to set.
    Bytes(Bytes),
    /// Compact JSON, `application/json; charset=utf-8`: Kong's `kong.response.exit(status, table)`.
    Json(Value),
    /// The negotiated error body (JSON, HTML, XML, plain or gRPC by Accept) with this message, or the
    /// status' default: Kong's `kong.response.error`.
    Error(Option<Cow<'static, str>>),
}

/// A complete answer; the engine adds Server, latency and request-id headers.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Headers,
    pub body: ReplyBody,
    /// The answer is another server's (out of a cache, from a function): it leaves with the headers of a
    /// proxied one.
    pub proxied: bool,
    /// A server behind the gateway said it, though no upstream was chosen (a function): `Via` is added where the node
    /// shows it.
    pub via: bool,
}

impl Reply {
    #[must_use]
    pub fn new(status: u16) -> Self {
        Reply { status, ..Reply::default() }
    }

    /// The negotiated error body with the default message of the status.
    #[must_use]
    pub fn error(status: u16) -> Self {
        Reply { status, body: ReplyBody::Error(None), ..Reply::default() }
    }

    #[must_use]
    pub fn error_with(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Reply { status, body: ReplyBody::Error(Some(message.into())), ..Reply::default() }
    }

    #[must_use]
    pub fn json(status: u16, value: Value) -> Self {
        Reply { status, body: ReplyBody::Json(value), ..Reply::default() }
    }

    /// `{"message": …}`, as `kong.response.exit(status, { message = … })` gives it.
    #[must_use]
    pub fn message(status: u16, message: &str) -> Self {
        Reply::json(status, serde_json::json!({ "message": message }))
    }

    #[must_use]
    pub fn bytes(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut reply = Reply { status, body: ReplyBody::Bytes(body.into()), ..Reply::default() };
        reply.headers.append("Content-Type", content_type);
        reply
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.append(name, value);
        self
    }
}
