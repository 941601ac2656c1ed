//! One node with one worker, put together from what lives in memory.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gibbon_pdk::{
    BodyChunk, Build, Built, Compute, Dial, DialTarget, Duplex, Exchange, Flow, Handler, Host, Kv, LocalFuture,
    Metrics, NodeFacts, NodeState, OutcallTls, Part, Plugin, RequestBody, SendFuture, Step,
};
use serde_json::Value;
use uuid::Uuid;

use crate::configuration::accepted;
use crate::exchange::{Ended, OnTheWire};
use crate::outside::{DirectQueues, MemoryKv, MemoryStore, People, ScriptedHttp};
use crate::time::{FakeClock, FakeRandom, run};

/// State of the node, by key.
#[derive(Default)]
pub struct NodeMemory(Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>);

impl NodeState for NodeMemory {
    fn get_or_insert(
        &self,
        key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Any + Send + Sync>,
    ) -> Arc<dyn Any + Send + Sync> {
        self.0.lock().unwrap().entry(key.to_owned()).or_insert_with(make).clone()
    }
}

/// Ports that a rig has no use for.
struct Nothing;

impl Dial for Nothing {
    fn connect(
        &self,
        _: DialTarget,
        _: Option<OutcallTls>,
        _: Duration,
    ) -> SendFuture<'_, std::io::Result<Box<dyn Duplex>>> {
        Box::pin(std::future::ready(Err(std::io::ErrorKind::Unsupported.into())))
    }
}

impl Metrics for Nothing {
    fn add(&self, _: &'static str, _: &[(&'static str, &str)], _: u64) {}

    fn engine_snapshot(&self) -> Value {
        Value::Null
    }
}

/// Work is done where it is asked for.
impl Compute for Nothing {
    fn run(
        &self,
        work: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>,
    ) -> LocalFuture<'static, Option<Box<dyn Any + Send>>> {
        Box::pin(std::future::ready(Some(work())))
    }
}

/// The world of one test.
pub struct Rig {
    pub clock: Arc<FakeClock>,
    pub random: Arc<FakeRandom>,
    pub store: Arc<MemoryStore>,
    pub kv: Arc<MemoryKv>,
    pub http: Arc<ScriptedHttp>,
    pub queues: DirectQueues,
    pub state: NodeMemory,
    /// Settings that a handler opened a key-value server with.
    pub kv_opened: RefCell<Vec<gibbon_pdk::KvSettings>>,
    pub host: Host,
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

impl Rig {
    pub fn new() -> Self {
        Self::with_people(People::default())
    }

