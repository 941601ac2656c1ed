//! What all workers share: settings, shared dictionaries, and which configurations of Lua plugins are alive.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::Value;
use tokio::sync::watch;

use crate::code::Code;
use crate::dict::Dicts;
use crate::events::Events;
use crate::invalidations::Invalidations;
use crate::settings::LuaSettings;

struct Living {
    code: Arc<Code>,
    config: Arc<Value>,
    alive: Weak<()>,
}

/// What all workers share.
pub struct Shared {
    pub settings: LuaSettings,
    pub dicts: Dicts,
    pub events: Events,
    pub invalidations: Invalidations,
    /// The plugins found, whether configured or not.
    pub codes: Vec<Arc<Code>>,
    living: Mutex<BTreeMap<u64, Living>>,
    numbers: AtomicU64,
    /// Read at every phase, so it is an atomic of its own beside the channel.
    generation: AtomicU64,
    changes: watch::Sender<u64>,
    crud: AtomicBool,
}

impl Shared {
    pub fn new(settings: LuaSettings, codes: Vec<Arc<Code>>) -> Self {
        let dicts = Dicts::new(&settings.shared_dicts);
        let (changes, _) = watch::channel(1);
        Shared {
            settings,
            dicts,
            events: Events::default(),
            invalidations: Invalidations::default(),
            codes,
            living: Mutex::default(),
            numbers: AtomicU64::new(0),
            generation: AtomicU64::new(1),
            changes,
            crud: AtomicBool::new(false),
        }
    }

    /// Somebody wants to be told of every change of an entity.
    pub fn want_crud(&self) {
        self.crud.store(true, Ordering::Release);
    }

    pub fn wants_crud(&self) -> bool {
        self.crud.load(Ordering::Acquire)
    }

    /// Registers a configuration; it counts as long as somebody holds `alive`.
    pub fn register(&self, code: &Arc<Code>, config: &Arc<Value>, alive: &Arc<()>) -> u64 {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let living = Living { code: Arc::clone(code), config: Arc::clone(config), alive: Arc::downgrade(alive) };
        self.living.lock().unwrap_or_else(PoisonError::into_inner).insert(number, living);
        self.changed();
        number
    }

    /// A configuration came or went.
    pub fn changed(&self) {
        let number = self.generation.fetch_add(1, Ordering::Release) + 1;
        self.changes.send_replace(number);
    }

    /// Grows with every change of the configurations.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// To be woken at changes.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The living configurations by plugin; a plugin without any is listed with none.
    pub fn configurations(&self) -> Vec<(Arc<Code>, Vec<Value>)> {
        let mut living = self.living.lock().unwrap_or_else(PoisonError::into_inner);
        living.retain(|_, one| one.alive.strong_count() > 0);
        let of = |code: &Arc<Code>| {
            living.values().filter(|one| one.code.name == code.name).map(|one| (*one.config).clone()).collect()
        };
        self.codes.iter().map(|code| (Arc::clone(code), of(code))).collect()
    }
}
