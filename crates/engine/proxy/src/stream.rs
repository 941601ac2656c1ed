//! Layer 4: TCP and TLS connections and UDP sessions, routed by server name and addresses, then relayed.
//!
//! A TLS listener looks at the greeting first: the route it leads to says whether the gateway terminates TLS
//! (`tls`) or passes the bytes on untouched (`tls_passthrough`). The chain runs `preread`, then `log`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gibbon_message::{Headers, Scheme};
use gibbon_net::{
    ConnectAddress, Counters, Listener, ProxyHeader, ProxyVersion, RelayEnd, RelayLimits, Socket, Stream as Wire,
    Target, TlsArrival, TlsTarget, Transport, UdpListener, UdpSessionLimits, UdpSessionTotals, UdpStart, UdpTarget,
    peek_client_hello, read_proxy_header, relay,
};
use gibbon_pdk::{
    Exchange, Fault, FaultKind, Instrumentations, Matched, ResponseSource, Retry, Source, TlsFacts, forget_log_lines,
};
use gibbon_router::{Protocol, Query};
use gibbon_tls::Peeked;
use tokio::time::Instant;

use crate::balance::{Peer, Tries, next_peer};
use crate::body_source::BodySource;
use crate::caught;
use crate::finish::{log_phase, of_panic};
use crate::forward::note_try;
use crate::handshake;
use crate::serve::{Mode, stream_client, tls_facts};
use crate::upstream_tls::profile;
use crate::walk::{self, Collection, Waiting, Walked};
use crate::worker::{Bound, Pinned, Worker};

/// How long a greeting or a PROXY header may take.
const PREREAD_TIME: Duration = Duration::from_secs(30);

/// Accepts connections of a stream listener until it fails for good.
pub async fn accept(listener: Listener, mode: Rc<Mode>, worker: Rc<Worker>, counters: Arc<Counters>) {
    loop {
        match listener.accept().await {
            Ok(socket) => {
                let (mode, worker, counters) = (Rc::clone(&mode), Rc::clone(&worker), Arc::clone(&counters));
                tokio::task::spawn_local(async move {
                    let mut x = worker.take_exchange();
                    let ended = caught::catch(pin!(connection(&worker, socket, &mode, &counters, &mut x))).await;
                    match ended {
                        Ok(Ok(())) => {}
                        Ok(Err(fault)) => report(&x, &fault),
                        Err(panicked) => report(&x, &of_panic(&worker, &panicked)),
                    }
                    worker.give_back(x);
                });
            }
            Err(error) => {
                tracing::error!("stream listener {}: {error}; no more connections are taken there", listener.address());
                return;
            }
        }
    }
}

async fn connection(
    worker: &Rc<Worker>,
    mut socket: Socket,
    mode: &Mode,
    counters: &Counters,
    x: &mut Exchange,
) -> Result<(), Fault> {
    let deadline = Instant::now() + PREREAD_TIME;
    if mode.proxy_protocol {
        read_proxy_header(&mut socket, deadline).await.map_err(|e| of_client(&e.to_string()))?;
    }
    begin(worker, x, &socket);
    let greeting = match &mode.tls {
        None => None,
        Some(_) => match peek_client_hello(&mut socket, deadline).await {
            Ok(Peeked::Complete(hello)) => Some(hello.sni),
            Ok(_) => return Err(of_client("a connection to a TLS listener did not begin with a TLS greeting")),
            Err(error) => return Err(of_client(&error.to_string())),
        },
    };
    let protocol = if greeting.is_some() { Protocol::Tls } else { Protocol::Tcp };
    let sni = greeting.flatten();
    let pinned = worker.pin();
    let bound = find(worker, &pinned, x, protocol, sni.as_deref())?;
    x.client.tls = sni.map(|name| Rc::new(TlsFacts { sni: Some(name.into()), ..TlsFacts::default() }));
    let passes_through = bound.matched.route.protocols.contains(gibbon_pdk::Protocol::TlsPassthrough);
    let client = match &mode.tls {
        Some(tls) if !passes_through => match handshake::accept(worker, socket, tls, counters).await {
            Ok(TlsArrival::Tls(stream)) => admitted(stream, mode, x)?,
            Ok(TlsArrival::Plain(_)) => return Err(of_client("not TLS")),
            Err(error) => return Err(of_client(&error.to_string())),
        },
        _ => Wire::Plain(socket),
    };
    run(worker, pinned, &bound, client, x).await
}

