//! Requests for handlers, and how a phase ended.

use bytes::Bytes;
use gibbon_message::Method;
use gibbon_pdk::{Exchange, Fault, Reply, ReplyBody, RequestBody};
use serde_json::Value;

/// How a phase ended.
#[derive(Debug)]
pub enum Ended {
    Next,
    Reply(Box<Reply>),
    Fault(Box<Fault>),
}

impl Ended {
    /// Whether the next plugin would run.
    #[must_use]
    pub fn is_next(&self) -> bool {
        matches!(self, Ended::Next)
    }

    /// The answer given.
    ///
    /// # Panics
    /// When there was none.
    #[must_use]
    pub fn reply(self) -> Reply {
        match self {
            Ended::Reply(reply) => *reply,
            other => panic!("expected a reply, got {other:?}"),
        }
    }

    /// The fault raised.
    ///
    /// # Panics
    /// When there was none.
    #[must_use]
    pub fn fault(self) -> Fault {
        match self {
            Ended::Fault(fault) => *fault,
            other => panic!("expected a fault, got {other:?}"),
        }
    }
}

/// The body of the request that is still on the wire.
pub(crate) struct OnTheWire(pub Bytes);

/// An exchange for `"METHOD target"` with `Host: api.test`, from 10.0.0.1.
///
/// # Panics
/// When the line is no method and target.
#[must_use]
pub fn request(line: &str, headers: &[(&str, &str)]) -> Exchange {
    let (method, target) = line.split_once(' ').expect("METHOD target");
    let mut x = Exchange::default();
    x.request.method = Method::parse(method.as_bytes()).expect("a method");
    x.request.target = target.as_bytes().to_vec();
    x.request.headers.append("Host", "api.test");
    for (name, value) in headers {
        x.request.headers.append(name, value);
    }
    x.client.ip = [10, 0, 0, 1].into();
    x.client.peer_ip = x.client.ip;
    x.client.port = 40_000;
    x.client.peer_port = 40_000;
    x.client.local = ([127, 0, 0, 1], 8000).into();
    x.client.published_port = 8000;
    x.destination.path = x.request.path().to_vec();
    x
}

/// The exchange with a body that nobody has read yet, and its Content-Length.
#[must_use]
pub fn with_body(mut x: Exchange, body: &str) -> Exchange {
    x.request.headers.set("Content-Length", body.len().to_string());
    x.body = RequestBody::Unread;
    x.slots.set(OnTheWire(Bytes::copy_from_slice(body.as_bytes())));
    x
}

/// The body of a reply as JSON, whichever way it was given.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn json_body(reply: &Reply) -> Value {
    match &reply.body {
        ReplyBody::Json(value) => value.clone(),
        ReplyBody::Bytes(bytes) => serde_json::from_slice(bytes).expect("a body of JSON"),
        other => panic!("expected a body of JSON, got {other:?}"),
    }
}
