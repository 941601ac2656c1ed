//! The cache's paths of the Admin API: look at an answer, forget it, forget everything.

use std::sync::Arc;

use gibbon_message::Method;
use gibbon_pdk::{AdminAnswer, AdminCall, AdminPaths, Clock, SendFuture};

use super::caches::Caches;
use super::memory::CachedAnswer;

/// `/proxy-cache`, `/proxy-cache/KEY` and `/proxy-cache/PLUGIN/caches/KEY`.
pub struct CachePaths {
    pub caches: Arc<Caches>,
    pub clock: Arc<dyn Clock>,
}

impl CachePaths {
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

fn shown(answer: Option<&CachedAnswer>) -> AdminAnswer {
    answer.map_or(AdminAnswer::empty(404), |answer| AdminAnswer::json(200, answer.record()))
}

fn forgotten(was_there: bool) -> AdminAnswer {
    AdminAnswer::empty(if was_there { 204 } else { 404 })
}

impl AdminPaths for CachePaths {
    fn answer(&self, call: AdminCall) -> SendFuture<'_, Option<AdminAnswer>> {
        Box::pin(std::future::ready(CachePaths::answer(self, &call)))
    }
}
