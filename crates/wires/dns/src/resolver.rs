//! The face of the client: from memory if possible, and one look-up for all who ask at the same time.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::cache::{Cache, Entry, State};
use crate::exchange::Servers;
use crate::lookup::{Asker, Found, literal};
use crate::search::LowerName;
use crate::statistics::{Statistics, count};
use crate::{Answer, Clock, DnsError, NameStatistics, Record, RecordKind, Settings};

type Outcome = Result<Arc<Answer>, DnsError>;

/// Resolves names for all workers of a node. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    asker: Arc<Asker>,
    cache: Cache,
    /// Answers of the hosts file, made once.
    hosts: HashMap<Box<str>, Arc<Answer>>,
    flights: Mutex<HashMap<Box<str>, Arc<Flight>>>,
}

/// A look-up under way, and those who wait for it, in whatever runtime they are.
#[derive(Default)]
struct Flight {
    outcome: OnceLock<Outcome>,
    landed: Notify,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("names", &self.0.cache.len()).finish_non_exhaustive()
    }
}

impl Resolver {
    /// A resolver with an empty cache.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        let cache = Cache::new(settings.cache_size);
        let asker = Asker {
            servers: Servers::new(&settings),
            statistics: Statistics::new(settings.cache_size),
            settings,
            clock,
        };
        let host = |name: &str| asker.without_asking(name).map(|(kind, ip)| (name.into(), plain_answer(kind, ip)));
        let hosts = asker.settings.hosts.names().filter_map(host).collect();
        Self(Arc::new(Inner { asker: Arc::new(asker), cache, hosts, flights: Mutex::default() }))
    }

    /// What is known of a name without waiting: literals, the hosts file and the cache, remembered failures included.
    /// `None` means that only [`lookup`](Self::lookup) can tell.
    ///
    /// An answer that has just expired is returned while a task of the calling runtime renews it.
    pub fn cached(&self, name: &str) -> Option<Outcome> {
        match LowerName::new(name) {
            Ok(name) => self.0.known(name.as_str()),
            Err(error) => Some(Err(error)),
        }
    }

    /// Resolves a name. Dropping the future does not stop a look-up that others wait for.
    ///
    /// Must be called within a Tokio runtime.
    pub async fn lookup(&self, name: &str) -> Outcome {
        if let Some(outcome) = self.cached(name) {
            return outcome;
        }
        let name = LowerName::new(name)?;
        let name = name.as_str();
        count(&self.0.asker.statistics.of_name(name).misses);
        if !self.0.asker.settings.coalesce {
            return self.0.find_and_keep(name).await;
        }
        match self.0.join(name).await {
            // Whoever asked first was shut down half-way: now it is on us.
            Err(DnsError::Interrupted) => self.0.join(name).await,
            outcome => outcome,
        }
    }

    /// Forgets all answers; the hosts file stays.
    pub fn clear(&self) {
        self.0.cache.clear();
    }

    /// Counters of names (`example.com:all`) and of questions to servers (`example.com:A`).
    pub fn statistics(&self) -> BTreeMap<String, NameStatistics> {
        self.0.asker.statistics.report()
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.0.asker.settings
    }

    /// Now, on the clock that answers expire by.
    pub fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }
}

impl Inner {
    fn now_ms(&self) -> u64 {
        self.asker.clock.now_ms()
    }

    fn known(self: &Arc<Self>, name: &str) -> Option<Outcome> {
        if let Some(answer) = self.hosts.get(name.strip_suffix('.').unwrap_or(name)) {
            return Some(Ok(answer.clone()));
        }
        if let Some((kind, ip)) = literal(name) {
            return Some(Ok(plain_answer(kind, ip)));
        }
        let entry = self.cache.get(name)?;
        let now_ms = self.now_ms();
        let state = entry.state(now_ms);
        match state {
            State::Gone => return None,
            State::Fresh => count(&entry.counters.hits),
            State::Stale => {
                count(&entry.counters.stale_hits);
                self.renew(name, &entry, now_ms);
            }
        }
        count(&entry.counters.runs);
        Some(entry.result.clone())
    }

    /// Starts renewing a stale answer, unless somebody does already. Without a runtime the next caller may.
    fn renew(self: &Arc<Self>, name: &str, entry: &Arc<Entry>, now_ms: u64) {
        let Ok(runtime) = Handle::try_current() else { return };
        if !entry.begin_renewal(now_ms) {
            return;
        }
        count(&entry.counters.renewals);
        let renewal = Renewal { entry: entry.clone(), not_before_ms: now_ms + millis(self.asker.settings.error_ttl) };
        let flight = self.take_off(name, &runtime);
        runtime.spawn(async move {
            // Who asks gets the outcome from the cache.
            let _ = flight.wait().await;
            drop(renewal);
        });
    }

