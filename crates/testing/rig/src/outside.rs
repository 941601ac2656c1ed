//! What lies outside of a handler: store, key-value server, HTTP services, queues, people.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gibbon_pdk::{
    Clock, Consumer, ConsumerGroup, Credential, CredentialKind, Deliver, Directory, HttpClient, Kv, KvError, KvValue,
    OutcallError, OutcallRequest, OutcallResponse, Queue, QueueEntry, QueueSettings, Queues, SendFuture, Store,
    StoreError,
};
use serde_json::Value;
use smallvec::SmallVec;
use uuid::Uuid;

use crate::time::FakeClock;

fn done<'a, T: Send + 'a>(value: T) -> SendFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

/// A row, and until when it counts (seconds).
type Row = (Value, Option<i64>);

/// A store that forgets what is past its time.
pub struct MemoryStore {
    clock: Arc<FakeClock>,
    rows: Mutex<BTreeMap<(String, String), Row>>,
    counters: Mutex<HashMap<String, i64>>,
    /// There is no datastore, as in DB-less mode.
    pub absent: AtomicBool,
    /// There is one, and it does not answer.
    pub down: AtomicBool,
}

impl MemoryStore {
    pub fn new(clock: Arc<FakeClock>) -> Self {
        let (rows, counters) = Default::default();
        MemoryStore { clock, rows, counters, absent: AtomicBool::new(false), down: AtomicBool::new(false) }
    }

    /// The rows of a table.
    pub fn rows(&self, kind: &str) -> Vec<Value> {
        let rows = self.rows.lock().unwrap();
        rows.iter().filter(|((of, _), _)| of == kind).map(|(_, (row, _))| row.clone()).collect()
    }

    /// The counters with their values.
    pub fn counters(&self) -> BTreeMap<String, i64> {
        self.counters.lock().unwrap().clone().into_iter().collect()
    }

    fn ready(&self) -> Result<(), StoreError> {
        if self.absent.load(Ordering::SeqCst) {
            return Err(StoreError::Absent);
        }
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("switched off".into()));
        }
        Ok(())
    }

    fn find(&self, kind: &str, field: &str, value: &str) -> Vec<Value> {
        let now = self.clock.wall();
        let rows = self.rows.lock().unwrap();
        let alive = rows.iter().filter(|((k, _), (_, until))| k == kind && until.is_none_or(|until| until > now));
        let found = alive.filter(|(_, (row, _))| row[field].as_str() == Some(value));
        found.map(|(_, (row, _))| row.clone()).collect()
    }
}

impl Store for MemoryStore {
    fn get<'a>(
        &'a self,
        kind: &'a str,
        field: &'a str,
        value: &'a str,
    ) -> SendFuture<'a, Result<Option<Value>, StoreError>> {
        done(self.ready().map(|()| self.find(kind, field, value).into_iter().next()))
    }

    fn put<'a>(
        &'a self,
        kind: &'a str,
        row: Value,
        ttl: Option<Duration>,
    ) -> SendFuture<'a, Result<Value, StoreError>> {
        let until = ttl.map(|ttl| self.clock.wall() + ttl.as_secs() as i64);
        let id = row["id"].as_str().unwrap_or_default().to_owned();
        done(self.ready().map(|()| {
            self.rows.lock().unwrap().insert((kind.to_owned(), id), (row.clone(), until));
            row
        }))
    }

    fn delete<'a>(&'a self, kind: &'a str, id: &'a str) -> SendFuture<'a, Result<bool, StoreError>> {
        let key = (kind.to_owned(), id.to_owned());
        done(self.ready().map(|()| self.rows.lock().unwrap().remove(&key).is_some()))
    }

    fn list<'a>(
        &'a self,
        kind: &'a str,
        field: &'a str,
        value: &'a str,
    ) -> SendFuture<'a, Result<Vec<Value>, StoreError>> {
        done(self.ready().map(|()| self.find(kind, field, value)))
    }

    fn increment<'a>(&'a self, key: &'a str, by: i64, _: Duration) -> SendFuture<'a, Result<i64, StoreError>> {
        done(self.ready().map(|()| {
            let mut counters = self.counters.lock().unwrap();
            let value = counters.entry(key.to_owned()).or_default();
            *value += by;
            *value
        }))
    }

    fn is_present(&self) -> bool {
        !self.absent.load(Ordering::SeqCst)
    }
}

/// A key-value server that knows GET, SET (with EX and NX), DEL, INCRBY, EXPIRE and SCAN with MATCH.
pub struct MemoryKv {
    clock: Arc<FakeClock>,
    values: Mutex<BTreeMap<String, (Bytes, Option<u64>)>>,
    /// Nobody answers.
    pub down: AtomicBool,
    /// Round trips so far.
    pub round_trips: AtomicUsize,
}

