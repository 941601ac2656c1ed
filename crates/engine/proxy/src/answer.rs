//! Station 10: the answer leaves. An upstream's streams through, buffered only if a plugin asks; one of
//! our own is made whole first. Either way the header filters see the head before the wire does.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use gibbon_http::client::{ClientErrorKind, Reader};
use gibbon_http::{BodyLength, Responder, SendError};
use gibbon_message::{Headers, Method, Version};
use gibbon_pdk::{BodyChunk, Exchange, Fault, FaultKind, Phase, Reply, ReplyBody, ResponseSource, Retry, Source};
use gibbon_plan::Chain;

use crate::alongside::Beside;
use crate::attempts;
use crate::error_body::{self, Form};
use crate::forward::{Forwarding, Sent};
use crate::request_debug;
use crate::response_headers::{self, ShownLatencies};
use crate::transform;
use crate::walk::{self, Collection, Walked};
use crate::worker::Worker;

/// How an exchange was answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Answered {
    /// To the last byte.
    Whole,
    /// Begun, but cut off; the client sees that it is incomplete.
    Cut,
}

/// What the later phases run.
pub struct Stage<'a> {
    pub chain: &'a Chain,
    pub collection: &'a Collection,
}

/// Passes an upstream's answer on. `x.response` holds its head.
///
/// # Errors
/// Only before anything was sent: the try may be repeated.
pub async fn proxied<F: Future<Output = Sent>>(
    f: &Forwarding<'_>,
    x: &mut Exchange,
    reader: &mut Reader<'_>,
    length: BodyLength,
    sending: &mut Beside<'_, F>,
    out: &mut Option<Responder<'_>>,
    stage: &mut Stage<'_>,
) -> Result<Answered, Fault> {
    let worker = f.worker;
    x.response_source = ResponseSource::Service;
    x.upstream_status = x.response.status;
    let trailers = takes_trailers(x, f);
    response_headers::strip_hop(&mut x.response.headers, false, trailers);
    if x.attempts.is_some() {
        attempts::judge(x, worker)?;
    }
    if !x.transformers.is_empty() {
        return Box::pin(transform::transformed(f, x, reader, sending, out, stage)).await;
    }
    if x.buffer_response || walk::listens(stage.chain, stage.collection, Phase::Response) {
        return Box::pin(buffered(f, x, reader, sending, out, stage)).await;
    }
    finish_head(worker, x, stage);
    if let Some(body) = x.replacement_body.take() {
        // What is left of the upstream's body stays unread, so its connection is not pooled.
        return Box::pin(send_whole(worker, x, body, out, stage)).await.map_err(|_| client_gone());
    }
    let Some(out) = out.as_mut() else { return Ok(Answered::Cut) };
    let filters = walk::listens(stage.chain, stage.collection, Phase::BodyFilter);
    let length = if filters { announced(&x.response.headers) } else { length };
    if out.head(&x.response, length).is_err() {
        return Ok(Answered::Cut);
    }
    let pumped = if filters {
        Box::pin(pump_filtered(x, reader, sending, out, stage, worker)).await
    } else {
        pump(reader, sending, out).await
    };
    let last = if filters { Some(&x.response_trailers) } else { reader.trailers() };
    let ended = match pumped {
        Ok(()) => out.finish(last.filter(|_| trailers)).await.map_err(|_| Pump::Client),
        Err(end) => Err(end),
    };
    Ok(note_end(x, out, ended))
}

/// Whether trailers may be passed on: the client said so, or speaks HTTP/2.
fn takes_trailers(x: &Exchange, f: &Forwarding<'_>) -> bool {
    x.request.version >= Version::H2
        || f.protocol.is_grpc()
        || x.request.headers.get("te").is_some_and(|v| v.eq_ignore_ascii_case(b"trailers"))
}

/// The length that the headers announce after the filters had their say.
pub fn announced(headers: &Headers) -> BodyLength {
    headers.get_str("content-length").and_then(|v| v.trim().parse().ok()).map_or(BodyLength::Unknown, BodyLength::Exact)
}

/// Why pumping stopped early.
enum Pump {
    Client,
    Upstream(ClientErrorKind),
}

fn note_end(x: &Exchange, out: &mut Responder<'_>, ended: Result<(), Pump>) -> Answered {
    match ended {
        Ok(()) => Answered::Whole,
        Err(end) => {
            out.abort();
            match end {
                Pump::Client => tracing::debug!(request_id = %x.id, "the client went away inside the answer"),
                Pump::Upstream(kind) => {
                    tracing::error!(request_id = %x.id, "upstream broke off inside its answer: {kind}");
                }
            }
            Answered::Cut
        }
    }
}

