//! Where counts lie: on the node, and in Redis if so configured. Redis is read before a call and written behind it; when
//! it is gone, the node's own counts go on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gibbon_limit::{RollingWindows, WindowKind, WindowLimit};
use gibbon_pdk::{Build, Deliver, Kv, KvSettings, KvValue, Queue, QueueEntry, QueueSettings, SendFuture};

/// Keys of a node: what comes beyond throws out the oldest.
const KEYS: usize = 200_000;

/// One limit and its use.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    pub limit: WindowLimit,
    pub rate: f64,
    pub reset_seconds: u64,
}

/// The counts of a configuration.
pub struct Counts {
    prefix: String,
    local: Arc<RollingWindows>,
    redis: Option<Redis>,
}

struct Redis {
    kv: Arc<dyn Kv>,
    later: Arc<dyn Queue>,
}

impl Counts {
    pub fn new(namespace: &str, redis: Option<&KvSettings>, build: &Build<'_>) -> Self {
        let seed = build.random.uuid().as_u64_pair().0;
        let local = build.shared("ai-rate-limiting-advanced", || RollingWindows::new(KEYS, seed));
        let redis = redis.map(|settings| {
            let kv = (build.open_kv)(settings);
            let queue = QueueSettings {
                max_batch_size: 500,
                max_coalescing_delay: Duration::from_millis(10),
                max_entries: 100_000,
                ..QueueSettings::default()
            };
            let deliver = Arc::new(Behind(Arc::clone(&kv)));
            let later = build.queues.open(&format!("ai-counts/{}", build.plugin_id), queue, deliver);
            Redis { kv, later }
        });
        Counts { prefix: namespace.to_owned(), local, redis }
    }

    /// The use of limits, with `cost` on top and counted if all allow it (0 only looks).
    pub async fn take(&self, key: &str, limits: &[WindowLimit], kind: WindowKind, cost: u64, now_ms: u64) -> Vec<Use> {
        let key = format!("{}\0{key}", self.prefix);
        if let Some(redis) = &self.redis
            && let Some(uses) = redis.take(&key, limits, kind, cost, now_ms).await
        {
            return uses;
        }
        let decision = self.local.admit(key.as_bytes(), limits, kind, cost, false, now_ms);
        let uses = decision.usages.iter();
        uses.map(|u| Use { limit: u.limit, rate: u.rate, reset_seconds: u.reset_seconds }).collect()
    }

    /// Adds what a call used beyond what was taken for it, or gives back what it did not.
    pub fn settle(&self, key: &str, limits: &[WindowLimit], by: i64, now_ms: u64) {
        let key = format!("{}\0{key}", self.prefix);
        self.local.settle(key.as_bytes(), limits, by, now_ms);
        if let Some(redis) = &self.redis {
            for limit in limits {
                redis.later.push(Bytes::from(format!("{by} {} {}", ttl(limit), name(&key, limit, now_ms, 0))));
            }
        }
    }
}

/// The count of a window lives until the one after it is over.
fn ttl(limit: &WindowLimit) -> u64 {
    limit.size_ms.saturating_mul(2).div_ceil(1000).max(1)
}

/// The name of a count: of the present window, or of one `back`.
fn name(key: &str, limit: &WindowLimit, now_ms: u64, back: u64) -> String {
    let start = (now_ms / limit.size_ms).saturating_sub(back);
    format!("ai-rl:{key}:{}:{start}", limit.size_ms)
}

impl Redis {
    async fn take(
        &self,
        key: &str,
        limits: &[WindowLimit],
        kind: WindowKind,
        cost: u64,
        now_ms: u64,
    ) -> Option<Vec<Use>> {
        // What is taken is added first and then looked at: between two nodes nothing is taken twice.
        let present = |l: &WindowLimit| match cost {
            0 => vec![vec![Bytes::from_static(b"GET"), Bytes::from(name(key, l, now_ms, 0))]],
            _ => change(&name(key, l, now_ms, 0), whole(cost), ttl(l)).to_vec(),
        };
        let previous = |l: &WindowLimit| vec![Bytes::from_static(b"GET"), Bytes::from(name(key, l, now_ms, 1))];
        let commands = limits.iter().flat_map(|l| present(l).into_iter().chain([previous(l)]));
        let answers = match self.kv.pipeline(commands.collect()).await {
            Ok(answers) => answers,
            Err(error) => {
                tracing::warn!("AI rate limits are counted on this node only: {error}");
                return None;
            }
        };
        let mut uses = Vec::new();
        let per_limit = if cost > 0 { 3 } else { 2 };
        for (limit, answers) in limits.iter().zip(answers.chunks(per_limit)) {
            let present = answers.first().map_or(0.0, number);
            let previous = answers.last().map_or(0.0, number);
            let elapsed = (now_ms % limit.size_ms) as f64 / limit.size_ms as f64;
            let overlap = if kind == WindowKind::Sliding { 1.0 - elapsed } else { 0.0 };
            let left = limit.size_ms - now_ms % limit.size_ms;
            let rate = present + previous * overlap;
            uses.push(Use { limit: *limit, rate, reset_seconds: left.div_ceil(1000).max(1) });
        }
        if cost > 0 && uses.iter().any(|u| u.rate > u.limit.limit) {
            let back = limits.iter().flat_map(|l| change(&name(key, l, now_ms, 0), -whole(cost), ttl(l)));
            let _ = self.kv.pipeline(back.collect()).await;
        }
        Some(uses)
    }
}

fn whole(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

fn number(value: &KvValue) -> f64 {
    match value {
        KvValue::Int(n) => *n as f64,
        KvValue::Text(text) => std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).unwrap_or(0.0),
        KvValue::Nil | KvValue::List(_) => 0.0,
    }
}

fn change(name: &str, by: i64, ttl: u64) -> [Vec<Bytes>; 2] {
    let text = |t: String| Bytes::from(t);
    [
        vec![Bytes::from_static(b"INCRBY"), text(name.to_owned()), text(by.to_string())],
        vec![Bytes::from_static(b"EXPIRE"), text(name.to_owned()), text(ttl.to_string())],
    ]
}

/// Counts that are made behind the answer: `by ttl name`.
struct Behind(Arc<dyn Kv>);

impl Deliver for Behind {
    fn deliver<'a>(&'a self, batch: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let commands = batch.iter().filter_map(|entry| {
                let mut parts = std::str::from_utf8(entry).ok()?.splitn(3, ' ');
                let (by, ttl) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
                Some(change(parts.next()?, by, ttl))
            });
            self.0.pipeline(commands.flatten().collect()).await.map(drop).map_err(|e| e.to_string())
        })
    }
}
