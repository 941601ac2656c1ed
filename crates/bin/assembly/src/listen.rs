//! Listeners: from their settings to bound sockets with what is spoken on them.

use std::net::ToSocketAddrs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use gibbon_conf::listen::{Address, SoKeepalive};
use gibbon_conf::{ClientVerification, KeyPairSource, Listener, Material, Settings, VerifyClient};
use gibbon_net::{Inherited, Keepalive, ListenAddress, ListenSpec, SocketKind, bind};
use gibbon_proxy::{Kind, Listening, Mode, Node, PlanCertificates};
use gibbon_tls::{
    Certificate, CertificatePair, CertificateSource, Ciphers, ClientCertificates, ClientRule, ClientTrust, Protocols,
    ServerTls, ServerTlsSettings, SessionTickets, TrustStore,
};

use crate::settings::text_of;

/// Binds the listeners of traffic, HTTP and stream.
///
/// # Errors
/// An address that cannot be bound, or TLS settings that cannot be used, named.
pub fn traffic(
    settings: &Settings,
    node: &Arc<Node>,
    workers: usize,
    inherited: &mut Inherited,
) -> anyhow::Result<Vec<Listening>> {
    let http = settings.listeners.proxy.iter().map(|l| (l, Kind::Http));
    let stream = settings.listeners.stream.iter().map(|l| (l, if l.udp { Kind::Udp } else { Kind::Stream }));
    let mut listening = Vec::new();
    for (listener, kind) in http.chain(stream) {
        let sockets = bind(&spec(listener)?, workers, inherited)?;
        let http2 = listener.http2 && kind == Kind::Http;
        let asked = &settings.tls.client_verification;
        let asked = if kind == Kind::Http { &asked.proxy } else { &asked.stream };
        let clients = asked.as_ref().filter(|_| listener.ssl).map(client_rule).transpose()?;
        let tls = if listener.ssl { Some(traffic_tls(settings, node, kind, http2, clients.as_ref())?) } else { None };
        let mode = Mode { kind, tls, clients, http2, proxy_protocol: listener.proxy_protocol };
        listening.push(Listening { sockets, mode });
    }
    Ok(listening)
}

/// What is to be bound for a listener.
///
/// # Errors
/// A host name that does not resolve.
pub fn spec(listener: &Listener) -> anyhow::Result<ListenSpec> {
    let address = match &listener.addr {
        Address::Tcp(address) => ListenAddress::Ip(*address),
        Address::Unix(path) => ListenAddress::Unix(path.clone()),
        Address::Name { host, port } => {
            let found =
                (host.as_str(), *port).to_socket_addrs().with_context(|| format!("listener '{host}:{port}'"))?;
            ListenAddress::Ip(
                found.into_iter().next().with_context(|| format!("listener '{host}:{port}': no address"))?,
            )
        }
    };
    let anywhere = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    let mut spec = ListenSpec::tcp(anywhere);
    spec.address = address;
    spec.kind = if listener.udp { SocketKind::Datagram } else { SocketKind::Stream };
    spec.reuseport = listener.reuseport;
    spec.backlog = listener.backlog.unwrap_or(spec.backlog);
    spec.deferred = listener.deferred;
    spec.ipv6only = listener.ipv6only.unwrap_or(spec.ipv6only);
    spec.keepalive = match listener.so_keepalive {
        SoKeepalive::System => Keepalive::System,
        SoKeepalive::Off => Keepalive::Off,
        SoKeepalive::On => Keepalive::On { idle: None, interval: None, count: None },
        SoKeepalive::Tuned { idle, interval, count } => Keepalive::On { idle, interval, count },
    };
    Ok(spec)
}

/// What the settings ask of clients' certificates.
///
/// # Errors
/// A file of authorities that cannot be read or used, named.
pub fn client_rule(asked: &ClientVerification) -> anyhow::Result<ClientRule> {
    let authorities = match &asked.authorities {
        None => TrustStore::empty(),
        Some(path) => {
            let name = path.display().to_string();
            let pem = std::fs::read(path).with_context(|| format!("ssl_client_certificate '{name}'"))?;
            TrustStore::from_pem([(name.as_str(), pem.as_slice())])?
        }
    };
    Ok(ClientRule {
        trust: ClientTrust::new(authorities, asked.depth),
        required: asked.mode == VerifyClient::Required,
        any_authority: asked.mode == VerifyClient::OptionalNoCa,
    })
}

