//! The typed form of a configuration, built from checked values. One file per concern; each has its own small builder.

mod access;
mod builder;
mod cluster;
mod console;
mod logs;
mod lua;
mod material;
mod names;
mod node;
mod store;
mod tls;
mod traffic;

use std::path::PathBuf;

pub use access::{Access, Audit, EnforceRbac};
pub(crate) use builder::Builder;
pub use cluster::{Cluster, ClusterTls, Ocsp};
pub use console::Console;
pub use logs::{AccessLogTarget, Escape, LogFormat, LogLevel, Logs, Sink};
pub use lua::{Lua, PluginServer, SharedDict, UntrustedLua, Wasm};
pub use material::{KeyPairSource, Material};
pub use names::{NameResolution, RecordType};
pub use node::{Node, Role, Tracing, Workers};
pub use store::{Database, Datastore, DeclarativeSource, Keyring, Postgres, PostgresTlsVersion};
pub use tls::{CipherSuite, ClientVerification, ClientVerifications, Tls, TlsVersions, VerifyClient};
pub use traffic::{
    ClientLimits, ErrorPages, HeaderBuffers, HeaderTokens, Listeners, PortMaps, RealIp, RealIpSource, TrustedPeers,
    UpstreamKeepalive,
};

use crate::inject::Injected;
use crate::origin::{Fault, Notice};
use crate::values::Values;
use crate::{Compat, Surroundings};

/// How routes are written and ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouterFlavor {
    /// The oldest order of routes.
    Traditional,
    /// Routes as fields, matched as expressions.
    TraditionalCompatible,
    /// Routes written as expressions.
    Expressions,
}

impl RouterFlavor {
    /// The name in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traditional => "traditional",
            Self::TraditionalCompatible => "traditional_compatible",
            Self::Expressions => "expressions",
        }
    }
}

/// Which of several offered things are on: everything bundled, some names, or both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Everything that comes with the gateway.
    pub bundled: bool,
    /// Further names.
    pub names: Vec<String>,
}

impl Selection {
    fn from_list(list: &[String]) -> Self {
        if list.first().is_none_or(|first| first == "off" || first.is_empty()) {
            return Self::default();
        }
        let is_name = |name: &&String| !matches!(name.as_str(), "bundled" | "off" | "");
        Self {
            bundled: list.iter().any(|name| name == "bundled"),
            names: list.iter().filter(is_name).cloned().collect(),
        }
    }

    /// Whether a name is on, given whether it is bundled.
    #[must_use]
    pub fn includes(&self, name: &str, is_bundled: bool) -> bool {
        (self.bundled && is_bundled) || self.names.iter().any(|given| given == name)
    }
}

/// Everything the gateway reads.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Version of Kong that is spoken.
    pub compat: Compat,
    /// Working directory.
    pub prefix: PathBuf,
    /// This process: role, workers, user.
    pub node: Node,
    /// Where it listens.
    pub listeners: Listeners,
    /// Published ports.
    pub port_maps: PortMaps,
    /// Limits for clients of the proxy.
    pub client: ClientLimits,
    /// Limits for clients of the Admin API.
    pub admin_client: ClientLimits,
    /// Upstream connections.
    pub upstream_keepalive: UpstreamKeepalive,
    /// First buffer for an upstream's response head, in bytes.
    pub proxy_buffer_size: u64,
    /// Response headers the gateway adds.
    pub headers: HeaderTokens,
    /// Whether upstreams get `X-Kong-Request-Id`.
    pub request_id_upstream: bool,
    /// Peers believed about the client.
    pub real_ip: RealIp,
    /// Generated errors.
    pub error_pages: ErrorPages,
    /// Whether `Kong-Debug` is answered.
    pub allow_debug_header: bool,
    /// Timing of single requests on demand.
    pub request_debug: RequestDebug,
    /// TLS towards clients and of the gateway's own connections.
    pub tls: Tls,
    /// Logs.
    pub logs: Logs,
    /// Tracing.
    pub tracing: Tracing,
    /// Where configuration lives.
    pub datastore: Datastore,
    /// Name resolution.
    pub dns: NameResolution,
    /// Order of routes.
    pub router_flavor: RouterFlavor,
    /// Plugins offered.
    pub plugins: Selection,
    /// Vault backends offered.
    pub vaults: Selection,
    /// What vaults are configured with that have no entity.
    pub vault_options: crate::vault::Options,
    /// Lua.
    pub lua: Lua,
    /// Proxy-wasm filters.
    pub wasm: Wasm,
    /// External plugin servers.
    pub plugin_servers: Vec<PluginServer>,
    /// Control and data planes.
    pub cluster: Cluster,
    /// Who may call the Admin API, and what is written down of it.
    pub access: Access,
    /// The console.
    pub console: Console,
    /// HTTP proxy for outgoing connections.
    pub outgoing_proxy: Option<OutgoingProxy>,
    /// Character set named in generated text answers.
    pub charset: Option<String>,
    /// All injected directives, for whoever needs one that has no field.
    pub injected: Injected,
}

