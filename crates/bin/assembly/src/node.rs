//! A running node.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use gibbon_conf::{Settings, Values, Workers as WorkerCount};
use gibbon_journal::{AccessLog, Handle, LevelControl};
use gibbon_model::Registry;
use gibbon_net::{BoundSocket, ConnectionLimits, Inherited, worker_count};
use gibbon_pdk::{Clock, Instrumentations, NodeFacts, TraceSettings};
use gibbon_plan::{Change, CompileError, Compiler, Funnel, Plan, Plugins, Publisher};
use gibbon_ports::SystemClock;
use gibbon_proxy::{Listening, Names, Node, Remote, Stage, Start, Upstreams, WorkerParts, Workers};
use gibbon_router::Flavor;
use gibbon_store::Documents;

use crate::admin::{Interfaces, ThisNode};
use crate::declared::Declarative;
use crate::ports::{Ports, SharedPorts};
use crate::registry::{refuse_unknown_vaults, registry};
use crate::{access, admin, listen, parts, request_debug, settings, store};

/// Why a node does not start: the setting or address, and what is wrong with it.
pub type StartError = anyhow::Error;

/// How long queues may deliver what they hold when the node ends gracefully, and when it ends at once.
const LAST_DELIVERIES: Duration = Duration::from_secs(10);
const LAST_DELIVERIES_IN_HASTE: Duration = Duration::from_secs(1);

/// What a node is started with.
pub struct NodeSettings<'a> {
    pub settings: &'a Settings,
    /// All settings as given, for the Admin API.
    pub values: &'a Values,
    /// UUID of this node.
    pub node_id: &'a str,
    /// Who is written down where.
    pub access_logs: AccessLogs,
    /// Level of the error log, for the Admin API; `None` where there is no error log.
    pub log_level: Option<LevelControl>,
}

/// An access log's format, and where its lines go; `None` if it is off.
pub type OpenAccessLog = Option<(AccessLog, Handle)>;

/// The access logs of a node.
#[derive(Clone, Debug, Default)]
pub struct AccessLogs {
    pub proxy: OpenAccessLog,
    pub stream: OpenAccessLog,
    pub admin: OpenAccessLog,
    pub status: OpenAccessLog,
}

/// A node that serves.
pub struct Running {
    pub node: Arc<Node>,
    pub funnel: Arc<Funnel>,
    pub declarative: Arc<Declarative>,
    ports: Arc<Ports>,
    workers: Workers,
    interfaces: Interfaces,
    /// Second handles of the listeners of traffic, for a successor.
    listening: Vec<Listening>,
    control: tokio::runtime::Runtime,
}

/// What compiles configuration and serves by it, before anything listens.
pub(crate) struct Engine {
    pub node: Arc<Node>,
    pub ports: Arc<Ports>,
    pub plugins: Arc<Plugins>,
    pub registry: Arc<Registry>,
    pub funnel: Arc<Funnel>,
}

