//! Station 9: tries. Each connects, sends the request and reads the answer's head; what failed before
//! the client saw anything may be tried again, by the rules of nginx's `proxy_next_upstream error timeout`.

use std::cell::RefCell;
use std::net::IpAddr;
use std::os::unix::fs::FileExt;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use gibbon_balance::Outcome;
use gibbon_http::client::{Answer, ClientError, ClientErrorKind, Reader, Timeouts as WireTimeouts, Writer};
use gibbon_http::{BodyLength, Gone, Responder};
use gibbon_message::{Headers, Method, ResponseHead};
use gibbon_pdk::{Exchange, Fault, FaultKind, Protocol, RequestBody, Retry, Source, SpooledBody, Timeouts, Try};
use gibbon_plan::Upstream;
use smallvec::SmallVec;

use crate::alongside::Beside;
use crate::answer::{self, Answered, Stage};
use crate::balance::{Balanced, Peer, Tries, next_peer};
use crate::body_source::{BodySource, body_fault};
use crate::link::{Link, open};
use crate::request_debug;
use crate::request_headers::{self, Hop, asks_for_websocket};
use crate::upgrade;
use crate::worker::{Bound, Pinned, Worker};

/// Bytes of a spooled body read at a time.
const SPOOL_CHUNK: usize = 64 * 1024;

/// What every try of an exchange needs.
pub struct Forwarding<'a> {
    pub worker: &'a Rc<Worker>,
    /// What new connections are made by. Let go of once an answer comes, for it may take for ever, and a plan is large.
    pinned: RefCell<Option<Rc<Pinned>>>,
    /// The upstream to balance over, after plugins had their say.
    pub upstream: Option<Arc<Upstream>>,
    /// The service's host, where that is an address.
    pub address: Option<IpAddr>,
    pub protocol: Protocol,
    pub timeouts: Timeouts,
    pub retries: u16,
    pub upgrade: bool,
}

impl<'a> Forwarding<'a> {
    /// Reads off the exchange where it goes.
    ///
    /// # Errors
    /// 503 for a plugin's upstream that does not exist, and for a route without service.
    pub fn of(worker: &'a Rc<Worker>, pinned: Rc<Pinned>, bound: &Bound, x: &Exchange) -> Result<Self, Fault> {
        let service = x.service();
        if service.is_none() && x.destination.target.is_none() && x.destination.upstream.is_none() {
            let fault = Fault::new(FaultKind::Status(503), Source::Ourselves, Retry::Never, "the route has no service");
            return Err(fault.with_message("no Service found with those values"));
        }
        let upstream = match &x.destination.upstream {
            Some(name) => Some(pinned.plan.upstream(x.workspace, name).cloned().ok_or_else(|| {
                Fault::new(FaultKind::NoPeer, Source::Plugin, Retry::Never, format!("upstream '{name}' does not exist"))
            })?),
            None => bound.upstream.clone(),
        };
        Ok(Forwarding {
            worker,
            pinned: RefCell::new(Some(pinned)),
            upstream,
            address: bound.address,
            protocol: x.destination.protocol.or(service.map(|s| s.protocol)).unwrap_or(Protocol::Http),
            timeouts: x.destination.timeouts.or(service.map(|s| s.timeouts)).unwrap_or_default(),
            retries: x.destination.retries.or(service.map(|s| s.retries)).unwrap_or(0),
            upgrade: asks_for_websocket(x),
        })
    }

    /// The plan of this exchange; once that was let go of, the one in force.
    pub fn pinned(&self) -> Rc<Pinned> {
        self.pinned.borrow().clone().unwrap_or_else(|| self.worker.pin())
    }

    fn let_go_of_the_plan(&self) {
        *self.pinned.borrow_mut() = None;
    }

    /// Whether the whole request is read before the upstream is bothered: the route says so (the default), and
    /// neither gRPC nor an upgrade makes it a conversation.
    #[must_use]
    pub fn buffers_request(&self, x: &Exchange) -> bool {
        x.body.is_unread()
            && !self.upgrade
            && !self.protocol.is_grpc()
            && x.route().is_some_and(|r| r.request_buffering)
    }
}

