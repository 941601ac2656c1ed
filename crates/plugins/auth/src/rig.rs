//! The test rig: a host with a directory, a store and a clock in memory, and requests made of text.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use gibbon_message::Method;
use gibbon_pdk::{
    Build, Clock, Compute, Consumer, ConsumerGroup, Credential, CredentialKind, Deliver, Dial, DialTarget, Directory,
    Duplex, Exchange, Flow, Handler, Host, HttpClient, Kv, KvSettings, LocalFuture, Metrics, NodeFacts, NodeState,
    OutcallError, OutcallRequest, OutcallResponse, OutcallTls, Part, Queue, QueueSettings, Queues, Random, Reply,
    ReplyBody, RequestBody, SendFuture, Step, Store, StoreError,
};
use gibbon_schema::{Compat, Context as Fill, Filler, Purpose, Sources};
use serde_json::{Value, json};
use smallvec::SmallVec;
use uuid::Uuid;

/// 2024-01-01T00:00:00Z.
pub const NOW: u64 = 1_704_067_200;

/// Everything a plugin of this family asks for, in memory.
#[derive(Default)]
pub struct Rig {
    pub people: Arc<People>,
    pub clock: Arc<FakeClock>,
    pub random: Arc<Counting>,
    pub rows: Arc<Rows>,
    pub dial: Option<Arc<dyn Dial>>,
    state: SharedValues,
}

pub fn id(n: u8) -> Uuid {
    Uuid::from_bytes([n; 16])
}

impl Rig {
    /// A consumer with that user name, and a number for its id.
    pub fn consumer(&self, n: u8, username: &str) -> Uuid {
        self.add_consumer(n, Some(username), None)
    }

    pub fn add_consumer(&self, n: u8, username: Option<&str>, custom_id: Option<&str>) -> Uuid {
        self.people.consumers.lock().unwrap().push(Arc::new(Consumer {
            id: id(n),
            username: username.map(Into::into),
            custom_id: custom_id.map(Into::into),
            tags: SmallVec::new(),
            created_at: 0,
            updated_at: 0,
        }));
        id(n)
    }

