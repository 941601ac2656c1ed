//! A request becomes the call that it is bound to; the messages of the answer become JSON as they come.

use std::sync::Arc;

use bytes::Bytes;
use gibbon_message::{Method, uri};
use gibbon_pdk::{
    BodyChunk, Exchange, Fault, Flow, Handler, Host, Reply, ReplyBody, RequestBody, ResponseSource, Step,
};
use prost_reflect::{Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value};

use super::bindings::{Binding, Bindings};
use super::config::Config;
use crate::body;
use crate::grpc::{self, Frames, Proto};

/// One configuration.
pub struct Gateway {
    service: Service,
}

enum Service {
    Absent,
    Bound(Arc<Bindings>),
    Broken(Arc<str>),
}

/// A call under way.
struct Call {
    method: MethodDescriptor,
    frames: Frames,
    /// The answer is one of gRPC's and is being converted.
    active: bool,
    /// A message could not be converted; the rest is dropped.
    failed: bool,
}

impl Gateway {
    pub fn new(config: &Config) -> Self {
        let service = match Proto::load(super::PART.name, config.proto.as_deref()) {
            Proto::Absent => Service::Absent,
            Proto::Loaded(definitions) => Service::Bound(Arc::new(Bindings::of(&definitions))),
            Proto::Broken(why) => Service::Broken(why),
        };
        Gateway { service }
    }

    fn bindings(&self) -> Result<&Bindings, Flow> {
        match &self.service {
            Service::Absent => {
                Err(refusal("transcoding requests require a .proto file defining the service".to_owned()))
            }
            Service::Broken(why) => Err(Fault::plugin(why.to_string()).into()),
            Service::Bound(bindings) => Ok(bindings),
        }
    }

    fn begin<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Result<Step<'a>, Flow> {
        let bindings = self.bindings()?;
        let verb = x.request.method.as_str().to_ascii_lowercase();
        let path = String::from_utf8_lossy(x.request.path()).into_owned();
        let (binding, variables) =
            bindings.find(&verb, &path).map_err(|why| refusal(format!("failed to transcode .proto file {why}")))?;
        let message = binding.method.input();
        let fields = match binding.body {
            Some(_) if x.body.is_unread() => {
                x.body_limit = Some(grpc::BODY_LIMIT);
                return Ok(Step::Now(Flow::ReadBody));
            }
            Some(_) => grpc::fields_of(&message, variables),
            None => {
                grpc::fields_of(&message, arguments(x).iter().map(|(n, v)| (n.as_str(), v.clone())).chain(variables))
            }
        };
        Ok(Step::Later(Box::pin(call(x, host, binding, fields))))
    }
}

/// The query's arguments. What the path says comes behind them and wins: rules about paths must hold.
fn arguments(x: &Exchange) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = uri::arguments(x.query().unwrap_or_default());
    all.map(|(name, value)| (text(&name), value.map_or_else(|| "true".to_owned(), |value| text(&value)))).collect()
}

async fn call<'a>(x: &'a mut Exchange, host: &'a Host, binding: &'a Binding, fields: Map<String, Value>) -> Flow {
    let body = match binding.body {
        Some(_) => body::whole(&x.body, host, grpc::LONGEST_MESSAGE).await,
        None => Ok(Bytes::new()),
    };
    let converted = match body {
        Ok(whole) => {
            let (mapping, method) = (binding.body.clone(), binding.method.clone());
            body::work(host, whole, move |whole| to_grpc(&whole, mapping.as_deref(), fields, &method)).await
        }
        Err(why) => Err(why),
    };
    match converted {
        Ok(Ok(message)) => forward(x, &binding.method, message),
        Ok(Err(why)) => return refusal(why),
        Err(why) => return Fault::plugin(why).into(),
    }
    Flow::Next
}

/// The framed message of a call. Fields that the path gave stay as they are, whatever the body says.
fn to_grpc(
    body: &[u8],
    mapping: Option<&str>,
    fields: Map<String, Value>,
    method: &MethodDescriptor,
) -> Result<Bytes, String> {
    let mut message = Map::new();
    if let Some(mapping) = mapping.filter(|_| !body.is_empty()) {
        match (mapping, grpc::decode_json(body)?) {
            ("*", Value::Object(all)) => message = all,
            ("*", _) => return Err("body must be a table".to_owned()),
            (field, value) => {
                message.insert(field.to_owned(), value);
            }
        }
    }
    let input = method.input();
    lay_over(&mut message, fields, &input);
    let encoded = grpc::read_json(&input, Value::Object(message)).map_err(|why| {
        tracing::info!("grpc-gateway: {why}");
        "failed to encode payload".to_owned()
    })?;
    Ok(Bytes::from(grpc::frame(0, &encoded)))
}

