//! Rules between settings, with Kong's texts, and choices that are unsafe on a public network.

use std::net::SocketAddr;

use crate::listen::{Address, Listener};
use crate::origin::{Fault, Notice, NoticeKind, Origin};
use crate::settings::{CipherSuite, ClusterTls, Database, Listeners, Role, Settings, UntrustedLua};
use crate::values::Values;

/// Rules that single values cannot break.
pub(crate) fn combinations(settings: &Settings, values: &Values, faults: &mut Vec<Fault>) {
    let mut fault = |name: &str, message: String| faults.push(Fault::new(message).at(&values.origin(name)));
    let cluster = &settings.cluster;
    if settings.node.role != Role::Traditional && (cluster.cert.is_none() || cluster.cert_key.is_none()) {
        fault("role", "cluster certificate and key must be provided to use Hybrid mode".to_owned());
    }
    match settings.node.role {
        Role::ControlPlane => control_plane(settings, &mut fault),
        Role::DataPlane => data_plane(settings, &mut fault),
        Role::Traditional if !cluster.labels.is_empty() => {
            fault("cluster_dp_labels", "cluster_dp_labels can only be used when role = \"data_plane\"".to_owned());
        }
        Role::Traditional => {}
    }
    if cluster.purge_delay.as_secs() < 60 {
        fault("cluster_data_plane_purge_delay", "cluster_data_plane_purge_delay must be 60 or greater".to_owned());
    }
    if cluster.max_payload < 4_194_304 {
        fault("cluster_max_payload", "cluster_max_payload must be 4194304 (4MB) or greater".to_owned());
    }
    for name in ["upstream_keepalive_pool_size", "upstream_keepalive_max_requests", "upstream_keepalive_idle_timeout"] {
        if values.number(name).is_some_and(|number| number < 0.0) {
            fault(name, format!("{name} must be 0 or greater"));
        }
    }
    if values.number("worker_state_update_frequency").is_some_and(|seconds| seconds <= 0.0) {
        let name = "worker_state_update_frequency";
        fault(name, format!("{name} must be greater than 0"));
    }
    for name in ["db_update_frequency", "db_update_propagation", "connections_per_ip"] {
        if values.number(name).is_some_and(|number| number < 0.0) {
            fault(name, format!("{name} must be 0 or greater"));
        }
    }
}

fn control_plane(settings: &Settings, fault: &mut impl FnMut(&str, String)) {
    let cluster = &settings.cluster;
    if settings.listeners.admin.is_empty() {
        fault("admin_listen", "admin_listen must be specified when role = \"control_plane\"".to_owned());
    }
    if cluster.tls == ClusterTls::Pki && cluster.ca_cert.is_none() {
        fault("cluster_mtls", "cluster_ca_cert must be specified when cluster_mtls = \"pki\"".to_owned());
    }
    if settings.listeners.cluster.is_empty() {
        fault("cluster_listen", "cluster_listen must be specified when role = \"control_plane\"".to_owned());
    }
    if settings.datastore.database == Database::Off {
        fault("database", "in-memory storage can not be used when role = \"control_plane\"".to_owned());
    }
    if cluster.use_proxy {
        fault("cluster_use_proxy", "cluster_use_proxy can not be used when role = \"control_plane\"".to_owned());
    }
    if !cluster.labels.is_empty() {
        fault("cluster_dp_labels", "cluster_dp_labels can not be used when role = \"control_plane\"".to_owned());
    }
}

fn data_plane(settings: &Settings, fault: &mut impl FnMut(&str, String)) {
    if settings.listeners.proxy.is_empty() {
        fault("proxy_listen", "proxy_listen must be specified when role = \"data_plane\"".to_owned());
    }
    if settings.datastore.database != Database::Off {
        fault(
            "database",
            "only in-memory storage can be used when role = \"data_plane\"\nHint: set database = off in your kong.conf"
                .to_owned(),
        );
    }
    if settings.cluster.use_proxy && settings.outgoing_proxy.is_none() {
        fault("cluster_use_proxy", "cluster_use_proxy is turned on but no proxy_server is configured".to_owned());
    }
}

/// Choices, often defaults, that somebody on a public network should know of.
pub(crate) fn unsafe_choices(settings: &Settings, notices: &mut Vec<Notice>) {
    let mut tell = |text: String| notices.push(Notice { kind: NoticeKind::Unsafe, text, origin: Origin::Default });
    if let Some(listener) = public(&settings.listeners.admin) {
        tell(format!(
            "unsafe: the Admin API listens on {} and asks nobody who they are; bind it to a private address",
            listener.canonical()
        ));
    }
    if settings.real_ip.trusted.blocks.iter().any(|block| block.prefix_len() == 0) {
        tell("unsafe: trusted_ips trusts every peer, so any client can forge its address".to_owned());
    }
    if settings.client.max_body_size.is_none() {
        tell("unsafe: request bodies are unlimited; set nginx_http_client_max_body_size".to_owned());
    }
    if settings.allow_debug_header {
        tell("unsafe: allow_debug_header shows routes and services to every client".to_owned());
    }
    if settings.lua.untrusted == UntrustedLua::On {
        tell("unsafe: untrusted_lua = on runs Lua from plugin configuration without a sandbox".to_owned());
    }
    if settings.tls.suite == CipherSuite::Old {
        tell("unsafe: ssl_cipher_suite = old offers ciphers without forward secrecy".to_owned());
    }
    if settings.tls.proxy.is_empty() && Listeners::any_tls(&settings.listeners.proxy) {
        tell("unsafe: TLS clients without a matching certificate get a self-signed one; set ssl_cert".to_owned());
    }
    if !settings.tls.trust_system && settings.tls.trusted.is_empty() {
        tell("unsafe: lua_ssl_trusted_certificate is empty, so no server can be verified".to_owned());
    }
    let postgres = &settings.datastore.postgres;
    if settings.datastore.database == Database::Postgres && !is_local(&postgres.host) && !postgres.tls {
        tell(format!("unsafe: the connection to PostgreSQL at {} is not encrypted; set pg_ssl", postgres.host));
    }
    if settings.outgoing_proxy.as_ref().is_some_and(|proxy| proxy.url.starts_with("https:") && !proxy.verify) {
        tell("unsafe: the certificate of proxy_server is not verified; set proxy_server_ssl_verify".to_owned());
    }
}

/// The first listener that others than this machine can reach.
fn public(listeners: &[Listener]) -> Option<&Listener> {
    listeners.iter().find(|listener| match &listener.addr {
        Address::Tcp(SocketAddr::V4(addr)) => !addr.ip().is_loopback(),
        Address::Tcp(SocketAddr::V6(addr)) => !addr.ip().is_loopback(),
        Address::Name { host, .. } => host != "localhost",
        Address::Unix(_) => false,
    })
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.starts_with('/') || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}
