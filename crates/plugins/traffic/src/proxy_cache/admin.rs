//! The cache's paths of the Admin API: look at an answer, forget it, forget everything. What is to be forgotten, all nodes
//! of the datastore are told.

use std::sync::Arc;
use std::time::Duration;

use gibbon_message::Method;
use gibbon_pdk::{AdminAnswer, AdminCall, AdminPaths, Clock, Random, SendFuture, Store};
use serde_json::json;

use super::caches::Caches;
use super::memory::CachedAnswer;

/// `/proxy-cache`, `/proxy-cache/KEY` and `/proxy-cache/PLUGIN/caches/KEY`.
pub struct CachePaths {
    pub caches: Arc<Caches>,
    pub clock: Arc<dyn Clock>,
    pub store: Arc<dyn Store>,
    pub random: Arc<dyn Random>,
}

/// Where nodes tell each other what to forget, as Kong names it.
pub const CHANNEL: &str = "proxy-cache:purge";
/// For so long a node may not have heard of it; nodes look more often by far.
const TOLD_FOR: Duration = Duration::from_secs(3600);

impl CachePaths {
    /// What the other nodes are to forget, or nothing if the call only looks.
    fn told(call: &AdminCall) -> Option<String> {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        match (&call.method, path.as_slice()) {
            (Method::Delete, []) => Some(String::new()),
            (Method::Delete, [key]) => Some((*key).to_owned()),
            (Method::Delete, [plugin, "caches", key]) => Some(format!("{plugin} {key}")),
            _ => None,
        }
    }

    async fn tell(&self, what: String) -> Result<(), AdminAnswer> {
        if !self.store.is_present() {
            return Ok(());
        }
        let id = self.random.uuid().to_string();
        let event = json!({"id": id, "channel": CHANNEL, "data": what, "created_at": self.clock.wall()});
        self.store.put("cluster_events", event, Some(TOLD_FOR)).await.map(drop).map_err(|error| {
            tracing::error!("proxy-cache: the other nodes cannot be told what to forget: {error}");
            AdminAnswer::message(500, "An unexpected error occurred")
        })
    }

    fn answer(&self, call: &AdminCall) -> Option<AdminAnswer> {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        let now = self.clock.wall();
        Some(match (&call.method, path.as_slice()) {
            (Method::Delete, []) => {
                self.caches.purge();
                AdminAnswer::empty(204)
            }
            (Method::Get | Method::Head, [key]) => shown(self.caches.find(key, now).as_deref()),
            (Method::Delete, [key]) => forgotten(self.caches.remove(key)),
            (Method::Get | Method::Head, [plugin, "caches", key]) => {
                let memory = plugin.parse().ok().and_then(|id| self.caches.memory_of(id));
                shown(memory.and_then(|memory| self.caches.find_in(&memory, key, now)).as_deref())
            }
            (Method::Delete, [plugin, "caches", key]) => {
                let memory = plugin.parse().ok().and_then(|id| self.caches.memory_of(id));
                forgotten(memory.is_some_and(|memory| self.caches.remove_in(&memory, key)))
            }
            (_, [] | [_] | [_, "caches", _]) => AdminAnswer::message(405, "Method not allowed"),
            _ => return None,
        })
    }
}

/// Forgets what some node was told to: a key, a plugin's id and a key, or everything.
pub fn hear(caches: &Caches, what: &str) {
    match what.split_once(' ') {
        _ if what.is_empty() => caches.purge(),
        None => {
            caches.remove(what);
        }
        Some((plugin, key)) => {
            if let Some(memory) = plugin.parse().ok().and_then(|id| caches.memory_of(id)) {
                caches.remove_in(&memory, key);
            }
        }
    }
}

fn shown(answer: Option<&CachedAnswer>) -> AdminAnswer {
    answer.map_or(AdminAnswer::empty(404), |answer| AdminAnswer::json(200, answer.record()))
}

fn forgotten(was_there: bool) -> AdminAnswer {
    AdminAnswer::empty(if was_there { 204 } else { 404 })
}

impl AdminPaths for CachePaths {
    fn answer(&self, call: AdminCall) -> SendFuture<'_, Option<AdminAnswer>> {
        Box::pin(async move {
            let answer = CachePaths::answer(self, &call)?;
            // An answer that this node does not have may be on another one.
            if let Some(what) = Self::told(&call)
                && let Err(failed) = self.tell(what).await
            {
                return Some(failed);
            }
            Some(answer)
        })
    }
}