    pub fn with_people(people: People) -> Self {
        let clock = Arc::new(FakeClock::default());
        let random = Arc::new(FakeRandom::default());
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock)));
        let http = Arc::new(ScriptedHttp::default());
        let nothing = Arc::new(Nothing);
        let host = Host {
            directory: std::rc::Rc::new(people),
            clock: clock.clone(),
            random: random.clone(),
            http: http.clone(),
            dial: nothing.clone(),
            store: store.clone(),
            compute: nothing.clone(),
            metrics: nothing,
            scripting: Arc::new(gibbon_pdk::NoScripting),
            secrets: Arc::new(gibbon_pdk::NoVaults),
            node: Arc::new(NodeFacts {
                id: Uuid::from_bytes([0xab; 16]),
                hostname: "node.test".into(),
                server_token: "gibbon/0.0.0".into(),
                kong_version: "3.10.0".into(),
                worker_count: 4,
                tracing: Default::default(),
                price_list: None,
            }),
        };
        let kv = Arc::new(MemoryKv::new(Arc::clone(&clock)));
        let (queues, state, kv_opened) = Default::default();
        Rig { clock, random, store, kv, http, queues, state, kv_opened, host }
    }

    /// A handler with this configuration, bound to nothing.
    ///
    /// # Panics
    /// When the configuration is refused.
    pub fn handler(&self, part: &Part, config: Value) -> Arc<dyn Handler> {
        self.handler_of(part, config, |_| {})
    }

    /// A handler whose surroundings (plugin id, bindings) the test changes.
    ///
    /// # Panics
    /// When the configuration is refused.
    pub fn handler_of(&self, part: &Part, config: Value, bind: impl FnOnce(&mut Build<'_>)) -> Arc<dyn Handler> {
        let config = accepted(part, config);
        self.built(bind, |build| (part.build)(&config, build))
    }

    /// A handler of a plugin that was found at run time; its configuration is taken as it is.
    ///
    /// # Panics
    /// When no handler can be made of it.
    pub fn handler_of_plugin(&self, plugin: &Plugin, config: &Value) -> Arc<dyn Handler> {
        self.built(|_| {}, |build| (plugin.build)(config, build))
    }

    fn built(&self, bind: impl FnOnce(&mut Build<'_>), make: impl FnOnce(&Build<'_>) -> Built) -> Arc<dyn Handler> {
        let open_kv = |settings: &gibbon_pdk::KvSettings| -> Arc<dyn Kv> {
            self.kv_opened.borrow_mut().push(settings.clone());
            self.kv.clone()
        };
        let mut build = Build {
            plugin_id: Uuid::from_bytes([1; 16]),
            workspace: Uuid::nil(),
            route: None,
            service: None,
            consumer: None,
            consumer_group: None,
            node_state: &self.state,
            queues: &self.queues,
            clock: self.host.clock.clone(),
            random: self.host.random.clone(),
            http: self.host.http.clone(),
            dial: self.host.dial.clone(),
            store: self.host.store.clone(),
            compute: self.host.compute.clone(),
            metrics: self.host.metrics.clone(),
            scripting: Arc::new(gibbon_pdk::NoScripting),
            node: self.host.node.clone(),
            open_kv: &open_kv,
        };
        bind(&mut build);
        make(&build).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The access phase; a body is read when the handler asks for it.
    pub fn access(&self, handler: &dyn Handler, x: &mut Exchange) -> Ended {
        self.waiting(x, |x| match handler.access(x, &self.host) {
            Step::Now(flow) => flow,
            Step::Later(future) => run(future),
        })
    }

    /// The rewrite phase.
    pub fn rewrite(&self, handler: &dyn Handler, x: &mut Exchange) -> Ended {
        self.waiting(x, |x| match handler.rewrite(x, &self.host) {
            Step::Now(flow) => flow,
            Step::Later(future) => run(future),
        })
    }

    fn waiting(&self, x: &mut Exchange, step: impl Fn(&mut Exchange) -> Flow) -> Ended {
        loop {
            match step(x) {
                Flow::Next => return Ended::Next,
                Flow::Reply(reply) => return Ended::Reply(reply),
                Flow::Fail(fault) => return Ended::Fault(fault),
                Flow::ReadBody => {
                    let body = x.slots.take::<OnTheWire>().map(|wire| wire.0);
                    x.body = body.map_or(RequestBody::Empty, RequestBody::Whole);
                }
            }
        }
    }

    /// Whether a step answers at once, without a future.
    pub fn answers_at_once(&self, handler: &dyn Handler, x: &mut Exchange) -> bool {
        matches!(handler.access(x, &self.host), Step::Now(_))
    }

    /// The header filter over an upstream's answer with these headers.
    pub fn answer(&self, handler: &dyn Handler, x: &mut Exchange, status: u16, headers: &[(&str, &str)]) {
        x.response.status = status;
        x.response.headers.clear();
        for (name, value) in headers {
            x.response.headers.append(name, value);
        }
        x.response_source = gibbon_pdk::ResponseSource::Service;
        let added = std::mem::take(&mut x.added_headers);
        for (name, value) in added.iter() {
            x.response.headers.set(name, value);
        }
        x.added_headers = added;
        handler.header_filter(x, &self.host);
    }

    /// The body filter over these chunks and the final call; what leaves.
    pub fn body(&self, handler: &dyn Handler, x: &mut Exchange, chunks: &[&str]) -> String {
        let mut out = Vec::new();
        for data in chunks {
            let mut chunk = BodyChunk { data: data.as_bytes().to_vec(), last: false };
            handler.body_filter(x, &mut chunk, &self.host);
            out.append(&mut chunk.data);
        }
        let mut last = BodyChunk { data: Vec::new(), last: true };
        handler.body_filter(x, &mut last, &self.host);
        out.append(&mut last.data);
        String::from_utf8(out).unwrap()
    }

    /// The log phase.
    pub fn log(&self, handler: &dyn Handler, x: &mut Exchange) {
        handler.log(x, &self.host);
    }
}
