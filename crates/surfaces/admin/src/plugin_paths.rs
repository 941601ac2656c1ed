//! Paths that plugins add, looked for where no other path fits. What they mean is the plugin's business.

use bytes::Bytes;
use gibbon_message::{Method, uri};
use gibbon_pdk::{AdminAnswer, AdminCall};
use http::StatusCode;
use serde_json::Value;

use crate::answer::{Answer, Content};
use crate::body::{self, Body};
use crate::call::decoded;
use crate::routes::segments;
use crate::{Admin, Surface};

impl Admin {
    /// Lets the plugin answer whose path this is.
    pub(crate) async fn by_plugin(&self, surface: Surface, head: &http::request::Parts, bytes: Bytes) -> Answer {
        let mut path = segments(head.uri.path()).map(decoded);
        let first = path.next().filter(|_| surface == Surface::Admin).unwrap_or_default();
        let Some(paths) = self.node.plugin_paths(&first) else { return Answer::not_found() };
        let body = match body::of(head, bytes, false) {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        let body = match (&body, body.fields_as_sent()) {
            (Body::Nothing, _) => Value::Null,
            (_, Ok(fields)) => Value::Object(fields),
            (_, Err(answer)) => return answer,
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let query = uri::arguments(head.uri.query().unwrap_or_default().as_bytes());
        let call = AdminCall {
            method: Method::parse(head.method.as_str().as_bytes()).unwrap_or_default(),
            path: path.collect(),
            query: query.map(|(name, value)| (text(&name), value.as_deref().map(text).unwrap_or_default())).collect(),
            body,
        };
        paths.answer(call).await.map_or_else(Answer::not_found, rendered)
    }
}

fn rendered(answer: AdminAnswer) -> Answer {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match answer.body {
        Some(body) => Answer::json(status, body),
        None if answer.status >= 400 => page(status),
        None => Answer::nothing(status),
    }
}

/// The page that nginx has for a status.
fn page(status: StatusCode) -> Answer {
    let line = format!("{} {}", status.as_str(), gibbon_message::reason(status.as_u16()));
    let text = format!(
        "<html>\r\n<head><title>{line}</title></head>\r\n<body>\r\n<center><h1>{line}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    Answer { status, content: Content::Text { media_type: "text/html; charset=UTF-8", text }, headers: Vec::new() }
}