impl MemoryKv {
    pub fn new(clock: Arc<FakeClock>) -> Self {
        MemoryKv { clock, values: Mutex::default(), down: AtomicBool::new(false), round_trips: AtomicUsize::new(0) }
    }

    /// Keys with their values as text and the seconds they have left.
    pub fn entries(&self) -> BTreeMap<String, (String, Option<u64>)> {
        let now = self.clock.now_ms();
        let values = self.values.lock().unwrap();
        let shown = |(value, until): &(Bytes, Option<u64>)| {
            (String::from_utf8_lossy(value).into_owned(), until.map(|until| until.saturating_sub(now).div_ceil(1000)))
        };
        values.iter().map(|(key, entry)| (key.clone(), shown(entry))).collect()
    }

    fn execute(&self, arguments: &[Bytes]) -> Result<KvValue, KvError> {
        let words: Vec<String> = arguments.iter().map(|a| String::from_utf8_lossy(a).into_owned()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let now = self.clock.now_ms();
        let mut values = self.values.lock().unwrap();
        values.retain(|_, (_, until)| until.is_none_or(|until| until > now));
        Ok(match words.as_slice() {
            ["GET", key] => values.get(*key).map_or(KvValue::Nil, |(value, _)| KvValue::Text(value.clone())),
            ["SET", key, _, options @ ..] => {
                if options.contains(&"NX") && values.contains_key(*key) {
                    return Ok(KvValue::Nil);
                }
                let seconds = options.iter().position(|o| *o == "EX").map(|at| options[at + 1].parse::<u64>().unwrap());
                values.insert((*key).to_owned(), (arguments[2].clone(), seconds.map(|s| now + s * 1000)));
                KvValue::Text("OK".into())
            }
            ["DEL", key] => KvValue::Int(values.remove(*key).map_or(0, |_| 1)),
            ["INCRBY", key, by] => {
                let entry = values.entry((*key).to_owned()).or_insert(("0".into(), None));
                let value = String::from_utf8_lossy(&entry.0).parse::<i64>().unwrap() + by.parse::<i64>().unwrap();
                entry.0 = value.to_string().into();
                KvValue::Int(value)
            }
            ["EXPIRE", key, seconds, ..] => match values.get_mut(*key) {
                Some(entry) => {
                    entry.1 = Some(now + seconds.parse::<u64>().unwrap() * 1000);
                    KvValue::Int(1)
                }
                None => KvValue::Int(0),
            },
            ["SCAN", _, "MATCH", pattern, ..] => {
                let prefix = pattern.trim_end_matches('*');
                let keys = values.keys().filter(|k| k.starts_with(prefix)).map(|k| KvValue::Text(k.clone().into()));
                KvValue::List(vec![KvValue::Text("0".into()), KvValue::List(keys.collect())])
            }
            other => return Err(KvError::Refused(format!("ERR unknown command {other:?}"))),
        })
    }

    fn round_trip(&self) -> Result<(), KvError> {
        self.round_trips.fetch_add(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            return Err(KvError::Unavailable("connection refused".into()));
        }
        Ok(())
    }
}

impl Kv for MemoryKv {
    fn command(&self, arguments: Vec<Bytes>) -> SendFuture<'_, Result<KvValue, KvError>> {
        done(self.round_trip().and_then(|()| self.execute(&arguments)))
    }

    fn pipeline(&self, commands: Vec<Vec<Bytes>>) -> SendFuture<'_, Result<Vec<KvValue>, KvError>> {
        done(self.round_trip().and_then(|()| commands.iter().map(|c| self.execute(c)).collect()))
    }
}

type Script = dyn FnMut(OutcallRequest) -> Result<OutcallResponse, OutcallError> + Send;

/// HTTP services played by a function; every call is kept.
#[derive(Default)]
pub struct ScriptedHttp {
    script: Mutex<Option<Box<Script>>>,
    pub calls: Mutex<Vec<OutcallRequest>>,
}

impl ScriptedHttp {
    /// Answers calls from now on.
    pub fn answer(&self, script: impl FnMut(OutcallRequest) -> Result<OutcallResponse, OutcallError> + Send + 'static) {
        *self.script.lock().unwrap() = Some(Box::new(script));
    }
}

impl HttpClient for ScriptedHttp {
    fn call(&self, request: OutcallRequest) -> SendFuture<'_, Result<OutcallResponse, OutcallError>> {
        self.calls.lock().unwrap().push(request.clone());
        let mut script = self.script.lock().unwrap();
        done(match &mut *script {
            Some(script) => script(request),
            None => Err(OutcallError::Connect { peer: request.url, cause: "nobody listens".into() }),
        })
    }
}

/// A queue that keeps its entries until the test delivers them.
pub struct DirectQueue {
    pub settings: QueueSettings,
    deliver: Arc<dyn Deliver>,
    entries: Mutex<VecDeque<QueueEntry>>,
}