    async fn join(self: &Arc<Self>, name: &str) -> Outcome {
        self.take_off(name, &Handle::current()).wait().await
    }

    /// The look-up of a name that is under way, or a new one.
    fn take_off(self: &Arc<Self>, name: &str, runtime: &Handle) -> Arc<Flight> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(name) {
            return flight.clone();
        }
        let flight = Arc::new(Flight::default());
        flights.insert(name.into(), flight.clone());
        let landing = Landing { inner: self.clone(), name: name.into(), flight: flight.clone() };
        // A task of its own, so that it ends even if the request that asked for it is gone.
        runtime.spawn(async move {
            let outcome = landing.inner.find_and_keep(&landing.name).await;
            let _ = landing.flight.outcome.set(outcome);
            drop(landing);
        });
        flight
    }

    async fn find_and_keep(&self, name: &str) -> Outcome {
        let before = self.cache.get(name);
        let last = before.as_ref().and_then(|entry| entry.last);
        let found = self.asker.find(name, last).await;
        self.keep(name, before.as_deref(), found)
    }

    fn keep(&self, name: &str, before: Option<&Entry>, found: Result<Found, DnsError>) -> Outcome {
        let now_ms = self.now_ms();
        let settings = &self.asker.settings;
        let counters = before.map_or_else(|| self.asker.statistics.of_name(name), |entry| entry.counters.clone());
        count(&counters.runs);
        match found {
            Ok(found) => {
                let ttl_ms = settings.valid_ttl.map_or(u64::from(found.ttl) * 1_000, millis);
                let expires_ms = now_ms.saturating_add(ttl_ms);
                let mut answer = Answer::new(found.kind, found.records, expires_ms);
                if let Some(Ok(old)) = before.map(|entry| &entry.result) {
                    answer = answer.continuing(old);
                }
                let answer = Arc::new(answer);
                let stale_until_ms = expires_ms.saturating_add(millis(settings.stale_ttl));
                let result = Ok(answer.clone());
                self.cache.put(name, Entry::new(result, expires_ms, stale_until_ms, Some(found.kind), counters));
                Ok(answer)
            }
            Err(error) => {
                count(&counters.failures);
                // Old news are better than none, but not if the server says that the name is gone.
                let gone = error == DnsError::Server { code: 3 };
                if !gone
                    && let Some(entry) = before
                    && matches!(entry.state(now_ms), State::Stale)
                {
                    return entry.result.clone();
                }
                let ttl = if error.is_not_found() { settings.not_found_ttl } else { settings.error_ttl };
                let expires_ms = now_ms.saturating_add(millis(ttl));
                let last = before.and_then(|entry| entry.last).filter(|_| !gone);
                self.cache.put(name, Entry::new(Err(error.clone()), expires_ms, expires_ms, last, counters));
                Err(error)
            }
        }
    }
}

/// An answer that needs no server and never expires.
fn plain_answer(kind: RecordKind, ip: IpAddr) -> Arc<Answer> {
    let record = Record { ip, port: 0, weight: 0, priority: 0, name: None };
    Arc::new(Answer::new(kind, vec![record], u64::MAX))
}

impl Flight {
    async fn wait(&self) -> Outcome {
        let landed = self.landed.notified();
        tokio::pin!(landed);
        // Enrol before looking, or a landing in between would be missed.
        landed.as_mut().enable();
        if let Some(outcome) = self.outcome.get() {
            return outcome.clone();
        }
        landed.await;
        self.outcome.get().cloned().unwrap_or(Err(DnsError::Interrupted))
    }
}

/// Ends a flight however its task ends: also when a worker's runtime is shut down in the middle of it.
struct Landing {
    inner: Arc<Inner>,
    name: Box<str>,
    flight: Arc<Flight>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let _ = self.flight.outcome.set(Err(DnsError::Interrupted));
        self.inner.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
        self.flight.landed.notify_waiters();
    }
}

/// Lets a stale entry be renewed again, should it still be there when its renewal is over.
struct Renewal {
    entry: Arc<Entry>,
    not_before_ms: u64,
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.entry.renewal_failed(self.not_before_ms);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