impl Engine {
    /// With an empty plan.
    ///
    /// # Errors
    /// A file that cannot be read, a thread that cannot be started.
    pub fn build(
        settings: &Settings,
        facts: &NodeFacts,
        access_logs: &AccessLogs,
        configuration: serde_json::Value,
        control: &tokio::runtime::Handle,
    ) -> anyhow::Result<Engine> {
        let lua = Arc::new(parts::lua(settings, configuration)?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let flavor = flavor(settings);
        let publisher = Arc::new(Publisher::new(Arc::new(Plan::empty(flavor))));
        let names = Names::new(crate::settings::resolver(&settings.dns));
        let upstreams = Upstreams::new(Arc::new(names), Arc::clone(&clock));
        let node = Arc::new(Node::new(Arc::clone(&publisher), clock, upstreams, facts.worker_count));
        let ports = Arc::new(Ports::new(settings, &node, facts.clone(), Arc::clone(&lua), access_logs, control)?);
        let plugins = Arc::new(parts::loaded(settings, &lua));
        let registry = registry(settings, &plugins, lua.entities());
        let compiler = Compiler::new(flavor, Arc::clone(&plugins));
        let funnel = Arc::new(Funnel::new(compiler, Box::new(SharedPorts(Arc::clone(&ports))), publisher));
        Ok(Engine { node, ports, plugins, registry, funnel })
    }
}

impl Running {
    /// Binds what was not inherited, puts the configuration in force, and serves.
    ///
    /// # Errors
    /// A listener that cannot be bound, a file that cannot be read, a configuration that is refused, a thread that cannot
    /// be started.
    pub fn start(of: &NodeSettings<'_>, mut inherited: Inherited) -> Result<Running, StartError> {
        let settings = of.settings;
        let succeeds = !inherited.is_empty();
        crate::refuse_unbuilt(settings)?;
        access::refuse_unheld(settings)?;
        refuse_unknown_vaults(settings, of.values)?;
        let count = match settings.node.workers {
            WorkerCount::Auto => worker_count(),
            WorkerCount::Exactly(count) => count.max(1),
        };
        let control = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("control")
            .enable_all()
            .build()?;
        let facts = facts(of, count)?;
        let engine = Engine::build(settings, &facts, &of.access_logs, admin::shown(of.values), control.handle())?;
        let about = admin::about(&facts, of.values, &engine.plugins);
        let Engine { node, ports, registry, funnel, .. } = engine;
        let documents = store::open(settings, registry, &funnel, &ports.vaults, control.handle())?;
        ports.store.connect(&documents);
        tell_plugins(&documents, &ports);
        let prefix = settings.prefix.clone();
        let declarative = Arc::new(Declarative::new(documents.clone(), control.handle().clone(), prefix));
        // Before anything listens: whoever is let in finds the configuration in force.
        match succeeds {
            true => declarative.take_over(settings)?,
            false => declarative.load(settings)?,
        }
        control.block_on(access::prepare(settings, &documents))?;
        let view = ThisNode {
            node: Arc::clone(&node),
            about,
            level: of.log_level.clone(),
            declarative: documents.conductor.is_declarative(),
            control: control.handle().clone(),
            new_dns_client: settings.dns.new_client,
            metrics: Arc::clone(&ports.metrics),
            plugin_paths: parts::admin_paths(&ports)?,
        };
        let listening = listen::traffic(settings, &node, count, &mut inherited)?;
        let http = Arc::clone(&ports.http);
        let mut interfaces = admin::interfaces(settings, documents, view, http, &of.access_logs, &mut inherited)?;
        let proxy = settings::proxy(settings, request_debug::token(settings, succeeds)?)?;
        std::fs::create_dir_all(&proxy.body_dir)?;
        let start = Start {
            count,
            node: Arc::clone(&node),
            settings: proxy,
            server: Arc::new(settings::server(settings)),
            limits: limits(settings, count),
            parts: Arc::clone(&ports) as Arc<dyn WorkerParts>,
        };
        let workers = Workers::start(&start, &listening)?;
        interfaces.serve()?;
        let running = Running { node, funnel, declarative, ports, workers, interfaces, listening, control };
        running.keep_house();
        Ok(running)
    }

    /// Reads again what lies in files: Lua plugins, and declarative configuration.
    ///
    /// # Errors
    /// What is refused; it stays as it was, and does not keep the other from being read.
    pub fn reload(&self, settings: &Settings) -> anyhow::Result<()> {
        let plugins = self.ports.lua.refresh();
        self.declarative.load(settings).context("declarative configuration refused, the former one stays in force")?;
        plugins.context("changed files refused, the former ones stay in force")
    }

    /// Puts changes in force.
    ///
    /// # Errors
    /// Why not; what was in force stays.
    pub fn apply(&self, changes: &[Change], hash: Option<Arc<str>>) -> Result<Arc<Plan>, CompileError> {
        self.funnel.apply(changes, hash)
    }

    /// The runtime of everything that is not a request.
    #[must_use]
    pub fn control(&self) -> &tokio::runtime::Handle {
        self.control.handle()
    }

    /// Second handles of all listening sockets, for a successor.
    ///
    /// # Errors
    /// When no more descriptors are to be had.
    pub fn sockets(&self) -> std::io::Result<Vec<BoundSocket>> {
        let traffic = self.listening.iter().flat_map(|listening| &listening.sockets);
        traffic.chain(self.interfaces.sockets()).map(BoundSocket::try_clone).collect()
    }

    /// Nothing is changed from here on: the Admin API's requests under way are answered, those that come wait.
    pub fn pause_admin(&mut self) {
        self.interfaces.pause_admin();
    }

    /// The Admin API goes on.
    ///
    /// # Errors
    /// When no more descriptors are to be had.
    pub fn resume_admin(&mut self) -> std::io::Result<()> {
        self.interfaces.resume_admin()
    }

