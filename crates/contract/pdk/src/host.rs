//! What a plugin may ask of the gateway: one port per kind of need. The engine provides them; a
//! plugin never names a socket, a runtime or a database.

use std::any::Any;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use gibbon_message::{Headers, Method};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    CertificatePem, Directory, Entities, Exporter, LocalFuture, Scripting, SecretReader, SendFuture, TraceSettings,
};

/// The ports of one worker, handed to every step.
pub struct Host {
    pub directory: Rc<dyn Directory>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub http: Arc<dyn HttpClient>,
    pub dial: Arc<dyn Dial>,
    pub store: Arc<dyn Store>,
    pub compute: Arc<dyn Compute>,
    pub metrics: Arc<dyn Metrics>,
    pub node: Arc<NodeFacts>,
    pub scripting: Arc<dyn Scripting>,
    pub secrets: Arc<dyn SecretReader>,
}

/// Facts of this node that answers and logs show.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    pub id: Uuid,
    pub hostname: String,
    /// As in Server and Via: `gibbon/0.1.0`, or what the settings say.
    pub server_token: String,
    /// The Kong version spoken, e.g. `3.10.0`.
    pub kong_version: String,
    pub worker_count: usize,
    pub tracing: TraceSettings,
    /// What models cost, as the text that the settings name.
    pub price_list: Option<Arc<str>>,
}

/// Time. On the request path it is read once per batch of events, so it costs nothing.
pub trait Clock: Send + Sync {
    /// Nanoseconds since the epoch.
    fn wall_ns(&self) -> u64;
    /// Nanoseconds of a clock that never goes back.
    fn monotonic_ns(&self) -> u64;

    /// Seconds since the epoch.
    fn wall(&self) -> i64 {
        (self.wall_ns() / 1_000_000_000) as i64
    }

    /// Completes after `duration`. Dropping the future ends the wait. A clock without a timer (one that
    /// stands still, in a test) has waited at once.
    fn sleep(&self, _duration: Duration) -> SendFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Cryptographically strong randomness.
pub trait Random: Send + Sync {
    fn fill(&self, bytes: &mut [u8]);

    fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// TLS of an outgoing call; the default verifies against the system's authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcallTls {
    pub verify: bool,
    /// Name to verify and to send as SNI; `None` takes the URL's host.
    pub server_name: Option<String>,
}

impl Default for OutcallTls {
    fn default() -> Self {
        OutcallTls { verify: true, server_name: None }
    }
}

/// A request of a plugin's own.
#[derive(Clone, Debug)]
pub struct OutcallRequest {
    pub method: Method,
    /// `http://` or `https://`, host, optional port, path and query.
    pub url: String,
    pub headers: Headers,
    pub body: Bytes,
    /// From the first byte sent to the last received.
    pub timeout: Duration,
    /// How long the connection stays in the pool.
    pub keepalive: Duration,
    pub tls: OutcallTls,
    /// A forward proxy, `http://host:port`: plain requests are handed to it, TLS goes through a tunnel.
    pub proxy: Option<String>,
    /// Answers above this are refused.
    pub max_response_bytes: usize,
}

impl OutcallRequest {
    #[must_use]
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        OutcallRequest {
            method,
            url: url.into(),
            headers: Headers::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(60),
            keepalive: Duration::from_secs(60),
            tls: OutcallTls::default(),
            proxy: None,
            max_response_bytes: 16 << 20,
        }
    }
}

#[derive(Clone, Debug)]
pub struct OutcallResponse {
    pub status: u16,
    pub headers: Headers,
    pub body: Bytes,
}

/// Why an outgoing call gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OutcallError {
    #[error("the URL '{0}' is not valid")]
    Url(String),
    #[error("failed to resolve '{0}'")]
    Resolve(String),
    #[error("connection to {peer} failed: {cause}")]
    Connect { peer: String, cause: String },
    #[error("timeout")]
    Timeout,
    #[error("TLS handshake failed: {0}")]
    Tls(String),
    #[error("{0}")]
    Protocol(String),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Calls to HTTP services.