impl DirectQueue {
    /// Number of entries waiting.
    pub fn len(&self) -> usize {
        self.entries.lock().unwrap().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Delivers what waits as one batch; on failure it stays.
    ///
    /// # Errors
    /// What the plugin said.
    pub fn deliver(&self) -> Result<(), String> {
        let batch: Vec<QueueEntry> = self.entries.lock().unwrap().drain(..).collect();
        if batch.is_empty() {
            return Ok(());
        }
        crate::time::run(self.deliver.deliver(&batch)).inspect_err(|_| {
            let mut entries = self.entries.lock().unwrap();
            batch.iter().rev().for_each(|entry| entries.push_front(entry.clone()));
        })
    }
}

impl Queue for DirectQueue {
    fn push(&self, entry: QueueEntry) {
        self.entries.lock().unwrap().push_back(entry);
    }
}

/// Queues by name.
#[derive(Default)]
pub struct DirectQueues(Mutex<BTreeMap<String, Arc<DirectQueue>>>);

impl DirectQueues {
    /// The queue whose name contains `part`.
    ///
    /// # Panics
    /// When none was opened.
    pub fn get(&self, part: &str) -> Arc<DirectQueue> {
        let queues = self.0.lock().unwrap();
        let found = queues.iter().find(|(name, _)| name.contains(part));
        Arc::clone(found.unwrap_or_else(|| panic!("no queue named {part:?} among {:?}", queues.keys())).1)
    }

    /// The names of all.
    pub fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }
}

impl Queues for DirectQueues {
    fn open(&self, name: &str, settings: QueueSettings, deliver: Arc<dyn Deliver>) -> Arc<dyn Queue> {
        let mut queues = self.0.lock().unwrap();
        let fresh = || Arc::new(DirectQueue { settings, deliver, entries: Mutex::default() });
        queues.entry(name.to_owned()).or_insert_with(fresh).clone()
    }
}

/// Consumers, groups and credentials, as a test lists them.
#[derive(Clone, Default)]
pub struct People {
    pub consumers: Vec<Arc<Consumer>>,
    /// Of each consumer, by id.
    pub groups: Vec<(Uuid, Arc<ConsumerGroup>)>,
    pub credentials: Vec<(CredentialKind, Arc<Credential>)>,
}

impl People {
    /// A consumer of that name, with an id made of it.
    pub fn consumer(username: &str) -> Arc<Consumer> {
        Arc::new(Consumer {
            id: id_of(username),
            username: Some(username.into()),
            custom_id: None,
            tags: SmallVec::new(),
            created_at: 0,
            updated_at: 0,
        })
    }

    /// A credential of a consumer with text fields.
    pub fn credential(key: &str, owner: &Consumer, fields: &[(&'static str, &str)]) -> Arc<Credential> {
        Arc::new(Credential {
            id: id_of(key),
            consumer: Some(owner.id),
            key: key.into(),
            fields: fields.iter().map(|(name, value)| (*name, Box::from(*value))).collect(),
            document: None,
            expires_at: None,
        })
    }
}

/// An id that follows from a name: its first bytes.
fn id_of(name: &str) -> Uuid {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    Uuid::from_bytes(bytes)
}

impl Directory for People {
    fn consumer(&self, id: Uuid) -> Option<Arc<Consumer>> {
        self.consumers.iter().find(|c| c.id == id).cloned()
    }

    fn consumer_by_username(&self, _: Uuid, username: &str) -> Option<Arc<Consumer>> {
        self.consumers.iter().find(|c| c.username.as_deref() == Some(username)).cloned()
    }

    fn consumer_by_custom_id(&self, _: Uuid, custom_id: &str) -> Option<Arc<Consumer>> {
        self.consumers.iter().find(|c| c.custom_id.as_deref() == Some(custom_id)).cloned()
    }

    fn credential(&self, _: Uuid, kind: CredentialKind, key: &str) -> Option<Arc<Credential>> {
        self.credentials.iter().find(|(k, c)| *k == kind && &*c.key == key).map(|(_, c)| c.clone())
    }

    fn credential_by_id(&self, kind: CredentialKind, id: Uuid) -> Option<Arc<Credential>> {
        self.credentials.iter().find(|(k, c)| *k == kind && c.id == id).map(|(_, c)| c.clone())
    }

    fn credentials_of(&self, kind: CredentialKind, consumer: Uuid) -> SmallVec<[Arc<Credential>; 4]> {
        let of = self.credentials.iter().filter(|(k, c)| *k == kind && c.consumer == Some(consumer));
        of.map(|(_, c)| c.clone()).collect()
    }

    fn groups_of(&self, consumer: Uuid) -> Option<Arc<[Arc<ConsumerGroup>]>> {
        let mut groups: Vec<_> = self.groups.iter().filter(|(c, _)| *c == consumer).map(|(_, g)| g.clone()).collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        (!groups.is_empty()).then(|| groups.into())
    }
}