    /// A handle to end the node from another thread while this one waits for it.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.workers.remote()
    }

    /// Takes no more connections and waits until the open ones are done or the node is told to stop.
    pub fn stop_gracefully(self) {
        self.finish(Stage::Drain);
    }

    /// Leaves new connections to a successor and waits until the open ones are done or the node is told to stop.
    pub fn retire(self) {
        self.finish(Stage::HandOver);
    }

    fn finish(self, stage: Stage) {
        self.workers.advance(stage);
        // With its last handle a listener closes: who connects now is refused instead of left waiting.
        drop(self.listening);
        self.interfaces.retire();
        self.workers.join();
        self.control.block_on(self.ports.drain(LAST_DELIVERIES));
        self.control.shutdown_background();
    }

    /// Ends now; what is in flight is cut off.
    pub fn stop_fast(self) {
        self.workers.advance(Stage::Stop);
        self.workers.join();
        self.control.block_on(self.ports.drain(LAST_DELIVERIES_IN_HASTE));
        self.control.shutdown_background();
    }

    /// The node's regular chores, on the control runtime.
    fn keep_house(&self) {
        let node = Arc::clone(&self.node);
        self.control.spawn(async move {
            // Often enough that probes and health reports follow a change at once; a look costs one comparison.
            let mut beat = tokio::time::interval(Duration::from_millis(100));
            let mut seen = 0;
            loop {
                beat.tick().await;
                let number = node.publisher.number();
                if number != seen {
                    seen = number;
                    node.upstreams.follow(&node.publisher.current()).await;
                }
                node.upstreams.refresh().await;
            }
        });
    }
}

fn facts(of: &NodeSettings<'_>, worker_count: usize) -> anyhow::Result<NodeFacts> {
    Ok(NodeFacts {
        id: of.node_id.parse().unwrap_or_default(),
        hostname: nix::unistd::gethostname().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        server_token: settings::SERVER_TOKEN.to_owned(),
        kong_version: of.settings.compat.version().to_owned(),
        worker_count,
        tracing: tracing(&of.settings.tracing),
        price_list: of.values.text("ai_price_list").map(price_list).transpose()?,
    })
}

fn price_list(path: &str) -> anyhow::Result<Arc<str>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("ai_price_list: cannot read '{path}'"))?;
    gibbon_ai::check_price_list(&text).with_context(|| format!("ai_price_list: '{path}'"))?;
    Ok(text.into())
}

/// Lua plugins are told what changes, so that what they cached of it goes; and plugins what other nodes tell theirs.
fn tell_plugins(documents: &Documents, ports: &Arc<Ports>) {
    let (registry, lua, node) = (Arc::clone(&documents.registry), Arc::clone(&ports.lua), ports.facts.id);
    let listening = Arc::clone(ports);
    documents.conductor.watch(move |changes| {
        for change in changes {
            if let ("cluster_events", Some(event)) = (&*change.entity, change.after.as_deref()) {
                let text = |field: &str| event.get(field).and_then(|value| value.as_str());
                parts::hear(&listening, text("channel").unwrap_or_default(), text("data").unwrap_or_default());
            }
            if let Some(def) = registry.get(&change.entity) {
                lua.entity_changed(def, node, change.workspace, change.before.as_deref(), change.after.as_deref());
            }
        }
    });
}

fn tracing(of: &gibbon_conf::Tracing) -> TraceSettings {
    let named = of.instrumentations.iter().map(|kind| Instrumentations::named(kind));
    TraceSettings {
        instrumentations: named.fold(Instrumentations::NONE, Instrumentations::union),
        sampling_rate: of.sampling_rate,
    }
}

pub(crate) fn flavor(settings: &Settings) -> Flavor {
    match settings.router_flavor {
        gibbon_conf::RouterFlavor::TraditionalCompatible => Flavor::TraditionalCompatible,
        gibbon_conf::RouterFlavor::Expressions => Flavor::Expressions,
        gibbon_conf::RouterFlavor::Traditional => Flavor::Traditional,
    }
}

/// Connections per worker add up: the limit is the node's.
fn limits(settings: &Settings, workers: usize) -> Option<Arc<ConnectionLimits>> {
    let total = settings.node.connections_per_worker.map(|per| per as usize * workers);
    let per_ip = settings.node.connections_per_ip;
    (total.is_some() || per_ip.is_some()).then(|| ConnectionLimits::new(total, per_ip))
}