/// The session with what is known of it, if its client's certificate is accepted.
fn admitted(stream: Wire, mode: &Mode, x: &mut Exchange) -> Result<Wire, Fault> {
    let Some(mut facts) = stream.tls_info().map(tls_facts) else { return Ok(stream) };
    let verdict = mode.clients.as_ref().map(|rule| (rule, rule.verdict(&facts.client_chain)));
    if let Some((_, verdict)) = verdict {
        facts.client_verify = verdict.to_string().into();
    }
    x.client.tls = Some(Rc::new(facts));
    match verdict {
        Some((rule, verdict)) if rule.refuses(verdict) => {
            Err(of_client(&format!("the client's certificate is not accepted: {verdict}")))
        }
        _ => Ok(stream),
    }
}

fn begin(worker: &Worker, x: &mut Exchange, socket: &Socket) {
    x.id = gibbon_pdk::RequestId(worker.ids.next());
    x.started_ns = worker.node.clock.wall_ns();
    x.latencies.start = worker.node.clock.monotonic_ns();
    x.workspace = worker.settings.workspace;
    x.client = stream_client(socket, &worker.settings);
    x.client.scheme = Scheme::Http;
}

fn find(
    worker: &Worker,
    pinned: &Rc<Pinned>,
    x: &mut Exchange,
    protocol: Protocol,
    sni: Option<&str>,
) -> Result<Rc<Bound>, Fault> {
    let headers = Headers::new();
    let query = Query {
        protocol,
        method: "",
        host: b"",
        path: b"/",
        raw_query: None,
        headers: &headers,
        sni,
        source: (x.client.ip, x.client.port),
        destination: (x.client.local.ip(), x.client.published_port),
    };
    let found = worker.with_scratch(|scratch| pinned.plan.stream.find(&query, scratch).map(|f| pinned.bind(f.value)));
    let Some(bound) = found else {
        let cause = "no Route found with those values";
        return Err(Fault::new(FaultKind::Status(500), Source::Ourselves, Retry::Never, cause));
    };
    x.matched = Some(Rc::clone(&bound.matched));
    x.workspace = bound.matched.route.workspace;
    Ok(bound)
}

/// Runs the chain, connects and relays. The log phase runs however it ends.
async fn run(
    worker: &Rc<Worker>,
    pinned: Rc<Pinned>,
    bound: &Bound,
    mut client: Wire,
    x: &mut Exchange,
) -> Result<(), Fault> {
    let mut collection = Collection::new();
    let ended = match preread(worker, bound, x, &mut collection).await {
        Ok(()) => forward(worker, pinned, bound, &mut client, x).await,
        Err(fault) => Err(fault),
    };
    x.response.status = match &ended {
        Ok(()) => 200,
        Err(fault) => fault.status(),
    };
    finish(worker, bound, x, &collection, "TCP");
    ended
}

async fn preread(worker: &Worker, bound: &Bound, x: &mut Exchange, collection: &mut Collection) -> Result<(), Fault> {
    let mut nothing = BodySource::absent(&worker.settings);
    if bound.chain.tracers > 0 {
        // Spans of the gateway's own work are those of requests; here only times are noted.
        x.trace.begin(Instrumentations::NONE);
        x.trace.expect(bound.chain.tracers);
        x.trace.times.access_start = worker.node.clock.monotonic_ns();
    }
    let walked = walk::collect(Waiting::Preread, &bound.chain, x, &worker.host, &mut nothing, collection).await;
    x.latencies.access_end = worker.node.clock.monotonic_ns();
    match walked {
        Walked::On => Ok(()),
        Walked::Reply(reply) => {
            x.response_source = ResponseSource::Exit;
            let cause = "a plugin ended the connection";
            Err(Fault::new(FaultKind::Status(reply.status), Source::Downstream, Retry::Never, cause))
        }
        Walked::Fault(fault) => Err(*fault),
    }
}

fn finish(worker: &Worker, bound: &Bound, x: &mut Exchange, collection: &Collection, transport: &'static str) {
    x.latencies.end = worker.node.clock.monotonic_ns();
    if let Err(fault) = log_phase(worker, x, &bound.chain, collection) {
        report(x, &fault);
    }
    if let Some(log) = &worker.stream_log {
        log.write_as(x, transport);
    }
    forget_log_lines(x.id);
}