/// Timing of single requests on demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestDebug {
    /// Whether it is on.
    pub enabled: bool,
    /// Token remote callers must show; unset means one is made at start.
    pub token: Option<String>,
}

/// HTTP proxy for outgoing connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingProxy {
    /// `http://` or `https://` URL; may hold credentials, so never print it.
    pub url: String,
    /// Verify the proxy's certificate.
    pub verify: bool,
}

impl Settings {
    pub(crate) fn build(
        values: &Values,
        injected: Injected,
        surroundings: &dyn Surroundings,
        notices: &mut Vec<Notice>,
        faults: &mut Vec<Fault>,
    ) -> Self {
        let mut b = Builder { values, injected: &injected, surroundings, notices, faults };
        let prefix = PathBuf::from(b.values.text("prefix").unwrap_or("/usr/local/kong/"));
        let listeners = Listeners::build(&mut b);
        let settings = Self {
            compat: b.values.compat(),
            node: Node::build(&mut b),
            port_maps: PortMaps::build(&mut b),
            client: ClientLimits::of_the_proxy(&b),
            admin_client: ClientLimits::of_the_admin_api(&b),
            upstream_keepalive: UpstreamKeepalive::build(&b),
            proxy_buffer_size: b.directive_size(&["location", "proxy", "http"], "proxy_buffer_size", 4096),
            headers: HeaderTokens::build(&mut b),
            request_id_upstream: traffic::request_id_upstream(&mut b),
            real_ip: RealIp::build(&mut b),
            error_pages: ErrorPages::build(&mut b),
            allow_debug_header: b.values.flag("allow_debug_header"),
            request_debug: RequestDebug {
                enabled: b.values.flag("request_debug"),
                token: b.values.text("request_debug_token").map(str::to_owned),
            },
            tls: Tls::build(&mut b, &listeners),
            logs: Logs::build(&mut b, &prefix),
            tracing: Tracing::build(&mut b),
            datastore: Datastore::build(&mut b, &prefix),
            dns: NameResolution::build(&mut b),
            router_flavor: router_flavor(b.values),
            plugins: Selection::from_list(&b.values.list("plugins")),
            vaults: Selection::from_list(&b.values.list("vaults")),
            vault_options: b.values.vault_options(),
            lua: Lua::build(&mut b),
            wasm: Wasm::build(&mut b),
            plugin_servers: lua::plugin_servers(&b, &prefix),
            cluster: Cluster::build(&mut b),
            access: Access::build(&mut b),
            console: Console::build(&mut b),
            outgoing_proxy: node::outgoing_proxy(&mut b),
            charset: b.directive(&["location", "proxy", "http"], "charset").map(str::to_owned).filter(|c| c != "off"),
            listeners,
            prefix,
            injected: Injected::default(),
        };
        Self { injected, ..settings }
    }
}

fn router_flavor(values: &Values) -> RouterFlavor {
    match values.text("router_flavor") {
        Some("traditional") => RouterFlavor::Traditional,
        Some("expressions") => RouterFlavor::Expressions,
        _ => RouterFlavor::TraditionalCompatible,
    }
}