    pub fn credential(&self, kind: &'static str, n: u8, consumer: Uuid, key: &str, fields: &[(&'static str, &str)]) {
        self.add_credential(kind, n, consumer, key, fields, None);
    }

    pub fn add_credential(
        &self,
        kind: &'static str,
        n: u8,
        consumer: Uuid,
        key: &str,
        fields: &[(&'static str, &str)],
        document: Option<Value>,
    ) {
        let credential = Credential {
            id: id(n),
            consumer: Some(consumer),
            key: key.into(),
            fields: fields.iter().map(|(name, value)| (*name, Box::from(*value))).collect(),
            document: document.map(Arc::new),
            expires_at: None,
        };
        self.people.credentials.lock().unwrap().push((kind, Arc::new(credential)));
    }

    pub fn group(&self, n: u8, consumer: Uuid, name: &str) {
        let group = Arc::new(ConsumerGroup { id: id(n), name: name.into() });
        self.people.groups.lock().unwrap().push((consumer, group));
    }

    pub fn host(&self) -> Host {
        Host {
            directory: Box::new(Look(Arc::clone(&self.people))),
            clock: self.clock.clone(),
            random: self.random.clone(),
            http: Arc::new(Nowhere),
            dial: self.dial.clone().unwrap_or_else(|| Arc::new(Nowhere)),
            store: self.rows.clone(),
            compute: Arc::new(Nowhere),
            metrics: Arc::new(Nowhere),
            node: Arc::new(NodeFacts::default()),
        }
    }

    /// A handler for a configuration as a user writes it.
    pub fn handler(&self, part: &Part, config: Value) -> Arc<dyn Handler> {
        let config = filled(part, config).unwrap_or_else(|faults| panic!("{faults}"));
        self.build(part, &config).unwrap_or_else(|e| panic!("{e}"))
    }

    pub fn build(&self, part: &Part, config: &Value) -> gibbon_pdk::Built {
        let host = self.host();
        let build = Build {
            plugin_id: id(200),
            workspace: Uuid::nil(),
            route: None,
            service: None,
            consumer: None,
            consumer_group: None,
            node_state: &self.state,
            queues: &Nowhere,
            clock: host.clock.clone(),
            random: host.random.clone(),
            http: host.http.clone(),
            dial: host.dial.clone(),
            store: host.store.clone(),
            compute: host.compute.clone(),
            metrics: host.metrics.clone(),
            open_kv: &|_: &KvSettings| -> Arc<dyn Kv> { panic!("no key-value server here") },
        };
        (part.build)(config, &build)
    }

    /// Runs the access step to its end; the reply, if it gives one.
    pub fn access(&self, handler: &dyn Handler, x: &mut Exchange) -> Option<Reply> {
        let host = self.host();
        for _ in 0..3 {
            match ready(handler.access(x, &host)) {
                Flow::Next => return None,
                Flow::Reply(reply) => return Some(*reply),
                Flow::Fail(fault) => return Some(Reply::message(fault.status(), &fault.cause)),
                // The whole body is what the test put there; it was hidden until somebody asked.
                Flow::ReadBody => {
                    x.body = x.slots.take::<Pending>().map_or(RequestBody::Empty, |p| RequestBody::Whole(p.0))
                }
            }
        }
        panic!("the step asks for the body again and again");
    }

    /// The access step must let the request pass.
    pub fn passes(&self, handler: &dyn Handler, x: &mut Exchange) {
        if let Some(reply) = self.access(handler, x) {
            panic!("refused: {}", shown(&reply));
        }
    }

    /// The access step must answer.
    pub fn refuses(&self, handler: &dyn Handler, x: &mut Exchange) -> Reply {
        self.access(handler, x).expect("the request passed")
    }
}

/// A body that is still on the wire.
struct Pending(Bytes);

/// Polls a step that must not depend on anything outside.
pub fn ready(step: Step<'_>) -> Flow {
    match step {
        Step::Now(flow) => flow,
        Step::Later(future) => block_on(future),
    }
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("the step waits for something that never comes");
}

/// A request head as text: `GET /path`, then header lines; what follows an empty line is an unread body.
pub fn request(text: &str) -> Exchange {
    let (head, body) = text.split_once("\n\n").map_or((text, None), |(h, b)| (h, Some(b)));
    let mut lines = head.lines();
    let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
    let mut x = Exchange::default();
    x.request.method = Method::parse(method.as_bytes()).unwrap();
    x.request.target = target.into();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        x.request.headers.append(name.trim(), value.trim());
    }
    if let Some(body) = body {
        x.body = RequestBody::Unread;
        x.slots.set(Pending(Bytes::from(body.to_owned())));
    }
    x
}

/// Status, message or body, and challenge of a reply in one line.
pub fn shown(reply: &Reply) -> String {
    let body = match &reply.body {
        ReplyBody::Empty => String::new(),
        ReplyBody::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ReplyBody::Json(value) => value.to_string(),
        ReplyBody::Error(message) => message.as_deref().unwrap_or("-").to_owned(),
    };
    let challenge = reply.headers.get_str("www-authenticate").map(|c| format!(" [{c}]")).unwrap_or_default();
    format!("{} {body}{challenge}", reply.status)
}

/// What the upstream would see of an exchange: header values by name.
pub fn upstream<'a>(x: &'a Exchange, name: &str) -> Option<&'a str> {
    x.request.headers.get_str(name)
}

/// A configuration with its defaults, checked; the faults as JSON text.
pub fn filled(part: &Part, config: Value) -> Result<Value, String> {
    filled_for(part, config, Compat::default())
}

