//! Counts that all nodes share.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gibbon_limit::{Limits, Period};
use gibbon_pdk::{Kv, KvError, KvValue, Store, StoreError};

use super::key::with_period;

/// Why shared counts are not known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CounterError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Kv(#[from] KvError),
    #[error("the key-value server answered with something that is no number")]
    NotANumber,
}

/// One count and what to add to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    pub by: i64,
    /// How long the count is of interest.
    pub ttl: Duration,
}

impl Change {
    pub fn new(shared: &str, limit: &str, period: Period, now_ms: u64, by: i64) -> Self {
        let key = with_period(shared, period.start_ms(now_ms), limit, period);
        Change { key, by, ttl: Duration::from_secs(period.nominal_seconds()) }
    }

    /// A change for each limited period.
    pub fn each(shared: &str, limit: &str, limits: &Limits, now_ms: u64, by: i64) -> Vec<Change> {
        limits.iter().map(|(period, _)| Change::new(shared, limit, period, now_ms, by)).collect()
    }
}

/// Where shared counts lie.
#[derive(Clone)]
pub enum Outside {
    Store(Arc<dyn Store>),
    Kv(Arc<dyn Kv>),
}

impl Outside {
    /// Applies all changes and gives the new counts.
    pub async fn add(&self, changes: &[Change]) -> Result<Vec<i64>, CounterError> {
        match self {
            Outside::Store(store) => {
                let mut counts = Vec::with_capacity(changes.len());
                for change in changes {
                    counts.push(store.increment(&change.key, change.by, change.ttl).await?);
                }
                Ok(counts)
            }
            Outside::Kv(kv) => {
                let commands = changes.iter().flat_map(Change::commands).collect();
                let answers = kv.pipeline(commands).await?;
                answers.iter().step_by(2).map(number).collect()
            }
        }
    }

    /// The counts as they are.
    pub async fn read(&self, changes: &[Change]) -> Result<Vec<i64>, CounterError> {
        match self {
            Outside::Store(store) => {
                let mut counts = Vec::with_capacity(changes.len());
                for change in changes {
                    counts.push(store.increment(&change.key, 0, change.ttl).await?);
                }
                Ok(counts)
            }
            Outside::Kv(kv) => {
                let get = |change: &Change| vec![Bytes::from_static(b"GET"), Bytes::from(change.key.clone())];
                let answers = kv.pipeline(changes.iter().map(get).collect()).await?;
                answers.iter().map(number).collect()
            }
        }
    }
}

impl Change {
    /// Both in one round trip: a count without a time to live would stay for ever.
    fn commands(&self) -> [Vec<Bytes>; 2] {
        let key = Bytes::from(self.key.clone());
        let increment = vec![Bytes::from_static(b"INCRBY"), key.clone(), Bytes::from(self.by.to_string())];
        let expire = vec![Bytes::from_static(b"EXPIRE"), key, Bytes::from(self.ttl.as_secs().to_string())];
        [increment, expire]
    }
}

fn number(value: &KvValue) -> Result<i64, CounterError> {
    match value {
        KvValue::Nil => Ok(0),
        KvValue::Int(number) => Ok(*number),
        KvValue::Text(text) => {
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(CounterError::NotANumber)
        }
        KvValue::List(_) => Err(CounterError::NotANumber),
    }
}
