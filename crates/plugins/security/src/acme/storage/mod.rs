//! Texts by key with a time to live, in one of several places. Keys are named as Kong's nodes name them, so that both
//! can share a storage.

mod consul;
mod vault;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gibbon_pdk::redis::refuse_cloud_authentication;
use gibbon_pdk::{Build, BuildError, Clock, Kv, KvError, KvValue, OutcallError, Random, Store, StoreError};
use serde_json::{Value, json};

use super::config::{Config, StorageKind};
use consul::Consul;
use vault::Vault;

/// Entries of the node's own memory; more push out the first by name that can go.
const NODE_ENTRIES: usize = 20_000;
/// The table of the datastore.
const TABLE: &str = "acme_storage";

/// Why a storage does not do as it is asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("the datastore: {0}")]
    Store(#[from] StoreError),
    #[error("redis: {0}")]
    Kv(#[from] KvError),
    #[error("{0}")]
    Http(#[from] OutcallError),
    #[error("{0}")]
    Answer(String),
    #[error("the node's memory for certificates is full")]
    Full,
}

type Result<T> = std::result::Result<T, StorageError>;

/// Where texts lie.
pub enum Storage {
    Node(Arc<NodeStorage>),
    Store { store: Arc<dyn Store>, random: Arc<dyn Random> },
    Kv { kv: Arc<dyn Kv>, namespace: String, scan_count: u64 },
    Consul(Consul),
    Vault(Vault),
}

impl Storage {
    /// # Errors
    /// A storage that this node does not have, or settings that are missing.
    pub fn new(config: &Config, build: &Build<'_>) -> std::result::Result<Self, BuildError> {
        let refuse = |cause: &str| BuildError { plugin: super::PART.name.to_owned(), cause: cause.to_owned() };
        let settings = &config.storage_config;
        Ok(match config.storage {
            StorageKind::Shm => {
                let clock = Arc::clone(&build.clock);
                Storage::Node(build.shared("acme/storage", || NodeStorage::new(Arc::clone(&clock))))
            }
            StorageKind::Kong if !build.store.is_present() => {
                return Err(refuse("storage 'kong' needs a datastore, and this node has none"));
            }
            StorageKind::Kong => Storage::Store { store: Arc::clone(&build.store), random: Arc::clone(&build.random) },
            StorageKind::Redis => {
                let options = &settings.redis.extra_options;
                refuse_cloud_authentication(super::PART.name, &settings.redis.cloud_authentication)?;
                let kv = (build.open_kv)(&settings.redis.server.settings());
                let scan_count = options.scan_count.clamp(1.0, 10_000.0) as u64;
                Storage::Kv { kv, namespace: options.namespace.clone(), scan_count }
            }
            StorageKind::Consul => Storage::Consul(
                Consul::new(&settings.consul, Arc::clone(&build.http), Arc::clone(&build.clock)).map_err(refuse)?,
            ),
            StorageKind::Vault => Storage::Vault(
                Vault::new(&settings.vault, Arc::clone(&build.http), Arc::clone(&build.clock)).map_err(refuse)?,
            ),
        })
    }

    /// # Errors
    /// When the storage cannot be reached.
    pub async fn get(&self, key: &str) -> Result<Option<String>> {
        match self {
            Storage::Node(node) => Ok(node.get(key)),
            Storage::Store { store, .. } => {
                let row = store.get(TABLE, "key", key).await?;
                Ok(row.and_then(|row| row.get("value")?.as_str().map(str::to_owned)))
            }
            Storage::Kv { kv, namespace, .. } => {
                let answer = kv.command(words(&["GET", &format!("{namespace}{key}")])).await?;
                Ok(text(&answer))
            }
            Storage::Consul(consul) => consul.get(key).await,
            Storage::Vault(vault) => vault.get(key).await,
        }
    }

    /// # Errors
    /// When the storage cannot be reached.
    pub async fn set(&self, key: &str, value: &str, ttl: Option<Duration>) -> Result<()> {
        match self {
            Storage::Node(node) => node.set(key, value, ttl),
            Storage::Store { store, random } => {
                let known = store.get(TABLE, "key", key).await?;
                let id = known.and_then(|row| row.get("id")?.as_str().map(str::to_owned));
                let id = id.unwrap_or_else(|| random.uuid().to_string());
                let row = json!({ "id": id, "key": key, "value": value, "kind": kind(key) });
                store.put(TABLE, row, ttl).await?;
                Ok(())
            }
            Storage::Kv { kv, namespace, .. } => {
                kv.command(set_command(&format!("{namespace}{key}"), value, ttl, &[])).await?;
                Ok(())
            }
            Storage::Consul(consul) => consul.set(key, value, ttl).await,
            Storage::Vault(vault) => vault.set(key, value, ttl).await,
        }
    }

    /// Sets what is not there yet; tells whether it did. Only Redis and the node's memory do so in one step; elsewhere
    /// two nodes may both believe that they did, and obtain a certificate twice.
    ///
    /// # Errors
    /// When the storage cannot be reached.
    pub async fn add(&self, key: &str, value: &str, ttl: Duration) -> Result<bool> {
        match self {
            Storage::Node(node) => node.add(key, value, ttl),
            Storage::Kv { kv, namespace, .. } => {
                let command = set_command(&format!("{namespace}{key}"), value, Some(ttl), &["NX"]);
                Ok(kv.command(command).await? != KvValue::Nil)
            }
            _ => {
                if self.get(key).await?.is_some() {
                    return Ok(false);
                }
                self.set(key, value, Some(ttl)).await?;
                Ok(true)
            }
        }
    }

    /// # Errors
    /// When the storage cannot be reached.
    pub async fn delete(&self, key: &str) -> Result<()> {
        match self {
            Storage::Node(node) => node.delete(key),
            Storage::Store { store, .. } => {
                if let Some(row) = store.get(TABLE, "key", key).await?
                    && let Some(id) = row.get("id").and_then(Value::as_str)
                {
                    store.delete(TABLE, id).await?;
                }
            }
            Storage::Kv { kv, namespace, .. } => {
                kv.command(words(&["DEL", &format!("{namespace}{key}")])).await?;
            }
            Storage::Consul(consul) => consul.delete(key).await?,
            Storage::Vault(vault) => vault.delete(key).await?,
        }
        Ok(())
    }

    /// The keys that begin with `prefix`, which ends in `:`.
    ///
    /// # Errors
    /// When the storage cannot be reached.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        match self {
            Storage::Node(node) => Ok(node.list(prefix)),
            Storage::Store { store, .. } => {
                let rows = store.list(TABLE, "kind", prefix).await?;
                Ok(rows.iter().filter_map(|row| row.get("key")?.as_str().map(str::to_owned)).collect())
            }
            Storage::Kv { kv, namespace, scan_count } => scan(&**kv, namespace, prefix, *scan_count).await,
            Storage::Consul(consul) => consul.list(prefix).await,
            Storage::Vault(vault) => vault.list(prefix).await,
        }
    }
}

