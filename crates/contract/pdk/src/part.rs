//! What a plugin is: its name, place in the order, schema and constructor. Each family of plugins
//! exports a list of parts; the binary lists the families.

use std::any::Any;
use std::sync::Arc;

use gibbon_schema::Record;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Clock, Compute, Deliver, Dial, Handler, HttpClient, Kv, KvSettings, Metrics, NodeFacts, NodeState, Phases,
    Protocols, Queue, QueueSettings, Queues, Random, Store,
};

/// Which scopes a plugin may be bound to besides global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes {
    pub route: bool,
    pub service: bool,
    pub consumer: bool,
    pub consumer_group: bool,
}

impl Scopes {
    pub const ALL: Scopes = Scopes { route: true, service: true, consumer: true, consumer_group: true };
    pub const GLOBAL_ONLY: Scopes = Scopes { route: false, service: false, consumer: false, consumer_group: false };
    /// Authentication plugins: who the consumer is, is not known yet.
    pub const NO_CONSUMER: Scopes = Scopes { route: true, service: true, consumer: false, consumer_group: false };
}

/// A plugin written in Rust, as its family lists it.
#[derive(Clone)]
pub struct Part {
    pub name: &'static str,
    /// Higher runs first; ties run by name, descending.
    pub priority: i64,
    pub version: &'static str,
    pub phases: Phases,
    /// Protocols it may run on.
    pub protocols: Protocols,
    pub scopes: Scopes,
    /// The schema of `config`.
    pub schema: fn() -> Record,
    /// Makes a handler of a validated configuration with defaults filled in.
    pub build: fn(&Value, &Build<'_>) -> Built,
}

/// A handler, or why there is none.
pub type Built = Result<Arc<dyn Handler>, BuildError>;

/// Makes a handler of a configuration.
pub type Builder = dyn Fn(&Value, &Build<'_>) -> Built + Send + Sync;

/// A plugin that is loaded, native or not: the form the engine and the surfaces work with.
#[derive(Clone)]
pub struct Plugin {
    pub name: Arc<str>,
    pub priority: i64,
    pub version: Arc<str>,
    pub phases: Phases,
    pub protocols: Protocols,
    pub scopes: Scopes,
    pub schema: Arc<Record>,
    pub build: Arc<Builder>,
}

impl From<&Part> for Plugin {
    fn from(part: &Part) -> Self {
        Plugin {
            name: part.name.into(),
            priority: part.priority,
            version: part.version.into(),
            phases: part.phases,
            protocols: part.protocols,
            scopes: part.scopes,
            schema: Arc::new((part.schema)()),
            build: Arc::new(part.build),
        }
    }
}

/// Why a configuration that its schema accepts cannot be made to work.
#[derive(Clone, Debug, thiserror::Error)]
#[error("plugin '{plugin}' cannot be built: {cause}")]
pub struct BuildError {
    pub plugin: String,
    pub cause: String,
}

/// What the constructor of a handler is given.
pub struct Build<'a> {
    pub plugin_id: Uuid,
    pub workspace: Uuid,
    /// Bindings of this configuration.
    pub route: Option<Uuid>,
    pub service: Option<Uuid>,
    pub consumer: Option<Uuid>,
    pub consumer_group: Option<Uuid>,
    pub node_state: &'a dyn NodeState,
    pub queues: &'a dyn Queues,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub http: Arc<dyn HttpClient>,
    pub dial: Arc<dyn Dial>,
    pub store: Arc<dyn Store>,
    pub compute: Arc<dyn Compute>,
    pub metrics: Arc<dyn Metrics>,
    pub node: Arc<NodeFacts>,
    pub open_kv: &'a dyn Fn(&KvSettings) -> Arc<dyn Kv>,
}

impl Build<'_> {
    /// State shared by all workers and by all plans in which this key is used.
    pub fn shared<T: Any + Send + Sync>(&self, key: &str, make: impl Fn() -> T) -> Arc<T> {
        let any = self.node_state.get_or_insert(key, &mut || Arc::new(make()));
        // A foreign type under the same key is a programming error of the key's owner; start afresh.
        any.downcast::<T>().unwrap_or_else(|_| Arc::new(make()))
    }

    /// The queue of this configuration.
    #[must_use]
    pub fn queue(&self, settings: QueueSettings, deliver: Arc<dyn Deliver>) -> Arc<dyn Queue> {
        self.queues.open(&self.plugin_id.to_string(), settings, deliver)
    }
}
