//! What stands behind the plugin kit's ports on this node.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gibbon_conf::{Database, Settings};
use gibbon_journal::{AccessLog, Handle};
use gibbon_lua::LuaHost;
use gibbon_net::worker_count;
use gibbon_outcall::{Client, Reach};
use gibbon_pdk::{Build, BuildError, Clock, Dial, Handler, Host, HttpClient, Metrics, NodeFacts, Plugin, Random};
use gibbon_plan::{BuildScope, Builder, Publisher};
use gibbon_ports::{
    ComputePool, DialPort, DirectoryPort, HttpPort, KvHub, NodeMetrics, QueueHub, SharedState, StorePort,
    SystemRandomness,
};
use gibbon_proxy::{AccessLine, Node, Worker, WorkerParts};
use gibbon_tls::Protocols;
use gibbon_vaults::Vaults;
use serde_json::Value;

use crate::figures;
use crate::node::AccessLogs;
use crate::vaults::{ByReference, vaults};

/// The ports of a node; workers and the plan compiler are given theirs from here.
pub struct Ports {
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub state: Arc<SharedState>,
    pub facts: Arc<NodeFacts>,
    publisher: Arc<Publisher>,
    pub metrics: Arc<NodeMetrics>,
    queues: QueueHub,
    pub http: Arc<dyn HttpClient>,
    dial: Arc<dyn Dial>,
    kv: KvHub,
    compute: Arc<ComputePool>,
    /// Connected once the node's store is open.
    pub store: Arc<StorePort>,
    pub lua: Arc<LuaHost>,
    pub vaults: Arc<Vaults>,
    access_logs: AccessLogs,
}

impl Ports {
    /// Ports whose connections and queues live on the control runtime.
    ///
    /// # Errors
    /// Trusted authorities that cannot be read, a thread that cannot be started.
    pub fn new(
        settings: &Settings,
        node: &Arc<Node>,
        facts: NodeFacts,
        lua: Arc<LuaHost>,
        access_logs: &AccessLogs,
        control: &tokio::runtime::Handle,
    ) -> anyhow::Result<Self> {
        let user_agent = facts.server_token.as_str().into();
        let facts = Arc::new(facts);
        let metrics = Arc::new(NodeMetrics::new(Arc::clone(&facts), figures::snapshot(node, &lua, control)));
        let counting: Arc<dyn Metrics> = metrics.clone();
        let resolver = node.upstreams.names.resolver().clone();
        let versions = settings.tls.outgoing_versions;
        let protocols = Protocols { tls12: versions.tls12, tls13: versions.tls13 };
        let reach = Arc::new(Reach::new(resolver, crate::settings::trust(settings)?).with_protocols(protocols));
        let http: Arc<dyn HttpClient> =
            Arc::new(HttpPort { client: Client::new(Arc::clone(&reach), control.clone()), user_agent });
        Ok(Ports {
            vaults: vaults(&settings.vault_options, Arc::clone(&http)),
            clock: Arc::clone(&node.clock),
            random: Arc::new(SystemRandomness::default()),
            state: Arc::default(),
            facts,
            publisher: Arc::clone(&node.publisher),
            queues: QueueHub::new(control.clone(), Arc::clone(&counting)),
            http,
            dial: Arc::new(DialPort(Arc::clone(&reach))),
            kv: KvHub::new(reach, control.clone()),
            compute: Arc::new(ComputePool::start(worker_count(), counting)?),
            metrics,
            store: Arc::new(StorePort::new(settings.datastore.database != Database::Off)),
            lua,
            access_logs: access_logs.clone(),
        })
    }

    /// Lets the queues deliver what they hold, at most so long.
    pub async fn drain(&self, at_most: Duration) {
        self.queues.drain(at_most).await;
    }
}

impl Builder for Ports {
    fn build(&self, plugin: &Plugin, config: &Value, scope: &BuildScope) -> Result<Arc<dyn Handler>, BuildError> {
        let open_kv = |settings: &gibbon_pdk::KvSettings| self.kv.open(settings);
        let mut build = Build {
            plugin_id: scope.plugin_id,
            workspace: scope.workspace,
            route: None,
            service: None,
            consumer: None,
            consumer_group: None,
            node_state: &*self.state,
            queues: &self.queues,
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            http: Arc::clone(&self.http),
            dial: Arc::clone(&self.dial),
            store: self.store.clone(),
            compute: self.compute.clone(),
            metrics: self.metrics.clone(),
            scripting: self.lua.clone(),
            node: Arc::clone(&self.facts),
            open_kv: &open_kv,
        };
        scope.fill(&mut build);
        (plugin.build)(config, &build)
    }
}

/// The ports, shared: the compiler and the workers hold them.
pub struct SharedPorts(pub Arc<Ports>);

impl Builder for SharedPorts {
    fn build(&self, plugin: &Plugin, config: &Value, scope: &BuildScope) -> Result<Arc<dyn Handler>, BuildError> {
        self.0.build(plugin, config, scope)
    }
}

impl WorkerParts for Ports {
    fn host(&self, _number: usize) -> Host {
        Host {
            directory: Rc::new(DirectoryPort::new(Arc::clone(&self.publisher), Arc::clone(&self.clock))),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            http: Arc::clone(&self.http),
            dial: Arc::clone(&self.dial),
            store: self.store.clone(),
            compute: self.compute.clone(),
            metrics: self.metrics.clone(),
            node: Arc::clone(&self.facts),
            scripting: self.lua.clone(),
            secrets: Arc::new(ByReference { vaults: Arc::clone(&self.vaults), store: Arc::clone(&self.store) }),
        }
    }

    fn equip(&self, worker: &mut Worker) {
        self.lua.start_worker(worker.number, &worker.host);
        let line = |(format, handle): &(AccessLog, Handle)| AccessLine::new(format.clone(), handle);
        worker.access_log = self.access_logs.proxy.as_ref().map(line);
        worker.stream_log = self.access_logs.stream.as_ref().map(line);
    }
}
