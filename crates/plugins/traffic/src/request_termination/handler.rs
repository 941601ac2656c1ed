//! The answer is made once per configuration; only an echo depends on the request.

use gibbon_message::uri;
use gibbon_pdk::{Exchange, Flow, Handler, Host, Reply, Step};
use serde_json::json;

use super::config::Config;
use super::echo;

pub struct Terminator {
    status: u16,
    message: Option<String>,
    echo: bool,
    trigger: Option<String>,
    /// What everybody gets, unless the request is echoed.
    reply: Reply,
}

impl Terminator {
    pub fn new(config: Config) -> Self {
        let status = config.status_code;
        let message = config.message.or_else(|| usual_message(status).map(str::to_owned));
        let reply = match (config.body, &message) {
            (Some(body), _) => own_body(status, config.content_type.as_deref(), body),
            (None, Some(message)) => {
                Reply::bytes(status, "application/json; charset=utf-8", json!({ "message": message }).to_string())
            }
            (None, None) => Reply::new(status),
        };
        Terminator { status, message, echo: config.echo, trigger: config.trigger, reply }
    }

    fn is_triggered(&self, x: &Exchange) -> bool {
        let Some(name) = &self.trigger else { return true };
        x.request.headers.contains(name)
            || uri::arguments(x.query().unwrap_or_default()).any(|(argument, _)| *argument == *name.as_bytes())
    }
}

impl Handler for Terminator {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        if !self.is_triggered(x) {
            return Step::NEXT;
        }
        if !self.echo {
            return Step::reply(self.reply.clone());
        }
        if x.body.is_unread() {
            return Step::Now(Flow::ReadBody);
        }
        Step::reply(Reply::json(self.status, echo::describe(x, host, self.message.as_deref())))
    }
}

fn own_body(status: u16, content_type: Option<&str>, body: String) -> Reply {
    match content_type {
        Some(content_type) => Reply::bytes(status, content_type, body),
        None => Reply { body: gibbon_pdk::ReplyBody::Bytes(body.into()), ..Reply::new(status) },
    }
}

/// What is said of a status when the configuration says nothing; other statuses have no body then.
fn usual_message(status: u16) -> Option<&'static str> {
    Some(match status {
        401 => "Unauthorized",
        404 => "Not found",
        405 => "Method not allowed",
        500 => "An unexpected error occurred",
        502 => "Bad Gateway",
        503 => "Service unavailable",
        _ => return None,
    })
}