async fn forward(
    worker: &Rc<Worker>,
    pinned: Rc<Pinned>,
    bound: &Bound,
    client: &mut Wire,
    x: &mut Exchange,
) -> Result<(), Fault> {
    let service = bound.matched.service.clone().ok_or_else(|| Fault::internal("the route has no service"))?;
    let mut tries = Tries::default();
    let mut left = service.retries;
    let mut upstream = loop {
        let peer = noted_peer(worker, x, bound, &mut tries).await?;
        match connect(worker, &pinned, bound, &peer, x).await {
            Ok(stream) => {
                if let Some(balanced) = peer.balanced {
                    worker.end_try(balanced, None, Some(gibbon_balance::Outcome::Connected));
                }
                break stream;
            }
            Err(fault) => {
                if let Some(last) = x.tries.last_mut() {
                    last.state = Some("failed");
                }
                if let Some(balanced) = peer.balanced {
                    worker.end_try(balanced, None, Some(gibbon_balance::Outcome::TcpFailure));
                }
                if left == 0 {
                    return Err(fault);
                }
                left -= 1;
            }
        }
    };
    // A connection may go on for ever, and a plan is large.
    drop(pinned);
    let limits = RelayLimits { idle: Some(service.timeouts.read), half_close: true };
    let totals = relay(client, &mut upstream, limits, &worker.buffers).await;
    x.request_bytes += totals.a_to_b;
    x.response_bytes += totals.b_to_a;
    x.response_body_bytes += totals.b_to_a;
    if let RelayEnd::Failed(side, error) = totals.end {
        tracing::debug!(target: "stream", request_id = %x.id, "{side:?} broke off: {error}");
    }
    Ok(())
}

/// A peer for the next try, which is noted for log entries and spans.
async fn noted_peer(worker: &Rc<Worker>, x: &mut Exchange, bound: &Bound, tries: &mut Tries) -> Result<Peer, Fault> {
    let clock = &*worker.node.clock;
    let begin = clock.monotonic_ns();
    let peer = next_peer(worker, x, bound.upstream.as_ref(), bound.address, tries).await?;
    x.latencies.balancer_end = clock.monotonic_ns();
    note_try(x, &peer, begin);
    if x.trace.is_on() {
        x.trace.peer_name = Some((*peer.host).into());
    }
    Ok(peer)
}

async fn connect(
    worker: &Rc<Worker>,
    pinned: &Pinned,
    bound: &Bound,
    peer: &Peer,
    x: &Exchange,
) -> Result<Wire, Fault> {
    let Matched { route, service, .. } = &*bound.matched;
    let service = service.as_ref().ok_or_else(|| Fault::internal("the route has no service"))?;
    let tls = if service.protocol == gibbon_pdk::Protocol::Tls {
        let preserved = x.client.tls.as_ref().and_then(|t| t.sni.as_deref()).filter(|_| route.preserve_host);
        let identity = bound.upstream.as_ref().and_then(|u| u.client_certificate);
        let upstream = &worker.settings.upstream;
        let profile = Rc::new(profile(&service.tls, identity, preserved.unwrap_or(&peer.host), false, upstream));
        Some(worker.tls.get(&profile, &pinned.plan, &worker.node, upstream)?)
    } else {
        None
    };
    let header = worker.settings.stream_proxy_protocol.then(|| {
        let source = SocketAddr::new(x.client.ip, x.client.port);
        ProxyHeader::new(ProxyVersion::V1, Transport::Stream, source, x.client.local)
    });
    let address = ConnectAddress::Ip(peer.address);
    let target = Target {
        address: &address,
        timeout: service.timeouts.connect,
        tls: tls.as_ref().map(|(tls, name)| TlsTarget { tls, name }),
        proxy_header: header.as_ref(),
    };
    worker.connector.connect(&target).await.map_err(|error| {
        let cause = format!("connecting to {}: {error}", peer.address);
        Fault::new(FaultKind::ConnectRefused, Source::Upstream, Retry::Yes, cause)
    })
}

/// Sessions that are under way, by the client's address and the one it sent to.
type Sessions = Rc<RefCell<HashMap<(SocketAddr, SocketAddr), Session>>>;

/// What is needed to finish a session.
struct Session {
    x: Box<Exchange>,
    /// Absent where no route was found.
    bound: Option<Rc<Bound>>,
    collection: Collection,
}