/// What became of a request on an open link.
enum Exchanged {
    Answered(Answered),
    /// The upstream switched protocols; `x.response` holds its 101.
    Switched,
}

/// How one try ended.
pub enum Tried {
    Done(Answered),
    /// With the peer, whose passive checks hear of it when it is known whether another try follows.
    Failed(Fault, Option<Balanced>),
}

/// Tries until there is an answer or no reason to go on.
///
/// # Errors
/// The fault of the last try.
pub async fn forward<'c>(
    f: &Forwarding<'_>,
    x: &mut Exchange,
    body: &mut BodySource<'_, 'c>,
    out: &mut Option<Responder<'c>>,
    stage: &mut Stage<'_>,
) -> Result<Answered, Fault> {
    let mut tries = Tries::default();
    let mut left = f.retries;
    loop {
        match attempt(f, x, body, out, stage, &mut tries).await {
            Tried::Done(answered) => return Ok(answered),
            Tried::Failed(fault, balanced) => {
                let begun = out.as_ref().is_none_or(Responder::begun);
                let free = fault.retry == Retry::ReusedConnectionOnly;
                let last = begun || fault.retry == Retry::Never || (!free && left == 0);
                end_failed(f, x, balanced, outcome_of(&fault, last), &fault);
                if last {
                    return Err(fault);
                }
                left -= u16::from(!free);
                tracing::debug!(request_id = %x.id, "try failed, trying again: {fault}");
            }
        }
    }
}

/// One try: a peer, a link to it, the request and its answer.
pub async fn attempt<'c>(
    f: &Forwarding<'_>,
    x: &mut Exchange,
    body: &mut BodySource<'_, 'c>,
    out: &mut Option<Responder<'c>>,
    stage: &mut Stage<'_>,
    tries: &mut Tries,
) -> Tried {
    let clock = &*f.worker.node.clock;
    let begin = clock.monotonic_ns();
    let peer = next_peer(f.worker, x, f.upstream.as_ref(), f.address, tries).await;
    if x.trace.is_watched() {
        request_debug::balanced(x, begin, clock);
    }
    let peer = match peer {
        Ok(peer) => peer,
        Err(fault) => return Tried::Failed(fault, None),
    };
    x.latencies.balancer_end = clock.monotonic_ns();
    note_try(x, &peer, begin);
    if x.trace.is_on() {
        x.trace.peer_name = Some((*peer.host).into());
    }
    let Peer { address, host, balanced } = peer;
    let link = open(f, address, &host, x).await;
    let mut link = match link {
        Ok(link) => link,
        Err(fault) => return Tried::Failed(fault, balanced),
    };
    match exchange(f, &mut link, &host, x, body, out, stage).await {
        Ok(Exchanged::Answered(answered)) => {
            end_well(f, x, balanced);
            link.give_back(f.worker);
            Tried::Done(answered)
        }
        Ok(Exchanged::Switched) => {
            end_well(f, x, balanced);
            f.let_go_of_the_plan();
            Tried::Done(Box::pin(upgrade::tunnel(f, link, x, body, out, stage)).await)
        }
        Err(fault) => Tried::Failed(fault, balanced),
    }
}

/// Gives the peer back after an answer.
fn end_well(f: &Forwarding<'_>, x: &Exchange, balanced: Option<Balanced>) {
    if let Some(balanced) = balanced {
        let seconds = (f.worker.node.clock.monotonic_ns() - x.latencies.balancer_end) as f64 / 1e9;
        f.worker.end_try(balanced, Some(seconds), Some(Outcome::Status(x.upstream_status)));
    }
}

