//! Requests in binary stream through untouched: their frames are gRPC's own. Text is decoded, JSON is encoded. Of the
//! answer every piece is converted as it comes; trailers become the last frame.

use bytes::Bytes;
use gibbon_message::Method;
use gibbon_pdk::{
    BodyChunk, Exchange, Fault, Flow, Handler, Host, Reply, ReplyBody, RequestBody, ResponseSource, Step,
};
use prost_reflect::MethodDescriptor;

use super::config::Config;
use super::media::{Media, from_text};
use crate::body;
use crate::grpc::{self, Frames, Proto};

/// One configuration.
pub struct Translator {
    proto: Proto,
    strips: bool,
    origin: Option<String>,
}

/// What is known of a call when its answer comes.
struct Call {
    media: Media,
    content_type: String,
    /// Of the calls in JSON.
    method: Option<MethodDescriptor>,
    frames: Frames,
    /// The answer is one of gRPC's and is being converted.
    active: bool,
    /// A message could not be converted; the rest is dropped.
    failed: Option<String>,
}

impl Translator {
    pub fn new(config: Config) -> Self {
        Translator {
            proto: Proto::load(super::PART.name, config.proto.as_deref()),
            strips: config.pass_stripped_path.unwrap_or(false),
            origin: config.allow_origin_header,
        }
    }

    fn preflight(&self) -> Reply {
        let reply = Reply { status: 200, body: ReplyBody::Bytes(Bytes::from_static(b"OK")), ..Reply::default() };
        let reply = reply.header("Content-Type", "application/grpc-web-text+proto");
        let reply = match &self.origin {
            Some(origin) => reply.header("Access-Control-Allow-Origin", origin),
            None => reply,
        };
        reply
            .header("Access-Control-Allow-Methods", "POST")
            .header("Access-Control-Allow-Headers", "content-type,x-grpc-web,x-user-agent")
    }

    /// What the request asks for, or what is wrong with it.
    fn call(&self, x: &Exchange) -> Result<Call, Flow> {
        let content_type = x.request.headers.get_str("content-type").unwrap_or_default();
        let media = Media::of(content_type);
        let method = if media.is_some_and(|media| !media.json) { None } else { Some(self.method(x)?) };
        let media = media.ok_or_else(|| refusal("the Content-Type is none of gRPC-Web".to_owned()))?;
        let content_type = content_type.to_owned();
        Ok(Call { media, content_type, method, frames: Frames::default(), active: false, failed: None })
    }

    fn method(&self, x: &Exchange) -> Result<MethodDescriptor, Flow> {
        let definitions = match &self.proto {
            Proto::Absent => {
                return Err(refusal("transcoding requests require a .proto file defining the service".to_owned()));
            }
            Proto::Broken(why) => return Err(Fault::plugin(why.to_string()).into()),
            Proto::Loaded(definitions) => definitions,
        };
        let path = String::from_utf8_lossy(&x.destination.path).into_owned();
        // The wording, spelling included, is what clients of Kong see.
        definitions.method(&path).cloned().ok_or_else(|| refusal(format!("Unkown path \"{path}\"")))
    }
}

fn refusal(message: String) -> Flow {
    tracing::info!("grpc-web: {message}");
    Reply { status: 400, body: ReplyBody::Bytes(message.into()), ..Reply::default() }.into()
}

/// The request's messages as the service expects them.
fn to_grpc(media: Media, method: Option<&MethodDescriptor>, body: Bytes) -> Result<Bytes, String> {
    let body = match media.text {
        true => Bytes::from(from_text(&body).ok_or("the body is not valid base64")?),
        false => body,
    };
    let Some(method) = method else { return Ok(body) };
    let mut frames = Frames::default();
    let json = if media.framed {
        frames.add(&body);
        frames.next().map_err(|error| error.to_string())?.ok_or("the body holds no message")?
    } else {
        &body
    };
    let message = grpc::read_json(&method.input(), grpc::decode_json(json)?)?;
    Ok(Bytes::from(grpc::frame(0, &message)))
}

