//! Station 8: a peer for the next try.
//!
//! A plugin's target goes first, then the upstream that the host stands for, then the host itself as an
//! address or a name.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use gibbon_balance::{AddressIndex, Attempt, Lease, host_name, joined_query_values, value_hash};
use gibbon_message::uri;
use gibbon_pdk::{Exchange, Fault, FaultKind, Instrumentations, Matched, Retry, Source, SpanKind};
use gibbon_plan::{HashSource, Upstream};
use smallvec::SmallVec;

use crate::names::Named;
use crate::request_debug;
use crate::upstreams::Live;
use crate::worker::Worker;

/// Where one try goes.
pub struct Peer {
    pub address: SocketAddr,
    /// Name for Host and SNI, without port.
    pub host: HostName,
    /// The part of the balancer in it, to be given back when the try is over.
    pub balanced: Option<Balanced>,
}

/// The name of a peer.
pub enum HostName {
    /// The service's own, as nearly always: shared with the route's other requests on this worker.
    OfService(Rc<Matched>),
    Other(Box<str>),
}

impl std::ops::Deref for HostName {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            HostName::OfService(matched) => matched.service.as_ref().map_or("", |service| &service.host),
            HostName::Other(name) => name,
        }
    }
}

/// A peer that a balancer chose.
pub struct Balanced {
    pub live: Arc<Live>,
    pub index: AddressIndex,
    pub lease: Lease,
}

/// What stays the same over all tries of an exchange.
#[derive(Default)]
pub struct Tries {
    /// The value that the exchange is hashed on, decided at the first try.
    hash: Option<Option<u32>>,
    tried: SmallVec<[AddressIndex; 4]>,
    /// The balancer whose indices `tried` holds.
    live: Option<Arc<Live>>,
}

/// Chooses a peer. `upstream` is the one to balance over, `address` the service's host where that is one.
///
/// # Errors
/// 503 when no target is available or the name does not resolve, 500 when the DNS fails otherwise.
pub async fn next_peer(
    worker: &Worker,
    x: &mut Exchange,
    upstream: Option<&Arc<Upstream>>,
    address: Option<IpAddr>,
    tries: &mut Tries,
) -> Result<Peer, Fault> {
    if let Some(target) = &x.destination.target {
        let (host, port) = (HostName::Other(target.host.clone()), target.port);
        return named(worker, x, host, port).await;
    }
    if let Some(upstream) = upstream {
        return balanced(worker, x, upstream, tries).await;
    }
    let Some((matched, port)) = x.matched.as_ref().and_then(|m| Some((Rc::clone(m), m.service.as_ref()?.port))) else {
        return Err(Fault::internal("a try without service or target"));
    };
    let host = HostName::OfService(matched);
    match address {
        Some(ip) => Ok(Peer { address: SocketAddr::new(ip, port), host, balanced: None }),
        None => named(worker, x, host, port).await,
    }
}

/// An address as it is, or a name of the DNS.
async fn named(worker: &Worker, x: &mut Exchange, host: HostName, port: u16) -> Result<Peer, Fault> {
    if let Some(ip) = literal(&host) {
        return Ok(Peer { address: SocketAddr::new(ip, port), host, balanced: None });
    }
    let named = Box::pin(resolved(worker, x, &host, port)).await?;
    let port = if named.port == 0 { port } else { named.port };
    Ok(Peer { address: SocketAddr::new(named.ip, port), host, balanced: None })
}

/// Asks the resolver, as a span and a part of the timing where those are recorded.
async fn resolved(worker: &Worker, x: &mut Exchange, host: &str, port: u16) -> Result<Named, Fault> {
    let clock = &*worker.node.clock;
    if !x.trace.is_watched() {
        return worker.node.upstreams.names.next(host).await.0;
    }
    request_debug::enter_resolving(x, host, clock);
    let start = clock.monotonic_ns();
    let (named, cached) = worker.node.upstreams.names.next(host).await;
    request_debug::leave_resolving(x, cached, clock);
    if x.trace.records(Instrumentations::DNS_QUERY) {
        let outcome = named.as_ref().map(|named| named.ip).map_err(|fault| fault.to_string().into());
        let kind = SpanKind::Dns { host: host.into(), port, outcome };
        x.trace.add(kind, start, clock.monotonic_ns());
    }
    named
}

/// An IPv4 literal, or an IPv6 literal with or without brackets.
pub fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

pub(crate) fn unresolved(host: &str, cause: &str) -> Fault {
    let cause = format!("name resolution of '{host}' failed: {cause}");
    Fault::new(FaultKind::NameResolution, Source::Ourselves, Retry::Never, cause).with_message("name resolution failed")
}