/// Body chunks go through untouched. What is ready at once is written with the head in one piece.
async fn pump<F: Future<Output = Sent>>(
    reader: &mut Reader<'_>,
    sending: &mut Beside<'_, F>,
    out: &mut Responder<'_>,
) -> Result<(), Pump> {
    loop {
        let chunk = out.flush_while(pin!(sending.drive(pin!(reader.chunk())))).await.map_err(|_| Pump::Client)?;
        match chunk.map_err(|e| Pump::Upstream(e.kind))? {
            Some(data) => out.data(data).await.map_err(|_| Pump::Client)?,
            None => return Ok(()),
        }
        if let Some(Sent::Client(_)) = sending.take() {
            return Err(Pump::Client);
        }
    }
}

async fn pump_filtered<F: Future<Output = Sent>>(
    x: &mut Exchange,
    reader: &mut Reader<'_>,
    sending: &mut Beside<'_, F>,
    out: &mut Responder<'_>,
    stage: &Stage<'_>,
    worker: &Worker,
) -> Result<(), Pump> {
    let mut chunk = BodyChunk::default();
    loop {
        let read = out.flush_while(pin!(sending.drive(pin!(reader.chunk())))).await.map_err(|_| Pump::Client)?;
        chunk.data.clear();
        match read.map_err(|e| Pump::Upstream(e.kind))? {
            Some(data) => chunk.data.extend_from_slice(data),
            None => {
                chunk.last = true;
                keep_trailers(x, reader);
            }
        }
        walk::body_filter(stage.chain, stage.collection, x, &mut chunk, &worker.host);
        if !chunk.data.is_empty() {
            out.data(&chunk.data).await.map_err(|_| Pump::Client)?;
        }
        if chunk.last {
            return Ok(());
        }
    }
}

/// Shows the body filters what came behind the body.
fn keep_trailers(x: &mut Exchange, reader: &Reader<'_>) {
    if let Some(trailers) = reader.trailers() {
        x.response_trailers.extend_from(trailers);
    }
}

/// Reads the whole answer, lets the response phase at it, and sends what then stands.
async fn buffered<F: Future<Output = Sent>>(
    f: &Forwarding<'_>,
    x: &mut Exchange,
    reader: &mut Reader<'_>,
    sending: &mut Beside<'_, F>,
    out: &mut Option<Responder<'_>>,
    stage: &mut Stage<'_>,
) -> Result<Answered, Fault> {
    let limit = f.worker.settings.max_buffered_response;
    let mut body = BytesMut::new();
    loop {
        match sending.drive(pin!(reader.chunk())).await {
            Ok(Some(data)) if body.len() + data.len() > limit => {
                let cause = format!("the upstream's answer is larger than the {limit} bytes that may be buffered");
                return Err(Fault::new(FaultKind::Protocol, Source::Upstream, Retry::Never, cause));
            }
            Ok(Some(data)) => body.extend_from_slice(data),
            Ok(None) => break,
            Err(error) => {
                return Err(Fault::new(FaultKind::Closed, Source::Upstream, Retry::Never, error.to_string()));
            }
        }
    }
    keep_trailers(x, reader);
    respond(f, x, body.freeze(), out, stage).await
}

/// Lets the response phase at an answer that is whole, and sends what then stands.
///
/// # Errors
/// What the phase failed with, or that the client is gone.
pub async fn respond(
    f: &Forwarding<'_>,
    x: &mut Exchange,
    body: Bytes,
    out: &mut Option<Responder<'_>>,
    stage: &mut Stage<'_>,
) -> Result<Answered, Fault> {
    x.response_body = Some(body);
    let mut none = crate::body_source::BodySource::absent(&f.worker.settings);
    let clock = &*f.worker.node.clock;
    x.trace.enter("response", clock);
    let responded = walk::response(stage.chain, stage.collection, x, &f.worker.host, &mut none).await;
    x.trace.leave(1, clock);
    match responded {
        Walked::On => {}
        Walked::Reply(reply) => return own(f.worker, x, *reply, out, stage).await.map_err(|_| client_gone()),
        Walked::Fault(fault) => return Err(*fault),
    }
    // The answer is one of our own in its framing: it has a date, and what has no body has no type.
    if !x.response.headers.contains("date") {
        x.response.headers.append_clean(b"Date", &f.worker.wires.date());
    }
    if matches!(x.response.status, 204 | 304) {
        x.response.headers.remove("content-type");
    }
    // The header filters may look at the body, which is whole.
    finish_head(f.worker, x, stage);
    let body = x.response_body.take().unwrap_or_default();
    let body = x.replacement_body.take().unwrap_or(body);
    if !takes_trailers(x, f) {
        return send_whole(f.worker, x, body, out, stage).await.map_err(|_| client_gone());
    }
    send_whole_with_trailers(f.worker, x, body, out, stage).await.map_err(|_| client_gone())
}

