//! Keeps certificates: what is wanted is fetched from the storage or obtained, one after the other in the background,
//! and renewed in time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use gibbon_pdk::{
    Build, BuildError, CertificatePem, Clock, Compute, Deliver, Queue, QueueEntry, QueueSettings, SendFuture, Store,
};
use serde_json::{Value, json};

use super::authority::{AcmeError, Authority};
use super::certificates::{Certificates, Held};
use super::config::{CertType, Config};
use super::domains::Domains;
use super::entities::Entities;
use super::given_key::GivenKey;
use super::storage::{Storage, StorageError};

const RENEW_CONFIG: &str = "kong_acme:renew_config:";
const DAY: i64 = 86_400;
/// How long one node keeps others from obtaining the same certificate.
const LOCK: Duration = Duration::from_secs(30);
/// How long a name that is being worked on is not put on the list again.
const WANTED_AGAIN: i64 = 60;
/// Names on the list at once: with `allow_any_domain` clients choose them.
const WANTED: usize = 1_000;
/// On the list in place of a name: look at everything.
const EVERYTHING: &[u8] = b"*";

/// What the configuration says, in the units that are worked with.
pub struct Settings {
    pub email: String,
    pub tos_accepted: bool,
    /// Key id and key of an external account.
    pub external: Option<(String, String)>,
    pub account_key: Option<GivenKey>,
    pub cert_type: CertType,
    pub rsa_key_size: u32,
    pub preferred_chain: Option<String>,
    pub common_name_of_addresses: bool,
    /// Seconds before the end from which a certificate is renewed.
    renew_before: i64,
    backoff: Duration,
}

pub struct Keeper {
    pub settings: Settings,
    pub domains: Domains,
    pub storage: Storage,
    pub authority: Authority,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub compute: Arc<dyn Compute>,
    pub certificates: Arc<Certificates>,
    /// Where certificates are entities; `None` on nodes without a datastore, which keep them in the storage.
    entities: Option<Entities>,
    /// Names on the list, and until when they are not put on it again.
    wanted: Mutex<HashMap<Box<str>, i64>>,
    queue: OnceLock<Arc<dyn Queue>>,
    daily: OnceLock<Arc<dyn Queue>>,
}

/// How a name was dealt with.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was a certificate that lasts.
    Kept,
    Obtained,
    /// Another node is at it, or a failure was not long ago.
    Later,
}

impl Keeper {
    /// # Errors
    /// What this node cannot do.
    pub fn new(config: Config, build: &Build<'_>) -> Result<Arc<Self>, BuildError> {
        let keeper = Arc::new(Keeper {
            domains: Domains::new(config.allow_any_domain, config.domains.as_deref().unwrap_or_default()),
            storage: Storage::new(&config, build)?,
            authority: Authority::new(Arc::clone(&build.http), &config.api_uri),
            store: Arc::clone(&build.store),
            clock: Arc::clone(&build.clock),
            compute: Arc::clone(&build.compute),
            certificates: build.shared("acme/certificates", Certificates::default),
            entities: build
                .store
                .is_present()
                .then(|| Entities { store: Arc::clone(&build.store), random: Arc::clone(&build.random) }),
            wanted: Mutex::default(),
            queue: OnceLock::new(),
            daily: OnceLock::new(),
            settings: Settings {
                email: config.account_email,
                tos_accepted: config.tos_accepted,
                account_key: config.account_key.map(|key| GivenKey {
                    kid: key.key_id,
                    set: key.key_set,
                    workspace: build.workspace,
                }),
                external: config.eab_kid.zip(config.eab_hmac_key),
                cert_type: config.cert_type,
                rsa_key_size: config.rsa_key_size as u32,
                preferred_chain: config.preferred_chain,
                common_name_of_addresses: config.enable_ipv4_common_name,
                renew_before: (config.renew_threshold_days * DAY as f64) as i64,
                backoff: Duration::from_secs_f64((config.fail_backoff_minutes * 60.0).clamp(0.0, 1e9)),
            },
        });
        keeper.open_queues(build);
        Ok(keeper)
    }

    /// The list is a queue; a second one, which holds its entry back for a day, is the clock of renewals.
    fn open_queues(self: &Arc<Self>, build: &Build<'_>) {
        let name = |of: &str| format!("acme/{of}/{}", build.plugin_id);
        let list = QueueSettings { max_entries: 2 * WANTED, ..QueueSettings::default() };
        let clock = QueueSettings {
            max_batch_size: 2,
            max_coalescing_delay: Duration::from_secs(DAY as u64),
            max_entries: 2,
            ..QueueSettings::default()
        };
        let _ = self.queue.set(build.queues.open(&name("list"), list, Arc::new(List(Arc::downgrade(self)))));
        let _ = self.daily.set(build.queues.open(&name("daily"), clock, Arc::new(Daily(Arc::downgrade(self)))));
        self.renew_now();
        self.wind();
    }

    /// Has everything looked at after a day.
    fn wind(&self) {
        if let Some(daily) = self.daily.get() {
            daily.push(Bytes::from_static(EVERYTHING));
        }
    }

    /// The certificate to show for a name, if it is at hand. What is missing or near its end goes on the list.
    pub fn certificate_for(&self, host: &str) -> Option<Arc<CertificatePem>> {
        if !self.domains.allows(host) {
            return None;
        }
        let held = self.certificates.get(host);
        if held.as_ref().is_none_or(|held| self.is_due(held)) {
            self.want(host);
        }
        held.map(|held| held.pem)
    }

    fn is_due(&self, held: &Held) -> bool {
        held.not_after - self.clock.wall() <= self.settings.renew_before
    }

