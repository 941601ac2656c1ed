//! Key-value servers, over `wires/kv`. Equal settings share one client, across plugins and plans.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use gibbon_kv::{Error, Settings, Store, Value};
use gibbon_outcall::{Reach, Tls};
use gibbon_pdk::{Kv, KvError, KvSettings, KvValue, SendFuture};
use tokio::runtime::Handle;

/// The node's key-value clients.
pub struct KvHub {
    reach: Arc<Reach>,
    runtime: Handle,
    known: Mutex<HashMap<KvSettings, Weak<KvPort>>>,
}

impl KvHub {
    /// Clients whose connections live on `runtime`.
    #[must_use]
    pub fn new(reach: Arc<Reach>, runtime: Handle) -> Self {
        KvHub { reach, runtime, known: Mutex::default() }
    }

    /// The client for these settings.
    pub fn open(&self, settings: &KvSettings) -> Arc<dyn Kv> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known.get(settings).and_then(Weak::upgrade) {
            return client;
        }
        known.retain(|_, client| client.strong_count() > 0);
        let store = Store::new(&of(settings), Arc::clone(&self.reach), self.runtime.clone());
        let client = Arc::new(KvPort(store));
        known.insert(settings.clone(), Arc::downgrade(&client));
        client
    }
}

struct KvPort(Store);

impl Kv for KvPort {
    fn command(&self, arguments: Vec<Bytes>) -> SendFuture<'_, Result<KvValue, KvError>> {
        Box::pin(async move { self.0.command(&arguments).await.map(value).map_err(error) })
    }

    fn pipeline(&self, commands: Vec<Vec<Bytes>>) -> SendFuture<'_, Result<Vec<KvValue>, KvError>> {
        Box::pin(async move {
            let answers = self.0.pipeline(&commands).await.map_err(error)?;
            Ok(answers.into_iter().map(value).collect())
        })
    }
}

fn of(settings: &KvSettings) -> Settings {
    let tls = Tls { verify: settings.ssl_verify, server_name: settings.server_name.clone(), identity: None };
    Settings {
        host: settings.host.clone(),
        port: settings.port,
        timeout: settings.timeout,
        username: settings.username.clone(),
        password: settings.password.clone(),
        database: settings.database,
        tls: settings.ssl.then_some(tls),
        cluster_nodes: settings.cluster_nodes.clone(),
        sentinel_nodes: settings.sentinel_nodes.clone(),
        sentinel_master: settings.sentinel_master.clone(),
        sentinel_username: settings.sentinel_username.clone(),
        sentinel_password: settings.sentinel_password.clone(),
    }
}

fn value(from: Value) -> KvValue {
    match from {
        Value::Nil => KvValue::Nil,
        Value::Int(number) => KvValue::Int(number),
        Value::Text(bytes) => KvValue::Text(bytes),
        Value::List(values) => KvValue::List(values.into_iter().map(value).collect()),
    }
}

fn error(from: Error) -> KvError {
    match from {
        Error::Refused(text) => KvError::Refused(text),
        other => KvError::Unavailable(other.to_string()),
    }
}
