//! Sessions in the gateway's own store: rows of `sessions` and `session_metadatas`, and how they are written.
//!
//! A session is often made while an answer's head leaves, where nothing can wait. Such writes go through a queue. Until
//! one is done its row is also found here, so that the very next request of the client finds its session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gibbon_pdk::{Build, Deliver, Queue, QueueEntry, QueueSettings, Random, SendFuture, Store, StoreError};
use serde_json::{Value, json};

/// Rows that wait to be written; the queue in front of them has the same bound.
const MAX_WAITING: usize = 10_000;
const SESSIONS: &str = "sessions";
const METADATA: &str = "session_metadatas";

/// The name under which a session is kept.
#[must_use]
pub fn key(id: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(id)
}

/// A change of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Save(Box<Save>),
    Delete { key: String },
}

/// A session to be kept, in place of another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Save {
    pub key: String,
    pub contents: String,
    /// Seconds.
    pub ttl: u64,
    /// Seconds since the epoch.
    pub now: u64,
    pub old_key: Option<String>,
    /// How long the old one stays; `None` removes it at once.
    pub old_ttl: Option<u64>,
    /// Audiences and subjects to be noted.
    pub metadata: Vec<(String, String)>,
}

impl Write {
    fn to_json(&self) -> Value {
        match self {
            Write::Delete { key } => json!({ "delete": key }),
            Write::Save(s) => {
                json!([s.key, s.contents, s.ttl, s.now, s.old_key, s.old_ttl, s.metadata])
            }
        }
    }

    fn from_json(value: &Value) -> Option<Write> {
        if let Some(key) = value.get("delete") {
            return Some(Write::Delete { key: key.as_str()?.to_owned() });
        }
        let text = |at: usize| value.get(at).and_then(Value::as_str).map(str::to_owned);
        let number = |at: usize| value.get(at).and_then(Value::as_u64);
        let pair = |pair: &Value| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.as_str()?.to_owned()));
        Some(Write::Save(Box::new(Save {
            key: text(0)?,
            contents: text(1)?,
            ttl: number(2)?,
            now: number(3)?,
            old_key: text(4),
            old_ttl: number(5),
            metadata: value.get(6)?.as_array()?.iter().filter_map(pair).collect(),
        })))
    }
}

/// The store's side of sessions.
pub struct Keeping {
    queue: Arc<dyn Queue>,
    waiting: Arc<Waiting>,
}

type Waiting = Mutex<HashMap<String, String>>;

fn locked(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeping {
    pub fn new(build: &Build<'_>) -> Keeping {
        let waiting = build.shared("session: rows that wait to be written", Waiting::default);
        let writer = Writer {
            store: Arc::clone(&build.store),
            random: Arc::clone(&build.random),
            waiting: Arc::clone(&waiting),
        };
        let settings = QueueSettings { max_entries: MAX_WAITING, ..QueueSettings::default() };
        Keeping { queue: build.queue(settings, Arc::new(writer)), waiting }
    }

    /// The encrypted contents kept under a key.
    pub async fn load(&self, store: &dyn Store, key: &str) -> Result<Option<String>, StoreError> {
        if let Some(contents) = locked(&self.waiting).get(key) {
            return Ok(Some(contents.clone()));
        }
        let row = store.get(SESSIONS, "session_id", key).await?;
        let data = row.as_ref().and_then(|row| row.get("data")).and_then(Value::as_str);
        let list: Option<Value> = data.and_then(|data| serde_json::from_str(data).ok());
        Ok(list.and_then(|list| list.get(0)?.as_str().map(str::to_owned)))
    }

    /// Hands changes over without waiting for them.
    pub fn hand_over(&self, writes: &[Write]) {
        for write in writes {
            if let Write::Save(save) = write {
                let mut waiting = locked(&self.waiting);
                if waiting.len() >= MAX_WAITING {
                    waiting.clear();
                }
                waiting.insert(save.key.clone(), save.contents.clone());
            }
            self.queue.push(QueueEntry::from(write.to_json().to_string()));
        }
    }
}

/// Makes the changes.
pub async fn apply(store: &dyn Store, random: &dyn Random, write: &Write) -> Result<(), StoreError> {
    match write {
        Write::Delete { key } => match row_id(store, key).await? {
            Some(id) => store.delete(SESSIONS, &id).await.map(drop),
            None => Ok(()),
        },
        Write::Save(save) => save_row(store, random, save).await,
    }
}

async fn save_row(store: &dyn Store, random: &dyn Random, save: &Save) -> Result<(), StoreError> {
    let id = random.uuid().to_string();
    let row = json!({
        "id": id,
        "session_id": save.key,
        "expires": save.now + save.ttl,
        "data": json!([save.contents]).to_string(),
        "created_at": save.now,
    });
    store.put(SESSIONS, row, Some(Duration::from_secs(save.ttl))).await?;
    for (audience, subject) in &save.metadata {
        let row = json!({
            "id": random.uuid().to_string(),
            "session": {"id": id},
            "sid": save.key,
            "audience": audience,
            "subject": subject,
            "created_at": save.now,
        });
        store.put(METADATA, row, Some(Duration::from_secs(save.ttl))).await?;
    }
    if let Some(old) = &save.old_key {
        retire(store, old, save).await?;
    }
    Ok(())
}

/// Requests under way may still come with the old cookie, so its row stays for a while.
async fn retire(store: &dyn Store, key: &str, save: &Save) -> Result<(), StoreError> {
    let Some(mut row) = store.get(SESSIONS, "session_id", key).await? else { return Ok(()) };
    match (save.old_ttl, row.as_object_mut()) {
        (Some(ttl), Some(fields)) => {
            fields.insert("expires".into(), json!(save.now + ttl));
            store.put(SESSIONS, row, Some(Duration::from_secs(ttl))).await.map(drop)
        }
        _ => match row.get("id").and_then(Value::as_str) {
            Some(id) => store.delete(SESSIONS, id).await.map(drop),
            None => Ok(()),
        },
    }
}

async fn row_id(store: &dyn Store, key: &str) -> Result<Option<String>, StoreError> {
    let row = store.get(SESSIONS, "session_id", key).await?;
    Ok(row.and_then(|row| row.get("id")?.as_str().map(str::to_owned)))
}

/// The far end of the queue.
struct Writer {
    store: Arc<dyn Store>,
    random: Arc<dyn Random>,
    waiting: Arc<Waiting>,
}

impl Deliver for Writer {
    fn deliver<'a>(&'a self, batch: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let writes = batch.iter().filter_map(|entry| Write::from_json(&serde_json::from_slice(entry).ok()?));
            for write in writes {
                apply(&*self.store, &*self.random, &write).await.map_err(|e| e.to_string())?;
                if let Write::Save(save) = &write {
                    locked(&self.waiting).remove(&save.key);
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_write_survives_the_queue() {
        let save = Save {
            key: "k".into(),
            contents: "c".into(),
            ttl: 5,
            now: 7,
            old_key: Some("o".into()),
            old_ttl: None,
            metadata: vec![("a".into(), "s".into())],
        };
        for write in [Write::Save(Box::new(save)), Write::Delete { key: "k".into() }] {
            assert_eq!(Write::from_json(&write.to_json()).unwrap(), write);
        }
    }
}