/// The client went away before anything was sent to it.
pub fn client_gone() -> Fault {
    Fault::new(FaultKind::ClientAborted, Source::Downstream, Retry::Never, "the client went away")
}

/// Runs the header filters over an upstream's head and adds what the gateway adds.
pub fn finish_head(worker: &Worker, x: &mut Exchange, stage: &Stage<'_>) {
    merge_added(x);
    walk::header_filter(stage.chain, stage.collection, x, &worker.host);
    let mut headers = std::mem::take(&mut x.response.headers);
    if let Some(charset) = &worker.settings.charset {
        response_headers::add_charset(&mut headers, charset);
    }
    let rules = &worker.settings.response_headers;
    response_headers::mark_proxied(&mut headers, x, rules, &worker.settings.server_token, shown(x));
    add_debug(worker, x, &mut headers);
    if x.trace.is_watched() {
        request_debug::show(x, &mut headers, &*worker.node.clock);
    }
    x.response.headers = headers;
}

/// What plugins set before there was an answer is on it, in place of what it had.
fn merge_added(x: &mut Exchange) {
    if x.added_headers.is_empty() {
        return;
    }
    let added = std::mem::take(&mut x.added_headers);
    if added.iter().all(|(name, _)| !x.response.headers.contains_bytes(name)) {
        x.response.headers.append_block(&added);
        x.added_headers = added;
        return;
    }
    for (name, value) in added.iter() {
        if name.eq_ignore_ascii_case(b"set-cookie") {
            x.response.headers.append_clean(name, value);
        } else {
            x.response.headers.set_clean(name, value);
        }
    }
    x.added_headers = added;
}

fn shown(x: &Exchange) -> ShownLatencies {
    let ms = |ns: u64| ns / 1_000_000;
    let l = &x.latencies;
    ShownLatencies {
        proxy: ms(l.balancer_end.saturating_sub(l.start)),
        upstream: ms(l.first_byte.max(l.balancer_end).saturating_sub(l.balancer_end)),
    }
}

/// `Kong-Debug: 1` shows what was matched, where the node allows it.
fn add_debug(worker: &Worker, x: &Exchange, headers: &mut Headers) {
    if !worker.settings.debug_header || x.request.headers.get("kong-debug") != Some(b"1") {
        return;
    }
    if let Some(route) = x.route() {
        headers.set("Kong-Route-Id", route.id_text.as_bytes());
        if let Some(name) = &route.name {
            headers.set("Kong-Route-Name", name.as_bytes());
        }
    }
    if let Some(service) = x.service() {
        headers.set("Kong-Service-Id", service.id_text.as_bytes());
        if let Some(name) = &service.name {
            headers.set("Kong-Service-Name", name.as_bytes());
        }
    }
}

/// Sends an answer of the gateway's own: a plugin's, or a rule's.
///
/// # Errors
/// When the client is gone.
pub async fn own(
    worker: &Worker,
    x: &mut Exchange,
    reply: Reply,
    out: &mut Option<Responder<'_>>,
    stage: &mut Stage<'_>,
) -> Result<Answered, SendError> {
    x.response_source = ResponseSource::Exit;
    let marks = Marks { proxied: reply.proxied, via: reply.via };
    let reply = match reply.body {
        ReplyBody::Empty => with_page(worker, x, reply),
        _ => reply,
    };
    let body = fill_reply(worker, x, reply);
    send_own(worker, x, body, marks, out, stage).await
}

/// What an answer says that has no body of its own: for an error the core's page, or nginx's where the core
/// has none (`error_page` decides); a status that nginx does not know stays empty.
fn with_page(worker: &Worker, x: &Exchange, reply: Reply) -> Reply {
    let mut page = match reply.status {
        400 | 404 | 405 | 408 | 411..=414 | 417 | 494 | 500 | 502..=504 => core_reply(worker, x, reply.status, true),
        401..=403 | 406 | 409 | 410 | 415 | 416 | 421 | 429 | 501 | 505 | 507 => {
            let text = error_body::nginx_page(reply.status, None);
            Reply::bytes(reply.status, "text/html; charset=UTF-8", text)
        }
        _ => return reply,
    };
    for (name, value) in reply.headers.iter() {
        page.headers.set(name, value);
    }
    page
}

