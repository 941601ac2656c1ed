//! The Admin and Status APIs of this node: where they listen, and what they are told of the node.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gibbon_admin::{
    About, Admin, AdminListener, AdminSettings, CallLog, Connections, HealthError, LevelError, NodeView, PluginInfo,
    Readiness, Surface, serve,
};
use gibbon_balance::{AddressIndex, UpstreamReport};
use gibbon_conf::{KeyPairSource, Listener, LogLevel, Settings, Typed, Values};
use gibbon_declare::EMPTY_HASH;
use gibbon_journal::LevelControl;
use gibbon_net::{BoundSocket, Inherited, bind};
use gibbon_pdk::{AdminPaths, AdminRoot, HttpClient, NodeFacts};
use gibbon_plan::Plugins;
use gibbon_ports::NodeMetrics;
use gibbon_proxy::{Node, live_of};
use gibbon_store::Documents;
use gibbon_tls::{Certificate, CertificatePair, CertificateSource, ClientHello, ClientRule, ServerTls};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::node::AccessLogs;
use crate::{access, listen, settings as from_settings};

/// A future as the Admin API waits for it.
type Pending<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The node as the Admin API sees it.
pub struct ThisNode {
    pub node: Arc<Node>,
    pub about: About,
    pub level: Option<LevelControl>,
    /// Whether an empty configuration means that the node has not got its own yet.
    pub declarative: bool,
    pub control: tokio::runtime::Handle,
    /// Whether the newer client resolves names; only of that one Kong shows figures.
    pub new_dns_client: bool,
    /// The figures behind `/metrics`.
    pub metrics: Arc<NodeMetrics>,
    /// Paths that plugins add, by their first segment.
    pub plugin_paths: Vec<AdminRoot>,
}

/// What does not change while the node runs.
pub fn about(facts: &NodeFacts, values: &Values, plugins: &Plugins) -> About {
    let mut loaded: Vec<PluginInfo> = plugins
        .values()
        .map(|plugin| PluginInfo {
            name: plugin.name.to_string(),
            version: facts.kong_version.clone(),
            priority: plugin.priority,
        })
        .collect();
    loaded.sort_by(|a, b| a.name.cmp(&b.name));
    About {
        node_id: facts.id.to_string(),
        hostname: facts.hostname.clone(),
        version: facts.kong_version.clone(),
        configuration: shown(values),
        plugins: loaded,
        workers: facts.worker_count,
    }
}

/// All settings by name; secrets are masked.
pub fn shown(values: &Values) -> Value {
    Value::Object(values.shown(true).into_iter().map(|(name, value)| (name, typed(value))).collect::<Map<_, _>>())
}

fn typed(value: Typed) -> Value {
    match value {
        Typed::Text(text) => text.into(),
        Typed::Flag(flag) => flag.into(),
        #[allow(clippy::cast_possible_truncation)] // whole numbers are shown without a fraction
        Typed::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => (number as i64).into(),
        Typed::Number(number) => number.into(),
        Typed::List(items) => items.into(),
    }
}

impl NodeView for ThisNode {
    fn plugin_paths(&self, first: &str) -> Option<Arc<dyn AdminPaths>> {
        self.plugin_paths.iter().find(|(root, _)| root == first).map(|(_, paths)| Arc::clone(paths))
    }

    fn about(&self) -> &About {
        &self.about
    }

    fn connections(&self) -> Connections {
        let accepted = self.node.sum(|worker| &worker.net.accepted);
        let active = self.node.sum(|worker| &worker.net.active);
        let refused = self.node.sum(|w| &w.net.refused_total) + self.node.sum(|w| &w.net.refused_per_address);
        Connections {
            accepted,
            handled: accepted.saturating_sub(refused),
            active,
            reading: 0,
            writing: active,
            waiting: 0,
            requests: self.node.sum(|worker| &worker.requests),
        }
    }

    fn configuration_hash(&self) -> String {
        self.node.publisher.current().hash.as_deref().unwrap_or(EMPTY_HASH).to_owned()
    }

    fn readiness(&self) -> Readiness {
        if self.node.draining.load(Ordering::Relaxed) {
            return Readiness::NotReady("draining".into());
        }
        if self.declarative && self.configuration_hash() == EMPTY_HASH {
            return Readiness::NotReady("no configuration available (empty configuration present)".into());
        }
        Readiness::Ready
    }