pub fn filled_for(part: &Part, mut config: Value, compat: Compat) -> Result<Value, String> {
    let record = (part.schema)().require_records();
    let Value::Object(fields) = &mut config else { panic!("a configuration is an object") };
    let mut filler = Filler { context: Fill::Insert, compat, sources: &mut Fixed };
    record.fill(fields, &mut filler).map_err(|f| f.to_json().to_string())?;
    record.validate(&config, Purpose::Whole).map_err(|f| f.to_json().to_string())?;
    Ok(config)
}

struct Fixed;

impl Sources for Fixed {
    fn now(&mut self) -> f64 {
        NOW as f64
    }

    fn uuid(&mut self) -> String {
        id(99).to_string()
    }

    fn secret(&mut self) -> String {
        "s".repeat(32)
    }
}

/// Consumers, groups and credentials.
#[derive(Default)]
pub struct People {
    consumers: Mutex<Vec<Arc<Consumer>>>,
    credentials: Mutex<Vec<(&'static str, Arc<Credential>)>>,
    groups: Mutex<Vec<(Uuid, Arc<ConsumerGroup>)>>,
}

struct Look(Arc<People>);

impl Look {
    fn find(&self, is: impl Fn(&Consumer) -> bool) -> Option<Arc<Consumer>> {
        self.0.consumers.lock().unwrap().iter().find(|c| is(c)).cloned()
    }

    fn credential_where(&self, kind: CredentialKind, is: impl Fn(&Credential) -> bool) -> Vec<Arc<Credential>> {
        let all = self.0.credentials.lock().unwrap();
        all.iter().filter(|(k, c)| *k == kind.0 && is(c)).map(|(_, c)| Arc::clone(c)).collect()
    }
}

impl Directory for Look {
    fn consumer(&self, id: Uuid) -> Option<Arc<Consumer>> {
        self.find(|c| c.id == id)
    }

    fn consumer_by_username(&self, _: Uuid, username: &str) -> Option<Arc<Consumer>> {
        self.find(|c| c.username.as_deref() == Some(username))
    }

    fn consumer_by_custom_id(&self, _: Uuid, custom_id: &str) -> Option<Arc<Consumer>> {
        self.find(|c| c.custom_id.as_deref() == Some(custom_id))
    }

    fn credential(&self, _: Uuid, kind: CredentialKind, key: &str) -> Option<Arc<Credential>> {
        self.credential_where(kind, |c| &*c.key == key).pop()
    }

    fn credential_by_id(&self, kind: CredentialKind, id: Uuid) -> Option<Arc<Credential>> {
        self.credential_where(kind, |c| c.id == id).pop()
    }

    fn credentials_of(&self, kind: CredentialKind, consumer: Uuid) -> SmallVec<[Arc<Credential>; 4]> {
        self.credential_where(kind, |c| c.consumer == Some(consumer)).into()
    }

    fn groups_of(&self, consumer: Uuid) -> Option<Arc<[Arc<ConsumerGroup>]>> {
        let groups = self.0.groups.lock().unwrap();
        let mine: Vec<_> = groups.iter().filter(|(c, _)| *c == consumer).map(|(_, g)| Arc::clone(g)).collect();
        (!mine.is_empty()).then(|| mine.into())
    }
}

/// A clock that stands still until it is moved.
pub struct FakeClock(AtomicU64);

impl Default for FakeClock {
    fn default() -> Self {
        FakeClock(AtomicU64::new(NOW))
    }
}

impl FakeClock {
    #[allow(dead_code)]
    pub fn forward(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for FakeClock {
    fn wall_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed) * 1_000_000_000
    }

    fn monotonic_ns(&self) -> u64 {
        self.wall_ns()
    }
}

/// "Randomness" that never repeats.
#[derive(Default)]
pub struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let next = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).to_le_bytes();
            chunk.copy_from_slice(&next[..chunk.len()]);
        }
    }
}