    /// Puts a name on the list, unless it is there or was a moment ago.
    fn want(&self, host: &str) {
        let now = self.clock.wall();
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.get(host).is_some_and(|until| *until > now) {
            return;
        }
        if wanted.len() >= WANTED {
            wanted.retain(|_, until| *until > now);
            if wanted.len() >= WANTED {
                return;
            }
        }
        wanted.insert(host.into(), now + WANTED_AGAIN);
        drop(wanted);
        if let Some(queue) = self.queue.get() {
            queue.push(Bytes::copy_from_slice(host.as_bytes()));
        }
    }

    /// Has everything looked at now.
    pub fn renew_now(&self) {
        if let Some(queue) = self.queue.get() {
            queue.push(Bytes::from_static(EVERYTHING));
        }
    }

    /// Works one entry of the list off.
    async fn work(&self, entry: &[u8]) {
        if entry == EVERYTHING {
            self.look_at_everything().await;
        } else {
            self.work_on(&String::from_utf8_lossy(entry)).await;
        }
    }

    async fn work_on(&self, host: &str) {
        match self.keep(host).await {
            Ok(Outcome::Obtained) => tracing::info!("acme: obtained a certificate for '{host}'"),
            Ok(Outcome::Kept | Outcome::Later) => {}
            Err(error) => tracing::error!("acme: no certificate for '{host}': {error}"),
        }
    }

    /// Sees to it that there is a certificate for a name that lasts.
    ///
    /// # Errors
    /// Why there is none; the name is left alone for a while then.
    pub async fn keep(&self, host: &str) -> Result<Outcome, AcmeError> {
        if let Some(held) = self.stored(host).await? {
            let due = self.is_due(&held);
            // One that is near its end is still better than none.
            self.certificates.put(host, held);
            if !due {
                return Ok(Outcome::Kept);
            }
        }
        if self.storage.get(&backoff_place(host)).await?.is_some() {
            return Ok(Outcome::Later);
        }
        let lock = format!("kong_acme:update_lock:{host}");
        if !self.storage.add(&lock, "placeholder", LOCK).await? {
            return Ok(Outcome::Later);
        }
        let obtained = self.obtain_and_store(host).await;
        if obtained.is_err() && !self.settings.backoff.is_zero() {
            self.storage.set(&backoff_place(host), "placeholder", Some(self.settings.backoff)).await?;
        }
        self.storage.delete(&lock).await?;
        obtained.map(|()| Outcome::Obtained)
    }

    async fn obtain_and_store(&self, host: &str) -> Result<(), AcmeError> {
        if let Some(entities) = &self.entities {
            entities.takes(host).await?;
        }
        let pem = self.obtain(host).await?;
        let held = Held::new(pem).ok_or(AcmeError::Missing("certificate"))?;
        match &self.entities {
            Some(entities) => entities.put(host, &held.pem, self.clock.wall()).await?,
            None => {
                let value = json!({ "key": held.pem.key, "cert": held.pem.cert }).to_string();
                self.storage.set(&certificate_place(host), &value, None).await?;
            }
        }
        let renewal = json!({ "host": host, "expire_at": held.not_after }).to_string();
        self.storage.set(&format!("{RENEW_CONFIG}{host}"), &renewal, None).await?;
        self.certificates.put(host, held);
        Ok(())
    }

    /// The certificate of a name as it is kept.
    ///
    /// # Errors
    /// When the storage cannot be reached.
    pub async fn stored(&self, host: &str) -> Result<Option<Held>, StorageError> {
        if let Some(entities) = &self.entities {
            return Ok(entities.get(host).await?.and_then(Held::new));
        }
        let value = self.storage.get(&certificate_place(host)).await?;
        let value: Option<Value> = value.and_then(|text| serde_json::from_str(&text).ok());
        let part = |name: &str| value.as_ref()?.get(name)?.as_str().map(str::to_owned);
        Ok(part("cert").zip(part("key")).and_then(|(cert, key)| Held::new(CertificatePem { cert, key })))
    }

    /// Names that there are certificates for.
    ///
    /// # Errors
    /// When the storage cannot be reached.
    pub async fn hosts(&self) -> Result<Vec<String>, StorageError> {
        let keys = self.storage.list(RENEW_CONFIG).await?;
        Ok(keys.iter().filter_map(|key| key.strip_prefix(RENEW_CONFIG).map(str::to_owned)).collect())
    }

    /// Takes in what the storage has, and renews what is near its end.
    async fn look_at_everything(&self) {
        let known = self.hosts().await.unwrap_or_else(|error| {
            tracing::error!("acme: certificates cannot be listed: {error}");
            Vec::new()
        });
        for host in known.iter().filter(|host| self.domains.allows(host)) {
            self.work_on(host).await;
        }
    }
}

fn certificate_place(host: &str) -> String {
    format!("kong_acme:cert_key:{host}")
}

fn backoff_place(host: &str) -> String {
    format!("kong_acme:fail_backoff:{host}")
}

/// Works the list off. Weak, since the keeper holds the queue.
struct List(Weak<Keeper>);

impl Deliver for List {
    fn deliver<'a>(&'a self, batch: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let Some(keeper) = self.0.upgrade() else { return Ok(()) };
            for entry in batch {
                keeper.work(entry).await;
            }
            Ok(())
        })
    }
}

/// The clock of renewals.
struct Daily(Weak<Keeper>);

impl Deliver for Daily {
    fn deliver<'a>(&'a self, _: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>> {
        Box::pin(async move {
            if let Some(keeper) = self.0.upgrade() {
                keeper.renew_now();
                keeper.wind();
            }
            Ok(())
        })
    }
}