/// Sends the answer for a fault: the core's message in the form that Accept, else the request's own
/// Content-Type, else the node's default asks for. `negotiable` is false for a head that could not be read.
///
/// # Errors
/// When the client is gone.
pub async fn fault(
    worker: &Worker,
    x: &mut Exchange,
    fault: &Fault,
    negotiable: bool,
    out: &mut Option<Responder<'_>>,
    stage: &mut Stage<'_>,
) -> Result<Answered, SendError> {
    // What the gateway says in words of its own counts as an answer of its own, as in Kong.
    x.response_source = if fault.message.is_some() { ResponseSource::Exit } else { ResponseSource::Error };
    let status = fault.status();
    let reply = match (&fault.message, fault.source) {
        (Some(message), _) => Reply::error_with(status, message.clone()),
        (None, Source::Plugin) => Reply::error(status),
        _ => core_reply(worker, x, status, negotiable),
    };
    let by_plugin = fault.source == Source::Plugin;
    // An answer of a plugin's says nothing about what follows on the connection, and a stream of HTTP/2 nothing about the
    // others: told to go, some clients hang up before they have read the answer.
    if closes(status)
        && x.request.version != gibbon_message::Version::H2
        && fault.message.is_none()
        && !by_plugin
        && let Some(out) = out
    {
        out.close_after();
    }
    let body = fill_reply(worker, x, reply);
    // An error behind the access phase shows the latencies of a proxied answer, as in Kong.
    let proxied = x.latencies.access_end != 0 && x.response_source != ResponseSource::Exit && !by_plugin;
    send_own(worker, x, body, Marks { proxied, via: false }, out, stage).await
}

fn core_reply(worker: &Worker, x: &Exchange, status: u16, negotiable: bool) -> Reply {
    let page = match status {
        495 => Some(error_body::nginx_page(400, Some("The SSL certificate error"))),
        496 => Some(error_body::nginx_page(400, Some("No required SSL certificate was sent"))),
        497 => Some(error_body::nginx_page(400, Some("The plain HTTP request was sent to HTTPS port"))),
        501 => Some(error_body::nginx_page(501, None)),
        _ => None,
    };
    if let Some(page) = page {
        return Reply::bytes(if status == 501 { status } else { 400 }, "text/html; charset=UTF-8", page);
    }
    let form = if negotiable { core_form(worker, x) } else { worker.settings.error_default };
    error_reply(worker, x, status, &error_body::core_message(status), form)
}

/// Statuses after which nginx does not keep the connection: what follows on it cannot be trusted.
fn closes(status: u16) -> bool {
    matches!(status, 400 | 405 | 408 | 413 | 414 | 494..=497 | 500 | 501)
}

fn core_form(worker: &Worker, x: &Exchange) -> Form {
    if let Some(accept) = x.request.headers.get_str("accept") {
        return error_body::negotiate(accept);
    }
    let own = x.request.headers.get_str("content-type").map(|v| v.split(';').next().unwrap_or_default().trim());
    own.and_then(Form::of_media_type).unwrap_or(worker.settings.error_default)
}

/// Puts a reply's head into `x.response` and gives its body.
fn fill_reply(worker: &Worker, x: &mut Exchange, reply: Reply) -> Bytes {
    let reply = match reply.body {
        ReplyBody::Error(ref message) => {
            let message = message.clone().unwrap_or_else(|| error_body::default_message(reply.status));
            let accept = x.request.headers.get_str("accept");
            let form = match accept {
                Some(accept) => error_body::negotiate(accept),
                None => Form::Json,
            };
            let mut filled = error_reply(worker, x, reply.status, &message, form);
            for (name, value) in reply.headers.iter() {
                filled.headers.set(name, value);
            }
            filled
        }
        _ => reply,
    };
    x.response.status = reply.status;
    x.response.version = Version::Http11;
    x.response.headers = reply.headers;
    match reply.body {
        ReplyBody::Bytes(bytes) => bytes,
        ReplyBody::Json(value) => {
            x.response.headers.set("Content-Type", "application/json; charset=utf-8");
            Bytes::from(value.to_string())
        }
        ReplyBody::Empty | ReplyBody::Error(_) => Bytes::new(),
    }
}