fn traffic_tls(
    settings: &Settings,
    node: &Arc<Node>,
    kind: Kind,
    http2: bool,
    clients: Option<&ClientRule>,
) -> anyhow::Result<ServerTls> {
    let default = default_pair(&settings.tls.proxy, &settings.prefix, "kong-default")?;
    let source = Arc::new(PlanCertificates::new(Arc::clone(node), default));
    let alpn = if kind == Kind::Http { http_alpn(http2) } else { Vec::new() };
    server_tls(settings, source, alpn, clients)
}

/// What a listener of HTTP agrees on.
pub fn http_alpn(http2: bool) -> Vec<Vec<u8>> {
    match http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    }
}

/// TLS as the settings have it, with certificates from `source`.
///
/// # Errors
/// Settings that cannot be used.
pub fn server_tls(
    settings: &Settings,
    source: Arc<dyn CertificateSource>,
    alpn: Vec<Vec<u8>>,
    clients: Option<&ClientRule>,
) -> anyhow::Result<ServerTls> {
    let tls = &settings.tls;
    let ciphers = match &tls.ciphers {
        Some(list) => {
            let (ciphers, notices) = Ciphers::parse(list);
            let asked_for =
                list.split([':', ',', ' ']).filter(|word| !word.is_empty() && !word.starts_with(['!', '-']));
            anyhow::ensure!(
                asked_for.count() > notices.len(),
                "ssl_ciphers: no cipher of '{list}' is known (valid: names as OpenSSL has them, such as \
                 ECDHE-RSA-AES128-GCM-SHA256)"
            );
            // The named suites list what else there might be; whoever wrote a list is told what of it there is not.
            if tls.suite.ciphers().as_ref() != Some(list) {
                notices.iter().for_each(|notice| tracing::warn!("ssl_ciphers: {notice}"));
            }
            ciphers
        }
        None => Ciphers::default(),
    };
    let server = ServerTlsSettings {
        protocols: Protocols { tls12: tls.versions.tls12, tls13: tls.versions.tls13 },
        ciphers,
        prefer_server_ciphers: tls.prefer_server_ciphers,
        alpn,
        tickets: if tls.session_tickets { SessionTickets::On } else { SessionTickets::Off },
        session_lifetime: tls.session_timeout,
        // About 250 bytes a session, as nginx counts four thousand to the megabyte.
        session_cache: (tls.session_cache_size / 256) as usize,
        client_certificates: clients.map_or(ClientCertificates::Ignore, |rule| ClientCertificates::Request {
            authorities: rule.trust.authorities().clone(),
        }),
        ..ServerTlsSettings::default()
    };
    Ok(ServerTls::new(&server, source)?)
}

/// The certificates for names that no entity knows: the settings', else the self-signed pair of the prefix.
///
/// # Errors
/// Files that cannot be read or used, named.
pub fn default_pair(sources: &[KeyPairSource], prefix: &Path, name: &str) -> anyhow::Result<CertificatePair> {
    let ssl = prefix.join("ssl");
    let own = |suffix: &str| KeyPairSource {
        cert: Material::Path(ssl.join(format!("{name}{suffix}.crt"))),
        key: Material::Path(ssl.join(format!("{name}{suffix}.key"))),
    };
    let fallback = [own(""), own("-ecdsa")];
    let sources = if sources.is_empty() { &fallback[..] } else { sources };
    let mut parsed = Vec::new();
    for source in sources {
        let certificate = Certificate::from_pem(text_of(&source.cert)?.as_bytes(), text_of(&source.key)?.as_bytes());
        parsed.push(certificate.with_context(|| match &source.cert {
            Material::Path(path) => format!("certificate {}", path.display()),
            Material::Pem(_) => "a certificate in the settings".to_owned(),
        })?);
    }
    let mut parsed = parsed.into_iter();
    let first = parsed.next().context("no default certificate")?;
    Ok(CertificatePair::new(first, parsed.next()))
}
