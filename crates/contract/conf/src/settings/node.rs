//! This process: its role, its workers, the user it becomes, tracing, and how it reaches the outside.

use std::time::Duration;

use crate::settings::{Builder, OutgoingProxy};
use crate::units::digits_only;

/// Part a node plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Serves traffic and is configured in place.
    Traditional,
    /// Configures data planes, serves no traffic.
    ControlPlane,
    /// Serves traffic as its control plane says.
    DataPlane,
}

impl Role {
    /// The name in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traditional => "traditional",
            Self::ControlPlane => "control_plane",
            Self::DataPlane => "data_plane",
        }
    }
}

/// Number of workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One per core.
    Auto,
    /// This many.
    Exactly(usize),
}

/// This process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Fixed id; unset means the one kept in the prefix.
    pub id: Option<String>,
    /// Part it plays.
    pub role: Role,
    /// Number of workers.
    pub workers: Workers,
    /// User and group to become when started as root; `None` stays.
    pub user: Option<(String, Option<String>)>,
    /// Whether the user is the default one, which need not exist.
    pub user_is_default: bool,
    /// Whether `start` goes to the background.
    pub daemon: bool,
    /// Open files; `None` raises the limit as far as allowed.
    pub open_files: Option<u64>,
    /// Client connections per worker; `None` follows the limit of open files.
    pub connections_per_worker: Option<u64>,
    /// Client connections one address may hold; `None` is unlimited.
    pub connections_per_ip: Option<u32>,
    /// How long a graceful stop waits; `None` waits for all requests.
    pub shutdown_grace: Option<Duration>,
    /// Configured by an ingress controller.
    pub ingress_controlled: bool,
}

/// More workers than any machine has cores are a mistyped number.
const MOST_WORKERS: u64 = 1024;

impl Node {
    pub(crate) fn build(b: &mut Builder<'_>) -> Self {
        let role = match b.values.text("role") {
            Some("control_plane") => Role::ControlPlane,
            Some("data_plane") => Role::DataPlane,
            _ => Role::Traditional,
        };
        let id = b.values.text("node_id").map(str::to_owned);
        if id.as_deref().is_some_and(|id| !is_uuid(id)) {
            b.fault("node_id", "node_id must be a valid UUID");
        }
        let user = b.values.text("nginx_user").map(|text| {
            let mut words = text.split_ascii_whitespace().map(str::to_owned);
            (words.next().unwrap_or_default(), words.next())
        });
        let user = user.filter(|(user, _)| !user.is_empty() && user != "nobody");
        let number = |b: &Builder<'_>, context: &str, name: &str| b.directive(&[context], name).and_then(digits_only);
        let grace = b
            .directive(&["main"], "worker_shutdown_timeout")
            .and_then(crate::units::parse_time)
            .or_else(|| b.values.time("shutdown_grace"));
        Self {
            id,
            role,
            workers: workers(b),
            user_is_default: b.values.given("nginx_user").is_none(),
            user,
            daemon: b.values.flag("nginx_daemon"),
            open_files: number(b, "main", "worker_rlimit_nofile"),
            connections_per_worker: number(b, "events", "worker_connections"),
            connections_per_ip: b.values.whole::<u32>("connections_per_ip").filter(|n| *n > 0),
            shutdown_grace: grace.filter(|grace| !grace.is_zero()),
            ingress_controlled: b.values.flag("kic"),
        }
    }
}

fn workers(b: &mut Builder<'_>) -> Workers {
    let text = b.values.text("nginx_worker_processes").unwrap_or("auto").to_owned();
    if text == "auto" {
        return Workers::Auto;
    }
    let number = digits_only(&text).filter(|n| (1..=MOST_WORKERS).contains(n));
    match number.and_then(|n| usize::try_from(n).ok()) {
        Some(number) => Workers::Exactly(number),
        None => {
            let message =
                format!("nginx_worker_processes has an invalid value: '{text}' (auto, or 1 to {MOST_WORKERS})");
            b.fault("nginx_worker_processes", message);
            Workers::Auto
        }
    }
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12] && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// What the tracer records and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// Span kinds; empty is off, `all` is everything.
    pub instrumentations: Vec<String>,
    /// Share of requests traced, 0 to 1.
    pub sampling_rate: f64,
}

impl Tracing {
    const KINDS: &'static [&'static str] = &[
        "off",
        "all",
        "request",
        "db_query",
        "dns_query",
        "router",
        "http_client",
        "balancer",
        "plugin_rewrite",
        "plugin_access",
        "plugin_header_filter",
    ];

    pub(crate) fn build(b: &mut Builder<'_>) -> Self {
        let name = "tracing_instrumentations";
        let kinds = b.values.list(name);
        for kind in &kinds {
            if !Self::KINDS.contains(&kind.as_str()) {
                b.fault(name, format!("invalid tracing type: {kind}"));
            }
        }
        if kinds.len() > 1 && kinds.iter().any(|kind| kind == "off") {
            b.fault(name, "invalid tracing types: off, other types are mutually exclusive");
        }
        let sampling_rate = b.values.number("tracing_sampling_rate").unwrap_or(0.01);
        if !(0.0..=1.0).contains(&sampling_rate) {
            b.fault("tracing_sampling_rate", "tracing_sampling_rate must be between 0 and 1");
        }
        Self { instrumentations: kinds.into_iter().filter(|kind| kind != "off").collect(), sampling_rate }
    }

    /// Whether spans of a kind are recorded.
    #[must_use]
    pub fn records(&self, kind: &str) -> bool {
        self.instrumentations.iter().any(|on| on == "all" || on == kind)
    }
}

pub(crate) fn outgoing_proxy(b: &mut Builder<'_>) -> Option<OutgoingProxy> {
    let url = b.values.text("proxy_server")?.to_owned();
    let problem = match url.split_once("://") {
        None => Some("proxy_server missing scheme".to_owned()),
        Some((scheme, _)) if scheme != "http" && scheme != "https" => {
            Some(format!("proxy_server only supports \"http\" and \"https\", got {scheme}"))
        }
        Some((_, rest)) if host_of(rest).is_empty() => Some("proxy_server missing host".to_owned()),
        Some((_, rest)) if rest.contains(['?', '#', ';']) => {
            Some("fragments, query strings or parameters are meaningless in proxy configuration".to_owned())
        }
        Some(_) => None,
    };
    if let Some(problem) = problem {
        b.fault("proxy_server", problem);
    }
    Some(OutgoingProxy { url, verify: b.values.flag("proxy_server_ssl_verify") })
}

fn host_of(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.split(':').next().unwrap_or_default()
}
