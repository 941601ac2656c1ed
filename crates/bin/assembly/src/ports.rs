//! What stands behind the plugin kit's ports on this node.

use std::sync::Arc;

use gibbon_journal::{AccessLog, Handle};
use gibbon_pdk::{Build, BuildError, Clock, Handler, Host, NodeFacts, Plugin, Random};
use gibbon_plan::{BuildScope, Builder, Publisher};
use gibbon_ports::{Absent, DirectoryPort, SharedState, SystemRandomness};
use gibbon_proxy::{Worker, WorkerParts};
use serde_json::Value;

/// The ports of a node; workers and the plan compiler are given theirs from here.
pub struct Ports {
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub state: Arc<SharedState>,
    pub facts: Arc<NodeFacts>,
    publisher: Arc<Publisher>,
    access_log: Option<(AccessLog, Handle)>,
    absent: Arc<Absent>,
}

impl Ports {
    pub fn new(
        clock: Arc<dyn Clock>,
        facts: NodeFacts,
        publisher: Arc<Publisher>,
        access_log: Option<(AccessLog, Handle)>,
    ) -> Self {
        Ports {
            clock,
            random: Arc::new(SystemRandomness::default()),
            state: Arc::default(),
            facts: Arc::new(facts),
            publisher,
            access_log,
            absent: Arc::new(Absent),
        }
    }
}

impl Builder for Ports {
    fn build(&self, plugin: &Plugin, config: &Value, scope: &BuildScope) -> Result<Arc<dyn Handler>, BuildError> {
        let open_kv = |_: &gibbon_pdk::KvSettings| -> Arc<dyn gibbon_pdk::Kv> { Arc::new(Absent) };
        let mut build = Build {
            plugin_id: scope.plugin_id,
            workspace: scope.workspace,
            route: None,
            service: None,
            consumer: None,
            consumer_group: None,
            node_state: &*self.state,
            queues: &*self.absent,
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            http: self.absent.clone(),
            dial: self.absent.clone(),
            store: self.absent.clone(),
            compute: self.absent.clone(),
            metrics: self.absent.clone(),
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
            directory: Box::new(DirectoryPort::new(Arc::clone(&self.publisher), Arc::clone(&self.clock))),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            http: self.absent.clone(),
            dial: self.absent.clone(),
            store: self.absent.clone(),
            compute: self.absent.clone(),
            metrics: self.absent.clone(),
            node: Arc::clone(&self.facts),
        }
    }

    fn equip(&self, worker: &mut Worker) {
        let log = self.access_log.clone();
        worker.access_log = log.map(|(format, handle)| gibbon_proxy::access_log_writer(format, &handle));
    }
}
