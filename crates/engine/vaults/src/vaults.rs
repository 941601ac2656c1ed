//! The secrets in use, remembered and kept fresh.
//!
//! Looking up never waits: a secret of a vault on this machine is read at once, one of another is asked for in the
//! background. Whoever must have it waits in [`Vaults::settle`]; whoever uses it is told when it changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gibbon_conf::vault::Reference;
use gibbon_store::Secrets;
use serde_json::Value;
use tokio::sync::Notify;

use crate::config::Config;
use crate::entry::{Entry, Lives};
use crate::strategy::{self, ReadError, Strategy, Surroundings};

/// Readings that go on at the same time.
const READERS: usize = 16;
/// Secrets that are remembered. More references than this stand for nothing, and the log says so.
const MOST: usize = 100_000;

/// The configuration of a vault that has no entity, by the strategy's name.
pub type BySettings = dyn Fn(&str) -> Config + Send + Sync;

/// All vaults of a node, and what was read from them.
pub struct Vaults {
    surroundings: Surroundings,
    by_settings: Box<BySettings>,
    known: Mutex<Known>,
    settled: Condvar,
    /// There is something to read.
    wanted: Notify,
    /// A secret is another one.
    changed: Notify,
}

#[derive(Default)]
struct Known {
    secrets: HashMap<Key, Kept>,
    strategies: BTreeMap<Arc<Config>, Arc<dyn Strategy>>,
}

/// A secret is known by its reference and by the vault it is read from.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    reference: Arc<str>,
    vault: Arc<Config>,
}

struct Kept {
    entry: Entry,
    reference: Arc<Reference>,
    strategy: Arc<dyn Strategy>,
}

impl Vaults {
    #[must_use]
    pub fn new(surroundings: Surroundings, by_settings: Box<BySettings>) -> Arc<Vaults> {
        Arc::new(Vaults {
            surroundings,
            by_settings,
            known: Mutex::default(),
            settled: Condvar::new(),
            wanted: Notify::new(),
            changed: Notify::new(),
        })
    }

    /// Waits until a secret that was looked up is another one.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Reads what is due, for ever.
    pub async fn run(self: Arc<Self>) {
        loop {
            let next = self.next_due();
            let wanted = self.wanted.notified();
            match next {
                Some(at) if at <= Instant::now() => Arc::clone(&self).read_due().await,
                Some(at) => drop(tokio::time::timeout_at(at.into(), wanted).await),
                None => wanted.await,
            }
        }
    }