pub trait HttpClient: Send + Sync {
    fn call(&self, request: OutcallRequest) -> SendFuture<'_, Result<OutcallResponse, OutcallError>>;
}

/// Where a raw connection goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DialTarget {
    Tcp {
        host: String,
        port: u16,
    },
    Udp {
        host: String,
        port: u16,
    },
    Unix {
        path: String,
    },
    /// A datagram socket such as `/dev/log`.
    UnixDatagram {
        path: String,
    },
}

/// A raw connection: what is written is sent whole, a read gives what has come.
pub trait Duplex: Send {
    fn read(&mut self, max: usize) -> SendFuture<'_, std::io::Result<Bytes>>;
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> SendFuture<'a, std::io::Result<()>>;
    fn close(&mut self) -> SendFuture<'_, ()>;

    /// Goes on in TLS on the same connection, for protocols that begin in plain (STARTTLS). The caller must have read
    /// all that came in plain: what an attacker put behind it would otherwise count as said in TLS.
    fn start_tls(
        self: Box<Self>,
        _tls: OutcallTls,
        _timeout: Duration,
    ) -> SendFuture<'static, std::io::Result<Box<dyn Duplex>>> {
        Box::pin(std::future::ready(Err(std::io::ErrorKind::Unsupported.into())))
    }

    /// As [`start_tls`](Self::start_tls), with a certificate to present to a peer that asks for one.
    fn start_tls_as(
        self: Box<Self>,
        _tls: OutcallTls,
        _identity: Arc<CertificatePem>,
        _timeout: Duration,
    ) -> SendFuture<'static, std::io::Result<Box<dyn Duplex>>> {
        Box::pin(std::future::ready(Err(std::io::ErrorKind::Unsupported.into())))
    }
}

/// Raw connections.
pub trait Dial: Send + Sync {
    /// An address of a host, and the port to ask there: that of the record if it is a service record.
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> SendFuture<'a, std::io::Result<std::net::SocketAddr>> {
        Box::pin(std::future::ready(Err(std::io::ErrorKind::Unsupported.into())))
    }

    fn connect(
        &self,
        target: DialTarget,
        tls: Option<OutcallTls>,
        timeout: Duration,
    ) -> SendFuture<'_, std::io::Result<Box<dyn Duplex>>>;
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("no datastore is configured")]
    Absent,
    #[error("the datastore is not available: {0}")]
    Unavailable(String),
    #[error("{0}")]
    Conflict(String),
}

/// Rows with a time to live (OAuth2 codes and tokens, sessions, ACME storage): they never enter the
/// plan. A row past its time counts as absent.
pub trait Store: Send + Sync {
    /// By a unique field of the entity.
    fn get<'a>(
        &'a self,
        kind: &'a str,
        field: &'a str,
        value: &'a str,
    ) -> SendFuture<'a, Result<Option<Value>, StoreError>>;
    /// Inserts or replaces by id.
    fn put<'a>(&'a self, kind: &'a str, row: Value, ttl: Option<Duration>)
    -> SendFuture<'a, Result<Value, StoreError>>;
    /// As [`get`](Self::get), for kinds whose rows belong to a workspace.
    fn get_in<'a>(
        &'a self,
        _workspace: Uuid,
        kind: &'a str,
        field: &'a str,
        value: &'a str,
    ) -> SendFuture<'a, Result<Option<Value>, StoreError>> {
        self.get(kind, field, value)
    }
    /// As [`put`](Self::put), for kinds whose rows belong to a workspace: that of what they refer to.
    fn put_in<'a>(
        &'a self,
        _workspace: Uuid,
        kind: &'a str,
        row: Value,
        ttl: Option<Duration>,
    ) -> SendFuture<'a, Result<Value, StoreError>> {
        self.put(kind, row, ttl)
    }
    /// Tells whether the row was there: of all who delete it at the same time, on whichever node of the cluster, one is
    /// told so. What may be used once only is used by whoever deletes it.
    fn delete<'a>(&'a self, kind: &'a str, id: &'a str) -> SendFuture<'a, Result<bool, StoreError>>;
    /// Rows of a table whose `field` has that value.
    fn list<'a>(
        &'a self,
        kind: &'a str,
        field: &'a str,
        value: &'a str,
    ) -> SendFuture<'a, Result<Vec<Value>, StoreError>>;
    /// Adds to a counter row and returns its new value (rate-limiting `cluster`).
    fn increment<'a>(&'a self, key: &'a str, by: i64, ttl: Duration) -> SendFuture<'a, Result<i64, StoreError>>;
    /// Whether there is a datastore at all (not in DB-less mode).
    fn is_present(&self) -> bool;
    /// The entities by their schema; nothing where only rows are kept.
    fn entities(&self) -> Option<&dyn Entities> {
        None
    }
}

