//! Stations 1 to 3: a connection is accepted, unwrapped (PROXY protocol, TLS) and handed to HTTP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gibbon_http::{ConnectionEnd, Protocol, Server, ServerSettings, serve};
use gibbon_message::Scheme;
use gibbon_net::{Counters, Listener, PeerAddress, ProxyAddresses, Socket, Stream, TlsArrival, read_proxy_header};
use gibbon_pdk::{Client, TlsFacts};
use gibbon_tls::{ClientDistrust, ClientRule, ClientVerdict, ServerTls, TlsInfo};
use tokio::task::spawn_local;
use tokio::time::Instant;

use crate::handshake::{self, NoSession};
use crate::real_ip::RealIpSource;
use crate::run::Gateway;
use crate::settings::{ConnectionFacts, ProxySettings};
use crate::worker::Worker;

/// How long a PROXY protocol header may take.
const PROXY_HEADER_TIME: Duration = Duration::from_secs(5);

/// nginx's own statuses for clients whose certificate is not accepted; they leave as 400.
const CERTIFICATE_ERROR: u16 = 495;
const NO_CERTIFICATE: u16 = 496;

/// What is served on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Http,
    /// TCP and TLS.
    Stream,
    Udp,
}

/// What a listener does with a connection.
#[derive(Clone)]
pub struct Mode {
    pub kind: Kind,
    pub tls: Option<ServerTls>,
    /// What is asked of clients' certificates; the TLS settings then ask for them.
    pub clients: Option<ClientRule>,
    /// HTTP/2 is spoken: after ALPN over TLS, with prior knowledge in the clear.
    pub http2: bool,
    /// A PROXY protocol header is expected.
    pub proxy_protocol: bool,
}

/// Accepts until the listener fails for good or the task is dropped.
pub async fn accept(listener: Listener, mode: Rc<Mode>, server: Rc<Server<Gateway>>, counters: Arc<Counters>) {
    loop {
        match listener.accept().await {
            Ok(socket) => {
                if mode.proxy_protocol || mode.tls.is_some() {
                    let (mode, server, counters) = (Rc::clone(&mode), Rc::clone(&server), Arc::clone(&counters));
                    spawn_local(arrive(socket, mode, server, counters));
                } else {
                    spawn_local(serving(Arrived::plain(socket, &mode), &server));
                }
            }
            Err(error) => {
                tracing::error!("listener {}: {error}; no more connections are taken there", listener.address());
                return;
            }
        }
    }
}

/// A connection behind its arrival.
struct Arrived {
    stream: Stream,
    protocol: Protocol,
    tls: Option<TlsFacts>,
    refused: Option<u16>,
}

/// Reads off what comes ahead of HTTP. Serving is a task of its own, because it is smaller: connections idle by the
/// thousand.
async fn arrive(socket: Socket, mode: Rc<Mode>, server: Rc<Server<Gateway>>, counters: Arc<Counters>) {
    if let Some(arrived) = unwrapped(&server.service.worker, socket, &mode, &counters).await {
        spawn_local(serving(arrived, &server));
    }
}

/// Serves a connection until it ends.
fn serving(arrived: Arrived, server: &Rc<Server<Gateway>>) -> impl Future<Output = ConnectionEnd> + 'static {
    let Arrived { stream, protocol, tls, refused } = arrived;
    let facts = ConnectionFacts { refused, ..facts(&stream, tls, server) };
    serve(stream, Vec::new(), protocol, facts, Rc::clone(server))
}

/// What is left of a connection without PROXY protocol and TLS. `None`: nothing.
async fn unwrapped(worker: &Rc<Worker>, mut socket: Socket, mode: &Mode, counters: &Counters) -> Option<Arrived> {
    if mode.proxy_protocol
        && let Err(error) = read_proxy_header(&mut socket, Instant::now() + PROXY_HEADER_TIME).await
    {
        counters.proxy_header_errors.add(1);
        tracing::info!("connection closed: {error}");
        return None;
    }
    let Some(tls) = &mode.tls else { return Some(Arrived::plain(socket, mode)) };
    match handshake::accept(worker, socket, tls, counters).await {
        Ok(TlsArrival::Tls(stream)) => {
            let info = stream.tls_info();
            let http2 = info.as_ref().is_some_and(|i| i.alpn == Some(b"h2"));
            let tls = info.map(tls_facts);
            let (tls, refused) = match (tls, &mode.clients) {
                (Some(facts), Some(rule)) => judged(facts, rule),
                (tls, _) => (tls, None),
            };
            let protocol = if http2 { Protocol::Http2 } else { Protocol::Http1 };
            Some(Arrived { stream, protocol, tls, refused })
        }
        Ok(TlsArrival::Plain(socket)) => {
            Some(Arrived { stream: Stream::Plain(socket), protocol: Protocol::PlainOnTls, tls: None, refused: None })
        }
        Err(NoSession::Handshake(error)) => {
            tracing::debug!("TLS handshake failed: {error}");
            None
        }
        Err(refused @ NoSession::Plugin(_)) => {
            tracing::error!("TLS handshake refused: {refused}");
            None
        }
    }
}