impl Handler for Translator {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        if let Some(origin) = &self.origin {
            x.added_headers.set("Access-Control-Allow-Origin", origin);
        }
        if x.request.method == Method::Options {
            return Step::reply(self.preflight());
        }
        if x.slots.get::<Call>().is_none()
            && let Err(flow) = self.begin(x)
        {
            return Step::Now(flow);
        }
        self.convert(x, host)
    }

    fn header_filter(&self, x: &mut Exchange, _: &Host) {
        let is_grpc = grpc::is_grpc(x.response.headers.get_str("content-type"));
        let from_service = x.response_source == ResponseSource::Service;
        let Some(call) = x.slots.get_mut::<Call>().filter(|_| from_service && is_grpc) else { return };
        call.active = true;
        x.response.headers.set("Content-Type", &call.content_type);
        x.response.headers.remove("content-length");
    }

    fn body_filter(&self, x: &mut Exchange, chunk: &mut BodyChunk, _: &Host) {
        let Some(mut call) = x.slots.take::<Call>() else { return };
        if call.active {
            call.convert(&mut chunk.data);
            if chunk.last && call.media.framed {
                let trailers = grpc::frame(grpc::TRAILERS, &trailers(x, call.failed.as_deref()));
                chunk.data.extend(call.media.encode(trailers));
            }
            if chunk.last {
                x.response_trailers.clear();
            }
        }
        x.slots.set(call);
    }
}

impl Translator {
    /// Settles where the call goes and what it is. A method has one path, so what the route would take off it is given
    /// back unless the configuration says that the route's part is no part of it.
    fn begin(&self, x: &mut Exchange) -> Result<(), Flow> {
        if !self.strips && x.stripped_prefix.is_some() {
            x.destination.path.clear();
            x.destination.path.extend_from_slice(x.request.path());
        }
        let call = self.call(x)?;
        x.slots.set(call);
        Ok(())
    }

    fn convert<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        let Some(call) = x.slots.get::<Call>() else { return Step::NEXT };
        let (media, method) = (call.media, call.method.clone());
        if (media.text || media.json) && x.body.is_unread() {
            x.body_limit = Some(grpc::BODY_LIMIT);
            return Step::Now(Flow::ReadBody);
        }
        if media.json {
            // What it would compress could not be converted.
            x.request.headers.remove("grpc-accept-encoding");
        }
        x.request.headers.set("Content-Type", "application/grpc");
        x.request.headers.set("TE", "trailers");
        if !media.text && !media.json {
            return Step::NEXT;
        }
        Step::Later(Box::pin(async move {
            let converted = match body::whole(&x.body, host, grpc::LONGEST_MESSAGE).await {
                Ok(whole) => body::work(host, whole, move |whole| to_grpc(media, method.as_ref(), whole)).await,
                Err(why) => return Fault::plugin(why).into(),
            };
            match converted {
                Ok(Ok(converted)) => {
                    x.body = RequestBody::Whole(converted);
                    Flow::Next
                }
                Ok(Err(why)) => refusal(why),
                Err(why) => Fault::plugin(why).into(),
            }
        }))
    }
}

impl Call {
    /// A piece of the service's answer in the form that the browser asked for.
    fn convert(&mut self, data: &mut Vec<u8>) {
        if let Some(method) = &self.method {
            let mut out = Vec::new();
            if self.failed.is_none() {
                self.frames.add(data);
                self.failed = json(&mut self.frames, method, self.media.framed, &mut out).err();
            }
            *data = out;
        }
        let bytes = std::mem::take(data);
        *data = self.media.encode(bytes);
    }
}

/// The messages that are there whole, in JSON.
fn json(frames: &mut Frames, method: &MethodDescriptor, framed: bool, out: &mut Vec<u8>) -> Result<(), String> {
    while let Some(message) = frames.next().map_err(|error| error.to_string())? {
        let text = grpc::write_json(&method.output(), message)?;
        if framed {
            out.extend(grpc::frame(0, &text));
        } else {
            out.extend(text);
        }
    }
    Ok(())
}

/// The trailers as the last frame holds them: the status and its message first, whatever the service sent them in.
fn trailers(x: &Exchange, failed: Option<&str>) -> Vec<u8> {
    if let Some(why) = failed {
        tracing::error!(request_id = %x.id, "grpc-web: the answer cannot be converted: {why}");
        return b"grpc-status:13\r\ngrpc-message:the answer cannot be converted\r\n".to_vec();
    }
    let find = |name| x.response_trailers.get(name).or_else(|| x.response.headers.get(name));
    let mut out = Vec::new();
    line(&mut out, b"grpc-status", find("grpc-status").unwrap_or(b"0"));
    line(&mut out, b"grpc-message", find("grpc-message").unwrap_or_default());
    for (name, value) in x.response_trailers.iter() {
        if !name.eq_ignore_ascii_case(b"grpc-status") && !name.eq_ignore_ascii_case(b"grpc-message") {
            line(&mut out, name, value);
        }
    }
    out
}

/// Line breaks inside a value would make lines of their own.
fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let clean = |byte: &&u8| !matches!(**byte, b'\r' | b'\n' | 0);
    out.extend(name.iter().filter(clean).map(u8::to_ascii_lowercase));
    out.push(b':');
    out.extend(value.iter().filter(clean));
    out.extend_from_slice(b"\r\n");
}