/// Connection settings of a key-value server (Redis).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KvSettings {
    pub host: String,
    pub port: u16,
    pub timeout: Duration,
    pub username: Option<String>,
    pub password: Option<String>,
    pub database: i64,
    pub ssl: bool,
    pub ssl_verify: bool,
    pub server_name: Option<String>,
    /// `host:port` of the cluster's nodes; empty unless it is a cluster.
    pub cluster_nodes: Vec<String>,
    /// `host:port` of the sentinels; empty unless they are used.
    pub sentinel_nodes: Vec<String>,
    pub sentinel_master: Option<String>,
}

/// A value of the key-value protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum KvValue {
    Nil,
    Int(i64),
    Text(Bytes),
    List(Vec<KvValue>),
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum KvError {
    /// The server could not be reached, or did not answer in time.
    #[error("{0}")]
    Unavailable(String),
    /// The server answered with an error.
    #[error("{0}")]
    Refused(String),
}

/// A key-value server; connections are pooled and come back by themselves.
pub trait Kv: Send + Sync {
    fn command(&self, arguments: Vec<Bytes>) -> SendFuture<'_, Result<KvValue, KvError>>;
    /// Several commands in one round trip, in order.
    fn pipeline(&self, commands: Vec<Vec<Bytes>>) -> SendFuture<'_, Result<Vec<KvValue>, KvError>>;
}

/// Work that takes longer than half a millisecond, on a bounded pool of its own threads.
pub trait Compute: Send + Sync {
    /// `None` if the pool's queue is full.
    fn run(
        &self,
        work: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>,
    ) -> LocalFuture<'static, Option<Box<dyn Any + Send>>>;

    /// As [`run`](Self::run), for tasks of the control runtime. Where there is no pool, the work is done
    /// by whoever waits for it.
    fn run_for_control(
        &self,
        work: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>,
    ) -> SendFuture<'static, Option<Box<dyn Any + Send>>> {
        Box::pin(async move { Some(work()) })
    }
}

/// Figures that plugins add to, and the exposition of all of them.
pub trait Metrics: Send + Sync {
    /// Adds to a counter of this node, e.g. dropped log entries.
    fn add(&self, name: &'static str, labels: &[(&'static str, &str)], by: u64);
    /// What the engine itself counts (connections, workers, upstream health, …), for an exporter.
    fn engine_snapshot(&self) -> Value;
    /// From now on `/metrics` shows this exporter's families too, as long as somebody holds it.
    fn register(&self, _exporter: Weak<dyn Exporter>) {}
}

/// State that exists once per node, is shared by all workers and outlives plans: counters, caches.
/// The same key and type give the same value as long as somebody holds it or a plan names it.
pub trait NodeState {
    fn get_or_insert(
        &self,
        key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Any + Send + Sync>,
    ) -> Arc<dyn Any + Send + Sync>;
}