/// A store of rows with a time to live, by kind and id.
#[derive(Default)]
pub struct Rows {
    pub tables: Mutex<BTreeMap<String, HashMap<String, Value>>>,
    pub time_to_live: Mutex<HashMap<String, Option<Duration>>>,
}

impl Rows {
    pub fn all(&self, kind: &str) -> Vec<Value> {
        self.tables.lock().unwrap().get(kind).map(|t| t.values().cloned().collect()).unwrap_or_default()
    }

    fn matching(&self, kind: &str, field: &str, value: &str) -> Vec<Value> {
        self.all(kind).into_iter().filter(|row| row[field] == json!(value)).collect()
    }
}

impl Store for Rows {
    fn get<'a>(
        &'a self,
        kind: &'a str,
        field: &'a str,
        value: &'a str,
    ) -> SendFuture<'a, Result<Option<Value>, StoreError>> {
        Box::pin(async move { Ok(self.matching(kind, field, value).pop()) })
    }

    fn put<'a>(
        &'a self,
        kind: &'a str,
        row: Value,
        ttl: Option<Duration>,
    ) -> SendFuture<'a, Result<Value, StoreError>> {
        Box::pin(async move {
            let id = row["id"].as_str().expect("rows have an id").to_owned();
            self.time_to_live.lock().unwrap().insert(id.clone(), ttl);
            self.tables.lock().unwrap().entry(kind.to_owned()).or_default().insert(id, row.clone());
            Ok(row)
        })
    }

    fn delete<'a>(&'a self, kind: &'a str, id: &'a str) -> SendFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if let Some(table) = self.tables.lock().unwrap().get_mut(kind) {
                table.remove(id);
            }
            Ok(())
        })
    }

    fn list<'a>(
        &'a self,
        kind: &'a str,
        field: &'a str,
        value: &'a str,
    ) -> SendFuture<'a, Result<Vec<Value>, StoreError>> {
        Box::pin(async move { Ok(self.matching(kind, field, value)) })
    }

    fn increment<'a>(&'a self, _: &'a str, _: i64, _: Duration) -> SendFuture<'a, Result<i64, StoreError>> {
        Box::pin(async { Err(StoreError::Absent) })
    }

    fn is_present(&self) -> bool {
        true
    }
}

/// Ports that lead nowhere; work is computed on the spot.
struct Nowhere;

impl HttpClient for Nowhere {
    fn call(&self, _: OutcallRequest) -> SendFuture<'_, Result<OutcallResponse, OutcallError>> {
        Box::pin(async { Err(OutcallError::Timeout) })
    }
}

impl Dial for Nowhere {
    fn connect(
        &self,
        _: DialTarget,
        _: Option<OutcallTls>,
        _: Duration,
    ) -> SendFuture<'_, std::io::Result<Box<dyn Duplex>>> {
        Box::pin(async { Err(std::io::ErrorKind::ConnectionRefused.into()) })
    }
}

impl Compute for Nowhere {
    fn run(
        &self,
        work: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>,
    ) -> LocalFuture<'static, Option<Box<dyn Any + Send>>> {
        Box::pin(async move { Some(work()) })
    }
}

impl Metrics for Nowhere {
    fn add(&self, _: &'static str, _: &[(&'static str, &str)], _: u64) {}

    fn engine_snapshot(&self) -> Value {
        Value::Null
    }
}

impl Queues for Nowhere {
    fn open(&self, _: &str, _: QueueSettings, _: Arc<dyn Deliver>) -> Arc<dyn Queue> {
        panic!("these plugins have no queue")
    }
}

#[derive(Default)]
struct SharedValues(RefCell<HashMap<String, Arc<dyn Any + Send + Sync>>>);

impl NodeState for SharedValues {
    fn get_or_insert(
        &self,
        key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Any + Send + Sync>,
    ) -> Arc<dyn Any + Send + Sync> {
        Arc::clone(self.0.borrow_mut().entry(key.to_owned()).or_insert_with(make))
    }
}
