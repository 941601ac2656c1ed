//! A link to an upstream: an HTTP/1 connection out of the pool or new, or a stream of an HTTP/2 one.

use std::net::SocketAddr;
use std::rc::Rc;

use gibbon_http::client::{Connection, H2Connection, H2Stream, Opening, Reader, Timeouts, Writer};
use gibbon_message::Scheme;
use gibbon_net::{ConnectAddress, ConnectError, ConnectFailure, Stream, Target, TlsTarget};
use gibbon_pdk::{Exchange, Fault, FaultKind, Protocol, Retry, Source};

use crate::forward::Forwarding;
use crate::upstream_tls::profile;
use crate::worker::{PoolKey, Worker};

/// An open link.
pub struct Link {
    key: PoolKey,
    wire: Wire,
}

// The larger one is an HTTP/2 stream: a box around it would be an allocation per call, and links are not kept.
#[allow(clippy::large_enum_variant)]
enum Wire {
    /// In a box, because it is moved between pool and exchange at every request.
    H1(Box<Connection<Stream>>),
    H2(H2Stream),
}

impl Link {
    /// Begins the exchange.
    pub fn exchange(&mut self, timeouts: Timeouts) -> (Writer<'_>, Reader<'_>) {
        match &mut self.wire {
            Wire::H1(connection) => connection.exchange(timeouts),
            Wire::H2(stream) => stream.exchange(timeouts),
        }
    }

    #[must_use]
    pub fn is_http2(&self) -> bool {
        matches!(self.wire, Wire::H2(_))
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.key.address
    }

    /// Pools what may be used again.
    pub fn give_back(self, worker: &Worker) {
        if let Wire::H1(connection) = self.wire
            && connection.reusable()
        {
            worker.pool.put(&self.key, connection);
        }
    }

    /// The bare stream after a 101, with what came behind the head.
    #[must_use]
    pub fn into_raw(self) -> Option<(Stream, Vec<u8>)> {
        match self.wire {
            Wire::H1(connection) => Some(connection.into_raw()),
            Wire::H2(_) => None,
        }
    }
}

/// Takes a pooled connection or makes one.
///
/// # Errors
/// Why there is none, with what the try's fault is.
pub async fn open(f: &Forwarding<'_>, address: SocketAddr, host: &str, x: &Exchange) -> Result<Link, Fault> {
    let http2 = matches!(f.protocol, Protocol::Grpc | Protocol::Grpcs);
    let key = PoolKey { address, tls: tls_profile(f, host, http2, x).map(Rc::new) };
    if http2 {
        return open_h2(f, key).await;
    }
    if let Some(connection) = f.worker.pool.take(&key) {
        return Ok(Link { key, wire: Wire::H1(connection) });
    }
    let stream = Box::pin(connect(f, &key)).await?;
    let connection = Box::new(Connection::new(stream, &f.worker.wires, Rc::clone(&f.worker.client_settings)));
    Ok(Link { key, wire: Wire::H1(connection) })
}

/// The TLS of a try; the name is the Host that the upstream sees, as Kong has it.
fn tls_profile(f: &Forwarding<'_>, host: &str, http2: bool, x: &Exchange) -> Option<crate::upstream_tls::TlsProfile> {
    if !f.protocol.is_tls() {
        return None;
    }
    let preserved = x.route().filter(|r| r.preserve_host).map(|_| x.host()).filter(|h| !h.is_empty());
    let name = preserved.as_deref().unwrap_or(host);
    let tls = x.destination.tls.clone().or_else(|| x.service().map(|s| s.tls.clone())).unwrap_or_default();
    let identity = f.upstream.as_ref().and_then(|u| u.client_certificate);
    Some(profile(&tls, identity, name, http2, &f.worker.settings.upstream))
}

/// A stream of a shared connection; one more is made if none has room.
async fn open_h2(f: &Forwarding<'_>, key: PoolKey) -> Result<Link, Fault> {
    let pool = &f.worker.h2;
    let stream = loop {
        match pool.open(&key) {
            Opening::Stream(stream) => break stream,
            Opening::Connect(ticket) => break ticket.made(Box::pin(handshake(f, &key)).await?),
            Opening::Wait(attempt) => {
                if !attempt.made().await {
                    break pool.add(&key, Box::pin(handshake(f, &key)).await?);
                }
            }
        }
    };
    Ok(Link { key, wire: Wire::H2(stream) })
}

async fn handshake(f: &Forwarding<'_>, key: &PoolKey) -> Result<H2Connection, Fault> {
    let stream = connect(f, key).await?;
    let scheme = if key.tls.is_some() { Scheme::Https } else { Scheme::Http };
    let made = H2Connection::handshake(stream, scheme, &f.worker.wires, &f.worker.client_settings).await;
    made.map_err(|e| broken(&e.to_string()))
}

fn broken(cause: &str) -> Fault {
    Fault::new(FaultKind::Closed, Source::Upstream, Retry::Yes, format!("HTTP/2 to the upstream: {cause}"))
}

async fn connect(f: &Forwarding<'_>, key: &PoolKey) -> Result<Stream, Fault> {
    let worker = f.worker;
    let tls = match &key.tls {
        None => None,
        Some(profile) => {
            let made = worker.tls.get(profile, &f.pinned().plan, &worker.node, &worker.settings.upstream);
            Some(made?)
        }
    };
    let address = ConnectAddress::Ip(key.address);
    let target = Target {
        address: &address,
        timeout: f.timeouts.connect,
        tls: tls.as_ref().map(|(tls, name)| TlsTarget { tls, name }),
        proxy_header: None,
    };
    worker.connector.connect(&target).await.map_err(|error| connect_fault(key.address, &error))
}

fn connect_fault(address: SocketAddr, error: &ConnectError) -> Fault {
    let (kind, source) = match error.failure() {
        ConnectFailure::Timeout => (FaultKind::ConnectTimeout, Source::Upstream),
        ConnectFailure::TlsVerification | ConnectFailure::Tls(_) => (FaultKind::TlsHandshake, Source::Upstream),
        ConnectFailure::Local => (FaultKind::ConnectRefused, Source::Ourselves),
        _ => (FaultKind::ConnectRefused, Source::Upstream),
    };
    Fault::new(kind, source, Retry::Yes, format!("connecting to {address}: {error}"))
}