    fn drain(&self) {
        self.node.draining.store(true, Ordering::Relaxed);
    }

    fn upstream(&self, id: Uuid) -> Pending<'_, Option<UpstreamReport>> {
        Box::pin(async move {
            let live = live_of(&self.node, id).await?;
            Some(UpstreamReport::of(&live.balancer, &live.health))
        })
    }

    fn set_health(
        &self,
        upstream: Uuid,
        target: Uuid,
        address: Option<(IpAddr, u16)>,
        healthy: bool,
    ) -> Pending<'_, Result<(), HealthError>> {
        Box::pin(async move {
            let live = live_of(&self.node, upstream).await.ok_or(HealthError::NoBalancer)?;
            let id = target.to_string();
            let of_target = |position: usize| live.balancer.targets().get(position).is_some_and(|t| *t.id == *id);
            let wanted = |ip, port| address.is_none_or(|address| address == (ip, port));
            let indices: Vec<AddressIndex> = live
                .balancer
                .addresses()
                .iter()
                .enumerate()
                .filter(|(_, a)| of_target(a.target) && wanted(a.ip, a.port))
                .map(|(at, _)| AddressIndex::from_position(at))
                .collect();
            let now = self.node.upstreams.now_ms();
            let known = !indices.is_empty();
            let forced = live.health.force(&live.upstream.name, indices, healthy, now);
            match forced {
                Err(_) => Err(HealthError::NoChecks),
                Ok(_) if !known => Err(HealthError::NoTarget),
                Ok(_) => Ok(()),
            }
        })
    }

    fn log_level(&self) -> String {
        self.level.as_ref().map_or(LogLevel::Notice, LevelControl::get).as_str().to_owned()
    }

    fn set_log_level(&self, level: &str, seconds: u64) -> Result<(), LevelError> {
        let wanted = LogLevel::parse(level).ok_or(LevelError::Unknown)?;
        let Some(control) = self.level.clone() else { return Ok(()) };
        let before = control.get();
        if before == wanted {
            return Err(LevelError::Same);
        }
        control.set(wanted);
        if seconds > 0 {
            self.control.spawn(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                // Whoever changed it meanwhile meant it.
                if control.get() == wanted {
                    control.set(before);
                }
            });
        }
        Ok(())
    }

    fn metrics(&self) -> Option<String> {
        Some(self.metrics.exposition())
    }

    fn dns(&self) -> Option<Value> {
        let statistics = self.new_dns_client.then(|| self.node.upstreams.names.resolver().statistics())?;
        serde_json::to_value(statistics).ok()
    }
}

/// Time for the Admin API's requests under way when its listeners retire.
const LAST_CALLS: Duration = Duration::from_secs(10);

/// A bound listener of an interface with what is spoken on it.
struct Bound {
    socket: BoundSocket,
    tls: Option<ServerTls>,
    clients: Option<ClientRule>,
    surface: Surface,
    log: Option<CallLog>,
}

/// Listeners that are served at present.
struct Served {
    retire: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// The Admin and Status APIs with their listeners, served on the control runtime. Admin may be paused, so that nothing
/// changes meanwhile, and go on.
pub struct Interfaces {
    admin: Arc<Admin>,
    control: tokio::runtime::Handle,
    bound: Vec<Bound>,
    served: Vec<(Surface, Served)>,
}

impl Interfaces {
    /// Serves all listeners.
    ///
    /// # Errors
    /// When no more descriptors are to be had.
    pub fn serve(&mut self) -> std::io::Result<()> {
        self.serve_those_of(Surface::Admin)?;
        self.serve_those_of(Surface::Status)
    }

    fn serve_those_of(&mut self, surface: Surface) -> std::io::Result<()> {
        let mut served = Served { retire: watch::Sender::new(false), tasks: JoinSet::new() };
        for Bound { socket, tls, clients, log, .. } in self.bound.iter().filter(|bound| bound.surface == surface) {
            let retire = served.retire.subscribe();
            let (socket, tls, clients, log) = (socket.try_clone()?, tls.clone(), clients.clone(), log.clone());
            let listener = AdminListener { socket, tls, clients, surface, log, retire };
            let serving = serve(Arc::clone(&self.admin), listener);
            let serving = async move {
                if let Err(error) = serving.await {
                    tracing::error!(target: "admin", "a listener ended: {error}");
                }
            };
            served.tasks.spawn_on(serving, &self.control);
        }
        self.served.push((surface, served));
        Ok(())
    }