fn error_reply(worker: &Worker, x: &Exchange, status: u16, message: &str, form: Form) -> Reply {
    // 494 to 497 are nginx's own numbers and leave as 400.
    let shown = if (494..=497).contains(&status) { 400 } else { status };
    if form == Form::Grpc {
        let code = error_body::grpc_status(status);
        let mut number = itoa::Buffer::new();
        return Reply::new(shown)
            .header("Content-Type", "application/grpc")
            .header("grpc-status", number.format(code))
            .header("grpc-message", message.as_bytes());
    }
    let id = x.id.hex();
    let body = worker.settings.templates.render(form, message, std::str::from_utf8(&id).unwrap_or_default());
    Reply::bytes(shown, form.content_type(), body)
}

/// How an answer that no upstream gave is marked.
#[derive(Clone, Copy)]
struct Marks {
    /// As a proxied one.
    proxied: bool,
    /// As one of the gateway's own, and with `Via`.
    via: bool,
}

async fn send_own(
    worker: &Worker,
    x: &mut Exchange,
    body: Bytes,
    marks: Marks,
    out: &mut Option<Responder<'_>>,
    stage: &mut Stage<'_>,
) -> Result<Answered, SendError> {
    merge_added(x);
    // Header filters may look at the length; the wire writes the true one in the end.
    let mut length = itoa::Buffer::new();
    x.response.headers.set("Content-Length", length.format(body.len()));
    walk::header_filter(stage.chain, stage.collection, x, &worker.host);
    let body = x.replacement_body.take().unwrap_or(body);
    let mut headers = std::mem::take(&mut x.response.headers);
    let rules = &worker.settings.response_headers;
    if marks.proxied {
        response_headers::mark_proxied(&mut headers, x, rules, &worker.settings.server_token, shown(x));
    } else {
        let latency = worker.node.clock.monotonic_ns().saturating_sub(x.latencies.start) / 1_000_000;
        response_headers::mark_own(&mut headers, x, rules, &worker.settings.server_token, latency);
        if marks.via && rules.via {
            response_headers::add_via(&mut headers, x, &worker.settings.server_token);
        }
    }
    add_debug(worker, x, &mut headers);
    if x.trace.is_watched() {
        request_debug::show(x, &mut headers, &*worker.node.clock);
    }
    if !headers.contains("date") {
        headers.append_clean(b"Date", &worker.wires.date());
    }
    x.response.headers = headers;
    send_whole(worker, x, body, out, stage).await
}

/// Sends a body that is whole, through the body filters.
///
/// # Errors
/// When the client is gone.
pub async fn send_whole(
    worker: &Worker,
    x: &mut Exchange,
    body: Bytes,
    out: &mut Option<Responder<'_>>,
    stage: &mut Stage<'_>,
) -> Result<Answered, SendError> {
    let Some(out) = send_up_to_end(worker, x, body, out, stage).await? else { return Ok(Answered::Cut) };
    out.finish(None).await?;
    Ok(Answered::Whole)
}

/// As [`send_whole`], with what the upstream sent behind its body.
async fn send_whole_with_trailers(
    worker: &Worker,
    x: &mut Exchange,
    body: Bytes,
    out: &mut Option<Responder<'_>>,
    stage: &mut Stage<'_>,
) -> Result<Answered, SendError> {
    let Some(out) = send_up_to_end(worker, x, body, out, stage).await? else { return Ok(Answered::Cut) };
    out.finish(Some(&x.response_trailers)).await?;
    Ok(Answered::Whole)
}

/// Sends all but the end; nothing to a client that is gone.
async fn send_up_to_end<'o, 'c>(
    worker: &Worker,
    x: &mut Exchange,
    body: Bytes,
    out: &'o mut Option<Responder<'c>>,
    stage: &mut Stage<'_>,
) -> Result<Option<&'o mut Responder<'c>>, SendError> {
    let body = if walk::listens(stage.chain, stage.collection, Phase::BodyFilter) {
        let mut chunk = BodyChunk { data: body.to_vec(), last: true };
        walk::body_filter(stage.chain, stage.collection, x, &mut chunk, &worker.host);
        Bytes::from(chunk.data)
    } else {
        body
    };
    let Some(out) = out.as_mut() else { return Ok(None) };
    let length = match x.response.status {
        204 | 304 => BodyLength::None,
        _ => BodyLength::Exact(body.len() as u64),
    };
    // The length that an upstream announced for a body it did not send stays.
    let announced = x.response_source == ResponseSource::Service && body.is_empty();
    if x.request.method == Method::Head && !announced {
        let mut text = itoa::Buffer::new();
        x.response.headers.set("Content-Length", text.format(body.len()));
    }
    out.head(&x.response, length)?;
    if length != BodyLength::None {
        out.data(&body).await?;
    }
    Ok(Some(out))
}