/// What passive checks should know of a failed try. As in Kong, a try that is followed by another counts as a failed
/// connection, the last one by the status that the client gets.
fn outcome_of(fault: &Fault, last: bool) -> Option<Outcome> {
    // A pooled connection that was closed in the meantime says nothing about the peer.
    if fault.source != Source::Upstream || fault.retry == Retry::ReusedConnectionOnly {
        return None;
    }
    Some(match fault.kind {
        FaultKind::ReadTimeout | FaultKind::WriteTimeout | FaultKind::ConnectTimeout => Outcome::Timeout,
        _ if last => Outcome::Status(fault.status()),
        FaultKind::Protocol => Outcome::NotHttp,
        _ => Outcome::TcpFailure,
    })
}

/// Notes a failed try, and gives its peer back.
pub fn end_failed(
    f: &Forwarding<'_>,
    x: &mut Exchange,
    balanced: Option<Balanced>,
    outcome: Option<Outcome>,
    fault: &Fault,
) {
    if let Some(last) = x.tries.last_mut() {
        last.state = Some("failed");
        last.code = Some(fault.status());
    }
    if let Some(balanced) = balanced {
        f.worker.end_try(balanced, None, outcome);
    }
}

/// Notes a try, whose choice of a peer began at a moment of the monotonic clock, as log entries and spans show it.
pub fn note_try(x: &mut Exchange, peer: &Peer, begin_ns: u64) {
    let wall_ns = x.wall_at(begin_ns);
    let latency_ns = x.latencies.balancer_end.saturating_sub(begin_ns);
    x.tries.push(Try {
        ip: peer.address.ip(),
        port: peer.address.port(),
        balancer_start: wall_ns / 1_000_000,
        balancer_start_ns: wall_ns,
        balancer_latency: latency_ns / 1_000_000,
        balancer_latency_ns: latency_ns,
        state: None,
        code: None,
    });
}

/// One request and its answer on an open link.
async fn exchange<'c>(
    f: &Forwarding<'_>,
    link: &mut Link,
    host: &str,
    x: &mut Exchange,
    body: &mut BodySource<'_, 'c>,
    out: &mut Option<Responder<'c>>,
    stage: &mut Stage<'_>,
) -> Result<Exchanged, Fault> {
    let mut headers = f.worker.take_headers();
    write_headers(f, &mut headers, host, link, x);
    let method = x.request.method.clone();
    let (outgoing, length) = Outgoing::of(x, body);
    let streamed = matches!(outgoing, Outgoing::Stream);
    if streamed && !link.is_http2() {
        body.forget();
    }
    let timeouts = WireTimeouts { read: f.timeouts.read, send: f.timeouts.write };
    let (mut writer, mut reader) = link.exchange(timeouts);
    let fault = |error: ClientError, body: &BodySource<'_, '_>| {
        upstream_fault(error, &method, !streamed || body.is_replayable())
    };
    writer.head(&method, &upstream_target(x), &headers, length).map_err(|error| fault(error, body))?;
    f.worker.give_back_headers(headers);
    x.latencies.sent = f.worker.node.clock.monotonic_ns();

    let mut response = std::mem::take(&mut x.response);
    let got = {
        // A call that costs by the token is not finished for a client that says it is leaving.
        let patient = x.attempts.is_none();
        let sending = pin!(send_then_watch(&mut writer, outgoing, body, patient));
        let mut sending = Beside::new(sending);
        let head = read_head(&mut reader, &mut response, &method, &mut sending, out).await;
        match head {
            Ok(Answer::Final(length)) => {
                x.response = response;
                x.latencies.first_byte = f.worker.node.clock.monotonic_ns();
                f.let_go_of_the_plan();
                let answered = answer::proxied(f, x, &mut reader, length, &mut sending, out, stage).await;
                return answered.map(Exchanged::Answered);
            }
            other => other,
        }
    };
    x.response = response;
    x.latencies.first_byte = f.worker.node.clock.monotonic_ns();
    match got {
        Ok(Answer::Upgrade) if f.upgrade => {
            x.upstream_status = 101;
            Ok(Exchanged::Switched)
        }
        Ok(_) => {
            let kind = ClientErrorKind::Invalid("101 to a request that asked for no upgrade");
            Err(fault(ClientError { kind, received: true, reused: false }, body))
        }
        Err(Failed::Upstream(error)) => Err(fault(error, body)),
        Err(Failed::Client(fault)) => Err(fault),
    }
}