async fn balanced(
    worker: &Worker,
    x: &mut Exchange,
    upstream: &Arc<Upstream>,
    tries: &mut Tries,
) -> Result<Peer, Fault> {
    let live = match tries.live.take() {
        Some(live) => live,
        None => worker.live(upstream).await,
    };
    let hash = match tries.hash {
        Some(hash) => hash,
        None => *tries.hash.insert(hash_of(x, upstream, worker)),
    };
    let sticky = upstream.sticky_cookie.as_ref().and_then(|(name, _)| cookie(x, name)).map(<[u8]>::to_vec);
    let attempt = Attempt {
        hash,
        sticky: sticky.as_deref(),
        tried: &tries.tried,
        now_ms: worker.node.upstreams.now_ms(),
        seed: worker.next_turn() as u64,
    };
    let pick = worker.pick(&live, &attempt).map_err(|none| no_peer(upstream, &none.to_string()))?;
    tries.tried.push(pick.address);
    tries.live = Some(Arc::clone(&live));
    let Some(address) = live.balancer.address(pick.address) else {
        return Err(no_peer(upstream, "the balancer chose an unknown address"));
    };
    let host = HostName::Other(host_name(address, upstream.host_header.as_deref()).into());
    let socket = address.socket();
    stick(x, upstream, &live, pick.address, sticky.as_deref());
    Ok(Peer { address: socket, host, balanced: Some(Balanced { live, index: pick.address, lease: pick.lease }) })
}

fn no_peer(upstream: &Upstream, cause: &str) -> Fault {
    let cause = format!("upstream '{}': {cause}", upstream.name);
    Fault::new(FaultKind::NoPeer, Source::Ourselves, Retry::Never, cause)
        .with_message("failure to get a peer from the ring-balancer")
}

/// Tells the client which target it stays with, unless it said so itself.
fn stick(x: &mut Exchange, upstream: &Upstream, live: &Live, index: AddressIndex, sent: Option<&[u8]>) {
    let (Some((name, path)), Some(token)) = (&upstream.sticky_cookie, live.balancer.sticky_token(index)) else {
        return;
    };
    let token = token.to_string();
    if sent != Some(token.as_bytes()) {
        let prefix = format!("{name}=");
        x.added_headers.retain(|n, v| !(n.eq_ignore_ascii_case(b"set-cookie") && v.starts_with(prefix.as_bytes())));
        x.added_headers.append("Set-Cookie", format!("{name}={token}; Path={path}; SameSite=Lax; HttpOnly"));
    }
}

/// The hash of what the upstream is balanced on: the first source, else the fallback.
fn hash_of(x: &mut Exchange, upstream: &Upstream, worker: &Worker) -> Option<u32> {
    match &upstream.hash_on {
        HashSource::None => None,
        HashSource::Cookie(name) => Some(cookie_hash(x, name, &upstream.hash_on_cookie_path, worker)),
        source => match hash_source(x, source) {
            Some(hash) => Some(hash),
            None => match &upstream.hash_fallback {
                HashSource::None => Some(value_hash(b"")),
                HashSource::Cookie(name) => Some(cookie_hash(x, name, &upstream.hash_on_cookie_path, worker)),
                fallback => Some(hash_source(x, fallback).unwrap_or_else(|| value_hash(b""))),
            },
        },
    }
}

fn hash_source(x: &Exchange, source: &HashSource) -> Option<u32> {
    let of = |value: &[u8]| Some(value_hash(value));
    match source {
        HashSource::None | HashSource::Cookie(_) => None,
        HashSource::Consumer => {
            let id = x.consumer.as_ref().map(|c| c.id).or_else(|| x.credential.as_ref().map(|c| c.id))?;
            of(id.to_string().as_bytes())
        }
        HashSource::Ip => of(x.client.ip.to_string().as_bytes()),
        HashSource::Header(name) => {
            let values: Vec<&[u8]> = x.request.headers.get_all(name).collect();
            if values.is_empty() { None } else { of(&values.join(&b", "[..])) }
        }
        HashSource::Path => of(&uri::normalize(x.request.path())),
        HashSource::QueryArg(name) => query_hash(x, name),
        HashSource::UriCapture(name) => {
            x.captures.iter().find(|(n, _)| n == name).and_then(|(_, value)| of(value.as_bytes()))
        }
    }
}

fn query_hash(x: &Exchange, name: &str) -> Option<u32> {
    let values: Vec<String> = uri::arguments(x.request.query()?)
        .filter(|(n, _)| **n == *name.as_bytes())
        .map(|(_, v)| v.map_or_else(|| "true".to_owned(), |v| String::from_utf8_lossy(&v).into_owned()))
        .collect();
    let mut values: Vec<&str> = values.iter().map(String::as_str).collect();
    if values.is_empty() { None } else { Some(value_hash(joined_query_values(&mut values).as_bytes())) }
}

/// A client without the cookie gets one of a random value, and is hashed on that.
fn cookie_hash(x: &mut Exchange, name: &str, path: &str, worker: &Worker) -> u32 {
    if let Some(value) = cookie(x, name) {
        return value_hash(value);
    }
    let value = worker.host.random.uuid().to_string();
    x.added_headers.append("Set-Cookie", gibbon_balance::hash_cookie_header(name, &value, path));
    value_hash(value.as_bytes())
}

/// The value of a request cookie.
fn cookie<'a>(x: &'a Exchange, name: &str) -> Option<&'a [u8]> {
    x.request.headers.get_all("cookie").flat_map(|v| v.split(|&b| b == b';')).find_map(|pair| {
        let pair = pair.trim_ascii_start();
        pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
    })
}
