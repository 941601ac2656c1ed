//! Stations 1 to 3: a connection is accepted, unwrapped (PROXY protocol, TLS) and handed to HTTP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gibbon_http::{Protocol, Server, ServerSettings, serve};
use gibbon_message::Scheme;
use gibbon_net::{
    Counters, Listener, PeerAddress, ProxyAddresses, Socket, Stream, TlsArrival, accept_tls, read_proxy_header,
};
use gibbon_pdk::{Client, TlsFacts};
use gibbon_tls::{ServerTls, TlsInfo};
use tokio::time::Instant;

use crate::real_ip::RealIpSource;
use crate::run::Gateway;
use crate::settings::{ConnectionFacts, ProxySettings};

/// How long a PROXY protocol header may take.
const PROXY_HEADER_TIME: Duration = Duration::from_secs(5);

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
                let (mode, server, counters) = (Rc::clone(&mode), Rc::clone(&server), Arc::clone(&counters));
                tokio::task::spawn_local(connection(socket, mode, server, counters));
            }
            Err(error) => {
                tracing::error!("listener {}: {error}; no more connections are taken there", listener.address());
                return;
            }
        }
    }
}

async fn connection(mut socket: Socket, mode: Rc<Mode>, server: Rc<Server<Gateway>>, counters: Arc<Counters>) {
    if mode.proxy_protocol
        && let Err(error) = read_proxy_header(&mut socket, Instant::now() + PROXY_HEADER_TIME).await
    {
        counters.proxy_header_errors.add(1);
        tracing::info!("connection closed: {error}");
        return;
    }
    let Some(tls) = &mode.tls else {
        let facts = facts(&socket, Scheme::Http, None, &server);
        let protocol = if mode.http2 { Protocol::Http1OrH2cPriorKnowledge } else { Protocol::Http1 };
        serve(Stream::Plain(socket), Vec::new(), protocol, facts, server).await;
        return;
    };
    match accept_tls(socket, tls, &counters).await {
        Ok(TlsArrival::Tls(stream)) => {
            let info = stream.tls_info();
            let http2 = info.as_ref().is_some_and(|i| i.alpn == Some(b"h2"));
            let facts = facts(stream.socket(), Scheme::Https, info.map(tls_facts), &server);
            let protocol = if http2 { Protocol::Http2 } else { Protocol::Http1 };
            serve(stream, Vec::new(), protocol, facts, server).await;
        }
        Ok(TlsArrival::Plain(socket)) => {
            let facts = facts(&socket, Scheme::Http, None, &server);
            serve(Stream::Plain(socket), Vec::new(), Protocol::PlainOnTls, facts, server).await;
        }
        Err(error) => tracing::debug!("TLS handshake failed: {error}"),
    }
}

fn tls_facts(info: TlsInfo<'_>) -> TlsFacts {
    let client_chain: Vec<Vec<u8>> = info.peer_certificates().map(<[u8]>::to_vec).collect();
    TlsFacts {
        sni: info.sni.map(Box::from),
        version: info.version,
        cipher: info.cipher,
        client_verify: if client_chain.is_empty() { "NONE".into() } else { "SUCCESS".into() },
        client_chain,
    }
}

fn facts(socket: &Socket, scheme: Scheme, tls: Option<TlsFacts>, server: &Server<Gateway>) -> ConnectionFacts {
    let mut client = stream_client(socket, &server.service.worker.settings);
    client.scheme = scheme;
    ConnectionFacts { client, over_unix: socket.peer() == PeerAddress::Unix, tls: tls.map(Rc::new) }
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

fn address(end: PeerAddress) -> SocketAddr {
    match end {
        PeerAddress::Ip(address) => SocketAddr::new(address.ip().to_canonical(), address.port()),
        PeerAddress::Unix => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
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