    /// The secret behind a reference to a vault without an entity, for settings and commands: nothing is remembered.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn read_once(&self, reference: &Reference) -> Result<String, ReadError> {
        self.read_from(reference, None).await
    }

    /// As [`read_once`](Self::read_once), from the vault that an entity describes.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn read_from(&self, reference: &Reference, vault: Option<&Value>) -> Result<String, ReadError> {
        let config = self.config(&reference.vault, vault);
        let strategy = strategy::open(&config, &self.surroundings)?;
        finish(reference, &config, strategy.read(reference).await)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a vault is configured with: by its entity, or by settings when it is named by its strategy.
    fn config(&self, name: &str, vault: Option<&Value>) -> Config {
        let mut config = vault.and_then(Config::of_entity).unwrap_or_else(|| (self.by_settings)(name));
        // A vault's own secrets come from the environment: other vaults could lead in a circle.
        config.resolve(|text| {
            let reference = Reference::parse(text).ok().filter(|reference| reference.vault == "env")?;
            let environment = (self.by_settings)("env");
            let value = (self.surroundings.variable)(&reference.variable(environment.text("prefix")))?;
            reference.pick(&value).ok()
        });
        config
    }

    fn begin(&self, known: &mut Known, text: &str, vault: Option<&Value>) -> Result<Key, ReadError> {
        let reference = Reference::parse(text)?;
        let config = Arc::new(self.config(&reference.vault, vault));
        let key = Key { reference: text.into(), vault: Arc::clone(&config) };
        if known.secrets.contains_key(&key) {
            return Ok(key);
        }
        if known.secrets.len() >= MOST {
            return Err(ReadError::TooMany(MOST));
        }
        let strategy = match known.strategies.get(&config) {
            Some(strategy) => Arc::clone(strategy),
            None => {
                let strategy = strategy::open(&config, &self.surroundings)?;
                known.strategies.insert(Arc::clone(&config), Arc::clone(&strategy));
                strategy
            }
        };
        let entry = Entry::new(Lives::of(&reference, &config), Instant::now());
        known.secrets.insert(key.clone(), Kept { entry, reference: Arc::new(reference), strategy });
        Ok(key)
    }

    fn next_due(&self) -> Option<Instant> {
        self.known().secrets.values().filter_map(|kept| kept.entry.due()).min()
    }

    async fn read_due(self: Arc<Self>) {
        let mut readings = tokio::task::JoinSet::new();
        while let Some((key, reference, strategy)) = self.take_due() {
            let vaults = Arc::clone(&self);
            readings.spawn(async move {
                let read = finish(&reference, &key.vault, strategy.read(&reference).await);
                vaults.take_in(&key, read);
            });
            while readings.len() >= READERS {
                readings.join_next().await;
            }
        }
        while readings.join_next().await.is_some() {}
    }

    fn take_due(&self) -> Option<(Key, Arc<Reference>, Arc<dyn Strategy>)> {
        let now = Instant::now();
        let mut known = self.known();
        let (key, kept) = known.secrets.iter_mut().find(|(_, kept)| kept.entry.due().is_some_and(|at| at <= now))?;
        kept.entry.begin_reading();
        Some((key.clone(), Arc::clone(&kept.reference), Arc::clone(&kept.strategy)))
    }

    fn take_in(&self, key: &Key, read: Result<String, ReadError>) {
        let now = Instant::now();
        let changed = {
            let mut known = self.known();
            let Some(kept) = known.secrets.get_mut(key) else { return };
            match read {
                Ok(secret) => kept.entry.succeeded(secret, now),
                Err(error) => {
                    tracing::warn!("unable to resolve reference {} ({error})", key.reference);
                    kept.entry.failed(now)
                }
            }
        };
        self.settled.notify_all();
        if changed {
            self.changed.notify_one();
        }
    }
}

/// Picks the key out of a resource, and decodes it.
fn finish(reference: &Reference, config: &Config, read: Result<String, ReadError>) -> Result<String, ReadError> {
    let secret = reference.pick(&read?)?;
    if !config.is_base64() {
        return Ok(secret);
    }
    let decoded = STANDARD.decode(secret.trim()).or_else(|_| URL_SAFE_NO_PAD.decode(secret.trim()));
    decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(ReadError::NotBase64)
}

impl Secrets for Vaults {
    fn look_up(&self, reference: &str, vault: Option<&Arc<Value>>) -> String {
        let mut known = self.known();
        let key = match self.begin(&mut known, reference, vault.map(|vault| &**vault)) {
            Ok(key) => key,
            Err(error) => {
                tracing::warn!("unable to resolve reference {reference} ({error})");
                return String::new();
            }
        };
        let Some(kept) = known.secrets.get_mut(&key) else { return String::new() };
        if !kept.entry.is_settled()
            && let Some(read) = kept.strategy.read_now(&kept.reference)
        {
            match finish(&kept.reference, &key.vault, read) {
                Ok(secret) => drop(kept.entry.succeeded(secret, Instant::now())),
                Err(error) => {
                    tracing::warn!("unable to resolve reference {reference} ({error})");
                    kept.entry.failed(Instant::now());
                }
            }
        }
        self.wanted.notify_one();
        kept.entry.value().unwrap_or_default().to_owned()
    }

    fn settle(&self, at_most: Duration) {
        let end = Instant::now() + at_most;
        let mut known = self.known();
        while known.secrets.values().any(|kept| !kept.entry.is_settled()) {
            let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else { return };
            known = self.settled.wait_timeout(known, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn retain(&self, used: &dyn Fn(&str) -> bool) {
        let mut known = self.known();
        known.secrets.retain(|key, _| used(&key.reference));
        let Known { secrets, strategies } = &mut *known;
        strategies.retain(|config, _| secrets.keys().any(|key| key.vault == *config));
    }
}