impl Arrived {
    fn plain(socket: Socket, mode: &Mode) -> Self {
        let protocol = if mode.http2 { Protocol::Http1OrH2cPriorKnowledge } else { Protocol::Http1 };
        Arrived { stream: Stream::Plain(socket), protocol, tls: None, refused: None }
    }
}

/// The facts with the listener's judgement in them, and the status of nginx's that refuses the client.
fn judged(mut facts: TlsFacts, rule: &ClientRule) -> (Option<TlsFacts>, Option<u16>) {
    let verdict = rule.verdict(&facts.client_chain);
    facts.client_verify = verdict.to_string().into();
    let status = if verdict == ClientVerdict::NoneShown { NO_CERTIFICATE } else { CERTIFICATE_ERROR };
    (Some(facts), rule.refuses(verdict).then_some(status))
}

pub(crate) fn tls_facts(info: TlsInfo<'_>) -> TlsFacts {
    let client_chain: Vec<Vec<u8>> = info.peer_certificates().map(<[u8]>::to_vec).collect();
    TlsFacts {
        sni: info.sni.map(Box::from),
        version: info.version,
        cipher: info.cipher,
        // Nobody has judged it here: what is not known to be trusted must not look as if it were.
        client_verify: match client_chain.is_empty() {
            true => ClientVerdict::NoneShown,
            false => ClientVerdict::Distrusted(ClientDistrust::UnknownAuthority),
        }
        .to_string()
        .into(),
        client_chain,
    }
}

fn facts(stream: &Stream, tls: Option<TlsFacts>, server: &Server<Gateway>) -> ConnectionFacts {
    let socket = stream.socket();
    let mut client = stream_client(socket, &server.service.worker.settings);
    client.scheme = if matches!(stream, Stream::Plain(_)) { Scheme::Http } else { Scheme::Https };
    ConnectionFacts { client, over_unix: socket.peer() == PeerAddress::Unix, tls: tls.map(Rc::new), refused: None }
}

/// Who is at the other end of a socket.
pub(crate) fn stream_client(socket: &Socket, settings: &ProxySettings) -> Client {
    let peer = address(socket.peer());
    let local = address(socket.local());
    let mut client = Client {
        ip: peer.ip(),
        port: peer.port(),
        peer_ip: peer.ip(),
        peer_port: peer.port(),
        trusted: false,
        local,
        published_port: published(local.port(), &settings.port_maps),
        scheme: Scheme::Http,
        tls: None,
    };
    // The sender's word about the client counts where the settings say so and the sender is trusted.
    if settings.real_ip.source == RealIpSource::ProxyProtocol
        && settings.real_ip.may_name(client.peer_ip)
        && let Some(ProxyAddresses::Ip { source, .. }) = socket.proxy_header().map(|h| h.addresses)
    {
        client.ip = source.ip();
        client.port = source.port();
    }
    client
}

/// A Unix socket has no address of its own: the unspecified one stands for `unix:`, so that nobody who comes over it
/// passes for this machine (a list of allowed addresses would let them in).
fn address(end: PeerAddress) -> SocketAddr {
    match end {
        PeerAddress::Ip(address) => SocketAddr::new(address.ip().to_canonical(), address.port()),
        PeerAddress::Unix => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    }
}

fn published(port: u16, maps: &[(u16, u16)]) -> u16 {
    maps.iter().find(|(listening, _)| *listening == port).map_or(port, |(_, published)| *published)
}

/// A server for one worker's listeners.
#[must_use]
pub fn server(gateway: Rc<Gateway>, settings: Rc<ServerSettings>, drain: gibbon_http::Drain) -> Rc<Server<Gateway>> {
    Rc::new(Server { worker: Rc::clone(&gateway.worker.wires), settings, service: gateway, drain })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_result<'s, A, B: 's, R>(_: impl Fn(A, &'s B) -> R) -> usize {
        size_of::<R>()
    }

    /// An idle client costs this, its task's header, its socket's place with the runtime and little else.
    #[test]
    fn the_future_of_a_connection_stays_small() {
        let size = size_of_result(serving);
        assert!(size <= 640, "{size} bytes");
    }
}
