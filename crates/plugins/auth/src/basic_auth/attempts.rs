//! Failed logins: whoever guesses passwords is soon not listened to any more.
//!
//! They are counted by user name and address together: somebody who guesses must not lock out the user whose password
//! it is. Names that do not exist are counted alike, so that being locked out says nothing about them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, Digest, SHA256};
use bytes::Bytes;
use gibbon_limit::{Decision, FixedWindows, Limits, Period};
use gibbon_pdk::{Build, BuildError, Exchange, Kv, KvError, KvValue, Store, StoreError};

use super::config::{Protection, Strategy};

/// Failed logins before the next one is not looked at: a minute, and an hour.
const A_MINUTE: f64 = 3.0;
const AN_HOUR: f64 = 30.0;

/// Pairs of name and address that a node counts at once, some 250 bytes each.
const CAPACITY: usize = 1 << 16;

/// A login that was checked.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    who: Digest,
    pub succeeded: bool,
}

impl Attempt {
    pub fn new(x: &Exchange, user: &str, succeeded: bool) -> Self {
        let mut who = Context::new(&SHA256);
        who.update(x.workspace.as_bytes());
        who.update(&network(x.client.ip).to_be_bytes());
        who.update(user.as_bytes());
        Attempt { who: who.finish(), succeeded }
    }
}

/// Who has an IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

/// Counts failed logins.
pub struct Attempts {
    limits: Limits,
    here: Arc<FixedWindows>,
    shared: Option<Shared>,
}

enum Shared {
    Store(Arc<dyn Store>),
    Kv(Arc<dyn Kv>),
}

#[derive(Debug, thiserror::Error)]
enum CountError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Kv(#[from] KvError),
    #[error("the key-value server answered with something that is no number")]
    NotANumber,
}

impl Attempts {
    /// # Errors
    /// A strategy for which this node has no place to count at.
    pub fn new(config: &Protection, build: &Build<'_>) -> Result<Option<Self>, BuildError> {
        let plugin = super::PART.name;
        let shared = match config.strategy {
            Strategy::Off => return Ok(None),
            Strategy::Memory => None,
            Strategy::Cluster if !build.store.is_present() => {
                let cause = "strategy 'cluster' needs a datastore, and this node has none".to_owned();
                return Err(BuildError { plugin: plugin.to_owned(), cause });
            }
            Strategy::Cluster => Some(Shared::Store(Arc::clone(&build.store))),
            Strategy::Redis => Some(Shared::Kv((build.open_kv)(&config.redis.settings(plugin)?))),
        };
        let here = build.shared(&format!("{plugin}/attempts"), || {
            let mut seed = [0; 8];
            build.random.fill(&mut seed);
            FixedWindows::new(CAPACITY, u64::from_ne_bytes(seed))
        });
        let limits = Limits::new().with(Period::Minute, A_MINUTE).with(Period::Hour, AN_HOUR);
        Ok(Some(Attempts { limits, here, shared }))
    }

    /// Whether deciding waits for others.
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Decides here and now whether the outcome of a login counts for anything, and counts it if it failed.
    pub fn settle_here(&self, attempt: &Attempt, now_ms: u64) -> Decision {
        let who = attempt.who.as_ref();
        if attempt.succeeded {
            self.here.usage(who, &self.limits, now_ms)
        } else {
            self.here.admit(who, &self.limits, 1, now_ms)
        }
    }

    /// The same with the counts that all nodes share. While those are out of reach, each node goes by its own.
    pub async fn settle(&self, attempt: &Attempt, now_ms: u64) -> Decision {
        let Some(shared) = &self.shared else { return self.settle_here(attempt, now_ms) };
        match shared.counts(&self.limits, attempt, now_ms).await {
            Ok(counts) => {
                let before = |period| counts.iter().find(|(p, _)| *p == period).map_or(0, |(_, count)| *count);
                Decision::of(&self.limits, before, now_ms)
            }
            Err(error) => {
                tracing::error!("basic-auth: failed logins are counted by this node alone: {error}");
                self.settle_here(attempt, now_ms)
            }
        }
    }
}

impl Shared {
    /// What was counted before this attempt. One that failed is counted.
    async fn counts(&self, limits: &Limits, attempt: &Attempt, now_ms: u64) -> Result<Vec<(Period, u64)>, CountError> {
        let by = i64::from(!attempt.succeeded);
        let mut counts = Vec::with_capacity(2);
        for (period, _) in limits.iter() {
            let key = key(attempt, period, now_ms);
            let after = self.count(key, by, Duration::from_secs(period.nominal_seconds())).await?;
            counts.push((period, u64::try_from(after - by).unwrap_or(0)));
        }
        Ok(counts)
    }

    async fn count(&self, key: String, by: i64, ttl: Duration) -> Result<i64, CountError> {
        match self {
            Shared::Store(store) => Ok(store.increment(&key, by, ttl).await?),
            Shared::Kv(kv) if by == 0 => number(&kv.command(vec!["GET".into(), key.into()]).await?),
            Shared::Kv(kv) => {
                let key = Bytes::from(key);
                let increment = vec!["INCRBY".into(), key.clone(), by.to_string().into()];
                let expire = vec!["EXPIRE".into(), key, ttl.as_secs().to_string().into()];
                let answers = kv.pipeline(vec![increment, expire]).await?;
                number(answers.first().unwrap_or(&KvValue::Nil))
            }
        }
    }
}

/// Names no one: a password typed as a user name must not be read in Redis.
fn key(attempt: &Attempt, period: Period, now_ms: u64) -> String {
    use std::fmt::Write as _;
    let mut key = String::from("basic-auth:attempts:");
    for byte in attempt.who.as_ref() {
        let _ = write!(key, "{byte:02x}");
    }
    let _ = write!(key, ":{}:{}", period.start_ms(now_ms), period.as_str());
    key
}

fn number(value: &KvValue) -> Result<i64, CountError> {
    match value {
        KvValue::Nil => Ok(0),
        KvValue::Int(number) => Ok(*number),
        KvValue::Text(text) => {
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(CountError::NotANumber)
        }
        KvValue::List(_) => Err(CountError::NotANumber),
    }
}