/// Serves the sessions of a UDP listener.
pub async fn serve_udp(listener: UdpListener, worker: Rc<Worker>) {
    const SESSIONS: usize = 16_384;
    let sessions = Sessions::default();
    let (beginning, begun) = (Rc::clone(&worker), Rc::clone(&sessions));
    // Sessions count as open connections, so that a worker which is to end waits for them.
    let route = move |start: UdpStart| {
        beginning.counters.net.accepted.add(1);
        beginning.counters.net.active.add(1);
        begin_udp(Rc::clone(&beginning), Rc::clone(&begun), start)
    };
    let ended = move |totals: UdpSessionTotals| {
        worker.counters.net.active.subtract(1);
        let session = sessions.borrow_mut().remove(&(totals.client, totals.local));
        if let Some(session) = session {
            end_udp(&worker, session, &totals);
        }
    };
    if let Err(error) = listener.serve(UdpSessionLimits { sessions: SESSIONS }, route, ended).await {
        tracing::error!(target: "stream", "UDP listener {}: {error}", listener.local());
    }
}

async fn begin_udp(worker: Rc<Worker>, sessions: Sessions, start: UdpStart) -> Option<UdpTarget> {
    let mut session = Session { x: worker.take_exchange(), bound: None, collection: Collection::new() };
    let found = caught::catch(pin!(target_of(&worker, &start, &mut session))).await;
    let target = match found {
        Ok(Ok(target)) => Some(target),
        Ok(Err(fault)) => {
            session.x.response.status = fault.status();
            report(&session.x, &fault);
            None
        }
        Err(panicked) => {
            let fault = of_panic(&worker, &panicked);
            session.x.response.status = fault.status();
            report(&session.x, &fault);
            None
        }
    };
    sessions.borrow_mut().insert((start.client, start.local), session);
    target
}

async fn target_of(worker: &Rc<Worker>, start: &UdpStart, session: &mut Session) -> Result<UdpTarget, Fault> {
    let x = &mut *session.x;
    x.id = gibbon_pdk::RequestId(worker.ids.next());
    x.started_ns = worker.node.clock.wall_ns();
    x.latencies.start = worker.node.clock.monotonic_ns();
    x.client.ip = start.client.ip();
    x.client.port = start.client.port();
    x.client.peer_ip = start.client.ip();
    x.client.peer_port = start.client.port();
    x.client.local = start.local;
    x.client.published_port = start.local.port();
    let pinned = worker.pin();
    let bound = find(worker, &pinned, x, Protocol::Udp, None)?;
    session.bound = Some(Rc::clone(&bound));
    preread(worker, &bound, x, &mut session.collection).await?;
    let service = bound.matched.service.clone().ok_or_else(|| Fault::internal("the route has no service"))?;
    let mut tries = Tries::default();
    let peer = noted_peer(worker, x, &bound, &mut tries).await?;
    if let Some(balanced) = peer.balanced {
        worker.end_try(balanced, None, None);
    }
    x.response.status = 200;
    Ok(UdpTarget { address: peer.address, idle: service.timeouts.read, responses: None })
}

/// As at the end of a connection. A session that could not be opened has been reported already.
fn end_udp(worker: &Worker, mut session: Session, totals: &UdpSessionTotals) {
    let x = &mut *session.x;
    if x.response.status == 200 && totals.target.is_none() {
        x.response.status = 502;
    }
    x.request_bytes = totals.bytes_in;
    x.response_bytes = totals.bytes_out;
    x.response_body_bytes = totals.bytes_out;
    if let Some(bound) = &session.bound {
        finish(worker, bound, x, &session.collection, "UDP");
    }
    worker.give_back(session.x);
}

/// Tells the error log of streams, at the level that the fault's source deserves.
fn report(x: &Exchange, fault: &Fault) {
    let (client, server) = (x.client.ip, x.client.local);
    match fault.source {
        Source::Downstream => tracing::info!(target: "stream", %client, %server, request_id = %x.id, "{fault}"),
        Source::Upstream | Source::Ourselves | Source::Plugin => {
            tracing::error!(target: "stream", %client, %server, request_id = %x.id, "{fault}");
        }
    }
}

fn of_client(cause: &str) -> Fault {
    Fault::new(FaultKind::Status(400), Source::Downstream, Retry::Never, cause.to_owned())
}