/// Puts fields into a message, in place of those that it has under either of their names.
fn lay_over(message: &mut Map<String, Value>, fields: Map<String, Value>, of: &MessageDescriptor) {
    for (name, value) in fields {
        let Some(field) = of.get_field_by_name(&name) else { continue };
        if field.json_name() != name
            && let Some(earlier) = message.remove(field.json_name())
        {
            message.entry(name.clone()).or_insert(earlier);
        }
        match (message.get_mut(&name), value, field.kind()) {
            (Some(Value::Object(inside)), Value::Object(more), Kind::Message(inner)) => lay_over(inside, more, &inner),
            (_, value, _) => {
                message.insert(name, value);
            }
        }
    }
}

fn forward(x: &mut Exchange, method: &MethodDescriptor, message: Bytes) {
    x.body = RequestBody::Whole(message);
    x.request.method = Method::Post;
    x.request.headers.set("Content-Type", "application/grpc");
    x.request.headers.set("TE", "trailers");
    // What it would compress could not be converted.
    x.request.headers.remove("grpc-accept-encoding");
    x.destination.path = format!("/{}/{}", method.parent_service().full_name(), method.name()).into_bytes();
    x.destination.query = Some(Vec::new());
    x.slots.set(Call { method: method.clone(), frames: Frames::default(), active: false, failed: false });
}

fn refusal(message: String) -> Flow {
    tracing::info!("grpc-gateway: {message}");
    Reply { status: 400, body: ReplyBody::Bytes(message.into()), ..Reply::default() }.into()
}

fn preflight() -> Reply {
    let reply = Reply { status: 200, body: ReplyBody::Bytes(Bytes::from_static(b"OK")), ..Reply::default() };
    reply
        .header("Content-Type", "application/json")
        .header("Access-Control-Allow-Origin", "*")
        .header("Access-Control-Allow-Methods", "GET,POST,PATCH,DELETE")
        .header("Access-Control-Allow-Headers", "content-type")
}

/// The HTTP status of a gRPC status.
fn http_status(grpc: &str) -> u16 {
    match grpc.trim().parse::<u8>() {
        Ok(0) => 200,
        Ok(1) => 499,
        Ok(3 | 9 | 11) => 400,
        Ok(4) => 504,
        Ok(5) => 404,
        Ok(6 | 10) => 409,
        Ok(7) => 403,
        Ok(8) => 429,
        Ok(14) => 503,
        Ok(16) => 401,
        _ => 500,
    }
}

impl Handler for Gateway {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        x.added_headers.set("Access-Control-Allow-Origin", "*");
        if x.request.method == Method::Options {
            return Step::reply(preflight());
        }
        self.begin(x, host).unwrap_or_else(Step::Now)
    }

    fn header_filter(&self, x: &mut Exchange, _: &Host) {
        if x.response_source != ResponseSource::Service {
            return;
        }
        // A call that fails at once has its status in the head.
        let status = x.response.headers.get_str("grpc-status").map(http_status);
        let is_grpc = grpc::is_grpc(x.response.headers.get_str("content-type"));
        let Some(call) = x.slots.get_mut::<Call>().filter(|_| is_grpc) else { return };
        call.active = true;
        x.response.headers.set("Content-Type", "application/json");
        x.response.headers.remove("content-length");
        if let Some(status) = status {
            x.response.status = status;
        }
    }

    fn body_filter(&self, x: &mut Exchange, chunk: &mut BodyChunk, _: &Host) {
        let id = x.id;
        let Some(call) = x.slots.get_mut::<Call>().filter(|call| call.active) else { return };
        let mut out = Vec::new();
        if !call.failed {
            call.frames.add(&chunk.data);
            if let Err(why) = call.convert(&mut out) {
                tracing::error!(request_id = %id, "grpc-gateway: the answer cannot be converted: {why}");
                call.failed = true;
            }
        }
        chunk.data = out;
    }
}

impl Call {
    /// The messages that are there whole, in JSON; those of a stream are lines.
    fn convert(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        while let Some(message) = self.frames.next().map_err(|error| error.to_string())? {
            out.extend(grpc::write_json(&self.method.output(), message)?);
            if self.method.is_server_streaming() {
                out.push(b'\n');
            }
        }
        Ok(())
    }
}