/// Why no head came.
pub enum Failed {
    Upstream(ClientError),
    Client(Fault),
}

/// Reads heads until a final one, passing informational ones on.
async fn read_head<F: Future<Output = Sent>>(
    reader: &mut Reader<'_>,
    head: &mut ResponseHead,
    method: &Method,
    sending: &mut Beside<'_, F>,
    out: &mut Option<Responder<'_>>,
) -> Result<Answer, Failed> {
    loop {
        let read = sending.race(pin!(reader.head(head, method))).await;
        let answer = match read {
            Some(answer) => answer.map_err(Failed::Upstream)?,
            None => match sending.take() {
                Some(Sent::Client(fault)) => return Err(Failed::Client(fault)),
                // The upstream takes no more of the request; it may have answered all the same.
                _ => reader.head(head, method).await.map_err(Failed::Upstream)?,
            },
        };
        match answer {
            Answer::Informational => {
                // 100 is the wire's own business; the others are the client's.
                if head.status != 100
                    && let Some(out) = out
                {
                    let _ = Box::pin(out.informational(head.status, &head.headers)).await;
                }
            }
            other => return Ok(other),
        }
    }
}

/// How sending a request ended; a request that was sent and whose client stays never ends.
pub enum Sent {
    /// The client broke off or broke the rules.
    Client(Fault),
    /// The upstream takes no more.
    Upstream,
}

/// Sends the request, then watches whether the client stays. With `patience`, one that only closed its sending half
/// still waits for the answer.
async fn send_then_watch(
    writer: &mut Writer<'_>,
    outgoing: Outgoing,
    body: &mut BodySource<'_, '_>,
    patience: bool,
) -> Sent {
    let sent = match outgoing {
        Outgoing::None => writer.finish(None).await.map_err(|_| Sent::Upstream),
        Outgoing::Memory(bytes) => send_bytes(writer, &bytes).await,
        Outgoing::File(file) => Box::pin(send_file(writer, &file)).await,
        Outgoing::Stream => send_stream(writer, body).await,
    };
    if let Err(failed) = sent {
        return failed;
    }
    match body.wire() {
        Some(wire) => match wire.closed().await {
            Gone::Finished if patience => std::future::pending().await,
            Gone::Broken | Gone::Finished => Sent::Client(Fault::new(
                FaultKind::ClientAborted,
                Source::Downstream,
                Retry::Never,
                "the client went away before the upstream answered",
            )),
        },
        None => std::future::pending().await,
    }
}

async fn send_bytes(writer: &mut Writer<'_>, bytes: &[u8]) -> Result<(), Sent> {
    writer.data(bytes).await.map_err(|_| Sent::Upstream)?;
    writer.finish(None).await.map_err(|_| Sent::Upstream)
}

async fn send_file(writer: &mut Writer<'_>, body: &SpooledBody) -> Result<(), Sent> {
    let mut chunk = vec![0; SPOOL_CHUNK];
    let mut at = 0;
    while at < body.len {
        let broken =
            |e: std::io::Error| Sent::Client(Fault::internal(format!("cannot read a buffered request body: {e}")));
        let n = body.file.read_at(&mut chunk, at).map_err(broken)?;
        if n == 0 {
            return Err(Sent::Client(Fault::internal("a buffered request body is shorter than it was written")));
        }
        writer.data(chunk.get(..n).unwrap_or_default()).await.map_err(|_| Sent::Upstream)?;
        at += n as u64;
    }
    writer.finish(None).await.map_err(|_| Sent::Upstream)
}