/// What a key of the plugin begins with, up to its last but one part: rows are listed by it.
fn kind(key: &str) -> &str {
    match key.match_indices(':').nth(1) {
        Some((at, _)) if key.starts_with("kong_acme:") => key.get(..=at).unwrap_or(key),
        _ => "",
    }
}

fn words(words: &[&str]) -> Vec<Bytes> {
    words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

fn set_command(key: &str, value: &str, ttl: Option<Duration>, options: &[&str]) -> Vec<Bytes> {
    let mut command = words(&["SET", key, value]);
    command.extend(words(options));
    if let Some(ttl) = ttl {
        command.extend(words(&["EX", &ttl.as_secs().max(1).to_string()]));
    }
    command
}

fn text(value: &KvValue) -> Option<String> {
    match value {
        KvValue::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}

/// Steps through all keys; a step may find none.
async fn scan(kv: &dyn Kv, namespace: &str, prefix: &str, count: u64) -> Result<Vec<String>> {
    /// A server that never comes to an end must not keep us.
    const STEPS: usize = 100_000;
    let pattern = format!("{namespace}{prefix}*");
    let (mut keys, mut cursor) = (Vec::new(), "0".to_owned());
    for _ in 0..STEPS {
        let command = words(&["SCAN", &cursor, "MATCH", &pattern, "COUNT", &count.to_string()]);
        let KvValue::List(answer) = kv.command(command).await? else { break };
        let mut answer = answer.into_iter();
        cursor = answer.next().as_ref().and_then(text).unwrap_or_default();
        if let Some(KvValue::List(found)) = answer.next() {
            let own = found.iter().filter_map(text);
            keys.extend(own.filter_map(|key| key.strip_prefix(namespace).map(str::to_owned)));
        }
        if cursor == "0" || cursor.is_empty() {
            break;
        }
    }
    keys.sort();
    keys.dedup();
    Ok(keys)
}

/// A text, and until when it counts (seconds).
type Entry = (String, Option<i64>);

/// This node's memory.
pub struct NodeStorage {
    entries: Mutex<BTreeMap<String, Entry>>,
    clock: Arc<dyn Clock>,
}

impl NodeStorage {
    fn new(clock: Arc<dyn Clock>) -> Self {
        NodeStorage { entries: Mutex::default(), clock }
    }

    /// The entries that still count.
    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, key: &str) -> Option<String> {
        let now = self.clock.wall();
        let entries = self.entries();
        entries.get(key).filter(|(_, until)| until.is_none_or(|until| until > now)).map(|(value, _)| value.clone())
    }

    fn set(&self, key: &str, value: &str, ttl: Option<Duration>) -> Result<()> {
        let now = self.clock.wall();
        let mut entries = self.entries();
        if entries.len() >= NODE_ENTRIES && !entries.contains_key(key) {
            entries.retain(|_, (_, until)| until.is_none_or(|until| until > now));
            if entries.len() >= NODE_ENTRIES {
                return Err(StorageError::Full);
            }
        }
        let until = ttl.map(|ttl| now + ttl.as_secs() as i64);
        entries.insert(key.to_owned(), (value.to_owned(), until));
        Ok(())
    }

    fn add(&self, key: &str, value: &str, ttl: Duration) -> Result<bool> {
        if self.get(key).is_some() {
            return Ok(false);
        }
        self.set(key, value, Some(ttl))?;
        Ok(true)
    }

    fn delete(&self, key: &str) {
        self.entries().remove(key);
    }

    fn list(&self, prefix: &str) -> Vec<String> {
        let now = self.clock.wall();
        let entries = self.entries();
        let range = entries.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        range.filter(|(_, (_, until))| until.is_none_or(|until| until > now)).map(|(key, _)| key.clone()).collect()
    }
}

/// A key as one segment of a path.
fn escaped(key: &str) -> String {
    key.bytes().fold(String::with_capacity(key.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