    /// Whoever calls the Admin API from here on waits in the listeners' queues. Returns when the last request is answered.
    /// Not for the control runtime's own threads.
    pub fn pause_admin(&mut self) {
        let (paused, others) =
            std::mem::take(&mut self.served).into_iter().partition(|(surface, _)| *surface == Surface::Admin);
        self.served = others;
        self.end(paused);
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// As [`Interfaces::serve`].
    pub fn resume_admin(&mut self) -> std::io::Result<()> {
        self.serve_those_of(Surface::Admin)
    }

    /// Takes no more connections and waits until the last request is answered.
    pub fn retire(mut self) {
        // The last handles: who connects from here on is refused, unless another process has the sockets too.
        self.bound.clear();
        let served = std::mem::take(&mut self.served);
        self.end(served);
    }

    fn end(&self, served: Vec<(Surface, Served)>) {
        for (_, served) in &served {
            served.retire.send_replace(true);
        }
        let ended = async {
            for (_, mut served) in served {
                while served.tasks.join_next().await.is_some() {}
            }
        };
        if self.control.block_on(async { tokio::time::timeout(LAST_CALLS, ended).await }).is_err() {
            tracing::warn!(target: "admin", "requests still under way after {LAST_CALLS:?} were cut off");
        }
    }

    /// The listening sockets.
    pub fn sockets(&self) -> impl Iterator<Item = &BoundSocket> {
        self.bound.iter().map(|bound| &bound.socket)
    }
}

/// Binds the listeners of both interfaces; nothing is served yet.
///
/// # Errors
/// An address that cannot be bound, or TLS settings that cannot be used, named.
pub fn interfaces(
    settings: &Settings,
    documents: Documents,
    view: ThisNode,
    http: Arc<dyn HttpClient>,
    logs: &AccessLogs,
    inherited: &mut Inherited,
) -> anyhow::Result<Interfaces> {
    let control = view.control.clone();
    let admin = Admin::new(
        documents,
        Arc::new(view),
        AdminSettings {
            server_token: from_settings::SERVER_TOKEN.to_owned(),
            latency: settings.headers.admin_latency,
            console_urls: settings.console.urls.clone(),
            max_body: settings
                .admin_client
                .max_body_size
                .and_then(|size| usize::try_from(size).ok())
                .unwrap_or(usize::MAX),
            rbac: access::rbac(settings),
            audit: access::audit(settings)?,
            event_hooks: settings.access.event_hooks,
            http: Some(http),
        },
    );
    control.spawn(Arc::clone(&admin).run_hooks());
    let tls = &settings.tls;
    let asked = &tls.client_verification;
    let interfaces = [
        (Surface::Admin, &settings.listeners.admin, &tls.admin, "admin-kong-default", &logs.admin, &asked.admin),
        (Surface::Status, &settings.listeners.status, &tls.status, "status-kong-default", &logs.status, &asked.status),
    ];
    let mut bound = Vec::new();
    for (surface, listeners, pairs, default, log, asked) in interfaces {
        let log = log.clone().map(|(format, handle)| CallLog::new(format, handle));
        for listener in listeners {
            let clients = asked.as_ref().filter(|_| listener.ssl).map(listen::client_rule).transpose()?;
            let tls = match listener.ssl {
                true => Some(own_tls(settings, listener, pairs, default, clients.as_ref())?),
                false => None,
            };
            let sockets = bind(&listen::spec(listener)?, 1, inherited)?;
            bound.extend(sockets.into_iter().map(|socket| Bound {
                socket,
                tls: tls.clone(),
                clients: clients.clone(),
                surface,
                log: log.clone(),
            }));
        }
    }
    Ok(Interfaces { admin, control, bound, served: Vec::new() })
}

/// The one certificate of an interface.
struct Own(CertificatePair);

impl CertificateSource for Own {
    fn certificate(&self, hello: &ClientHello) -> Option<Certificate> {
        Some(self.0.choose(hello).clone())
    }
}

fn own_tls(
    settings: &Settings,
    listener: &Listener,
    pairs: &[KeyPairSource],
    default: &str,
    clients: Option<&ClientRule>,
) -> anyhow::Result<ServerTls> {
    let pair = listen::default_pair(pairs, &settings.prefix, default)?;
    listen::server_tls(settings, Arc::new(Own(pair)), listen::http_alpn(listener.http2), clients)
}