async fn send_stream(writer: &mut Writer<'_>, body: &mut BodySource<'_, '_>) -> Result<(), Sent> {
    let Some((wire, sent, limit)) = body.streamed() else {
        return writer.finish(None).await.map_err(|_| Sent::Upstream);
    };
    writer.data(sent.bytes()).await.map_err(|_| Sent::Upstream)?;
    loop {
        let chunk = writer.flush_while(pin!(wire.chunk())).await.map_err(|_| Sent::Upstream)?;
        match chunk.map_err(|e| Sent::Client(body_fault(e)))? {
            Some(data) => {
                sent.keep(data, limit);
                writer.data(data).await.map_err(|_| Sent::Upstream)?;
            }
            None => break,
        }
    }
    writer.finish(wire.trailers()).await.map_err(|_| Sent::Upstream)
}

/// What is sent as the body.
enum Outgoing {
    None,
    Memory(Bytes),
    File(SpooledBody),
    /// From the client as it comes, with the length it announced.
    Stream,
}

impl Outgoing {
    fn of(x: &Exchange, body: &BodySource<'_, '_>) -> (Self, BodyLength) {
        match &x.body {
            RequestBody::Empty => (Outgoing::None, BodyLength::None),
            RequestBody::Whole(bytes) => (Outgoing::Memory(bytes.clone()), BodyLength::Exact(bytes.len() as u64)),
            RequestBody::Spooled(file) => (Outgoing::File(file.clone()), BodyLength::Exact(file.len)),
            RequestBody::Unread => (Outgoing::Stream, body.length()),
        }
    }
}

/// The request target: the path that routing or a plugin set, and the query behind it. Few are longer than the room that
/// it has without an allocation.
fn upstream_target(x: &Exchange) -> SmallVec<[u8; 256]> {
    let query = match &x.destination.query {
        Some(query) => (!query.is_empty()).then_some(query.as_slice()),
        None => x.request.query(),
    };
    let mut target = SmallVec::from_slice(&x.destination.path);
    if let Some(query) = query {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    target
}

fn write_headers(f: &Forwarding<'_>, headers: &mut Headers, host: &str, link: &Link, x: &Exchange) {
    let (host, port) = host_header(f, host, link, x);
    let hop = Hop { host, port, upgrade: f.upgrade, http2: link.is_http2() };
    request_headers::write(headers, x, hop, &f.worker.settings.request_headers);
}

/// The Host of a try and the port behind it: a plugin's, the client's own with `preserve_host`, else the target's name.
fn host_header<'h>(f: &Forwarding<'_>, host: &'h str, link: &Link, x: &'h Exchange) -> (&'h [u8], Option<u16>) {
    if let Some(host) = &x.destination.host_header {
        return (host, None);
    }
    if x.route().is_some_and(|r| r.preserve_host)
        && let Some(host) = x.request.headers.get("host").filter(|h| !h.is_empty())
    {
        return (host, None);
    }
    (host.as_bytes(), gibbon_balance::shown_port(link.address().port(), if f.protocol.is_tls() { 443 } else { 80 }))
}

/// What a wire's error means for the exchange, and whether another try is allowed.
fn upstream_fault(error: ClientError, method: &Method, replayable: bool) -> Fault {
    let kind = match error.kind {
        ClientErrorKind::ReadTimeout => FaultKind::ReadTimeout,
        ClientErrorKind::SendTimeout => FaultKind::WriteTimeout,
        ClientErrorKind::HeadTooLarge | ClientErrorKind::Invalid(_) => FaultKind::Protocol,
        ClientErrorKind::Misuse(_) => FaultKind::Internal,
        _ => FaultKind::Closed,
    };
    let never_processed = matches!(error.kind, ClientErrorKind::Refused);
    let retry = if !replayable || error.received || kind == FaultKind::Internal {
        Retry::Never
    } else if never_processed {
        Retry::Yes
    } else if !method.is_idempotent() {
        Retry::Never
    } else if error.reused && kind == FaultKind::Closed {
        Retry::ReusedConnectionOnly
    } else {
        Retry::Yes
    };
    Fault::new(kind, Source::Upstream, retry, error.to_string())
}
