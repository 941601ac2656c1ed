//! The one way by which entities change, whoever asks: wanted writes are settled against what is stored, compiled into
//! the next plan, committed, and only then put in force and answered. A change that is refused at any of these steps
//! leaves store and plan as they were.
//!
//! All of it happens on one thread, in the order in which the store commits. Writes that wait together share one commit
//! (and its wait for the disk). On a database shared with other nodes the thread first takes in what they committed, so
//! that every node compiles the same changes in the same order.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use gibbon_model::Registry;
use gibbon_plan::{Change, Funnel};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::backend::{Add, Reader, Writer};
use crate::error::{ChangeError, StoreError};
use crate::keyring::{self, Keyring, KeyringChange, Sealed, SealedWriter};
use crate::memory::Memory;
use crate::query::Rows;
use crate::references::Secrets;
use crate::replica::Replica;
use crate::rules::Write;
use crate::thread::{Job, Machine, Watcher};

/// How many changes may wait for their turn; above that, writers wait to be let in.
const QUEUE: usize = 4096;

/// Seconds since the epoch.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

tokio::task_local! {
    /// What was committed on behalf of the task.
    static GATHERED: RefCell<Vec<Change>>;
}

/// Runs `work` and returns what it committed beside its own result, so that whoever answers a call can tell what came
/// of it without every part of the call passing it on.
pub async fn gather<T>(work: impl Future<Output = T>) -> (T, Vec<Change>) {
    GATHERED
        .scope(RefCell::default(), async move {
            let result = work.await;
            let changes = GATHERED.try_with(RefCell::take).unwrap_or_default();
            (result, changes)
        })
        .await
}

/// A whole configuration that is to take the place of what is in force.
pub struct Declaration {
    /// What is referred to comes first.
    pub writes: Vec<Write>,
    /// Of the text it came from.
    pub hash: Arc<str>,
    /// When its automatic times were set, so that entities that are otherwise the same keep the times they have.
    pub stamped: f64,
}

/// What changes are made with.
pub struct Making {
    pub registry: Arc<Registry>,
    pub funnel: Arc<Funnel>,
    /// What references to secrets stand for.
    pub secrets: Arc<dyn Secrets>,
}

/// Handle to the thread that makes changes. Cheap to clone.
#[derive(Clone)]
pub struct Conductor {
    jobs: mpsc::Sender<Job>,
    reader: Arc<dyn Reader>,
    declarative: Option<Memory>,
    keyring: Option<Arc<Keyring>>,
    watcher: Arc<Watcher>,
    replica: Option<Replica>,
}

impl Conductor {
    /// Over a datastore: loads all that is stored into the plan, and takes writes from then on.
    ///
    /// # Errors
    /// If the store cannot be read, or the thread not be started.
    pub fn over_datastore(
        making: Making,
        reader: Arc<dyn Reader>,
        writer: Box<dyn Writer>,
    ) -> Result<Conductor, StoreError> {
        let mut machine = Machine::new(making);
        machine.load(writer)?;
        Self::start(machine, reader, None)
    }

    /// As [`Conductor::over_datastore`], with fields marked encrypted sealed where they are stored.
    ///
    /// # Errors
    /// As there.
    pub fn over_sealed_datastore(
        making: Making,
        reader: Arc<dyn Reader>,
        writer: Box<dyn Writer>,
        keyring: Arc<Keyring>,
    ) -> Result<Conductor, StoreError> {
        let writer = SealedWriter::open(writer, Arc::clone(&keyring), Arc::clone(&making.registry))?;
        let reader = Arc::new(Sealed::new(reader, Arc::clone(&keyring)));
        let conductor = Self::over_datastore(making, reader, Box::new(writer))?;
        Ok(Conductor { keyring: Some(keyring), ..conductor })
    }

    /// The keys that secrets are sealed with, if they are.
    pub fn keyring(&self) -> Option<&Arc<Keyring>> {
        self.keyring.as_ref()
    }

    /// Without a datastore: configuration is replaced as a whole, and kept in `directory` for the next start.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn declarative(making: Making, directory: Option<PathBuf>) -> Result<Conductor, StoreError> {
        let memory = Memory::default();
        let mut machine = Machine::new(making);
        machine.declare_into(memory.clone(), directory);
        Self::start(machine, Arc::new(memory.clone()), Some(memory))
    }

    fn start(machine: Machine, reader: Arc<dyn Reader>, declarative: Option<Memory>) -> Result<Conductor, StoreError> {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let watcher = machine.watcher();
        let thread = std::thread::Builder::new().name("changes".into());
        thread.spawn(move || machine.run(waiting)).map_err(|e| StoreError::new(e.to_string()))?;
        Ok(Conductor { jobs, reader, declarative, keyring: None, watcher, replica: None })
    }

    /// Has somebody told of every change once it is in force, whichever node made it and of whatever kind, before whoever
    /// asked for it is answered. Called on the thread of changes, so it must not wait; the first watcher stays.
    pub fn watch(&self, watcher: impl Fn(&[Change]) + Send + Sync + 'static) {
        self.watcher.set(Box::new(watcher));
    }

    /// With a server that follows the datastore, for looks that may be a little late. What is sealed in the one is sealed
    /// in the other.
    #[must_use]
    pub fn with_replica(mut self, reader: Arc<dyn Reader>) -> Self {
        let reader: Arc<dyn Reader> = match &self.keyring {
            Some(keyring) => Arc::new(Sealed::new(reader, Arc::clone(keyring))),
            None => reader,
        };
        self.replica = Some(Replica::new(reader));
        self
    }

    /// Whether configuration is declarative, so that single entities cannot be changed.
    pub fn is_declarative(&self) -> bool {
        self.declarative.is_some()
    }

    /// The rows of a node without a datastore.
    pub fn memory(&self) -> Option<&Memory> {
        self.declarative.as_ref()
    }

    /// Makes changes, all or none. The answer comes when they are durable and in force on this node.
    ///
    /// # Errors
    /// What contradicts them.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<Vec<Change>, ChangeError> {
        if self.is_declarative() {
            return Err(ChangeError::ReadOnly);
        }
        let changes = self.ask(|reply| Job::Commit { writes, reply }).await?;
        // Nobody gathers outside of a call.
        let _ = GATHERED.try_with(|gathered| gathered.borrow_mut().extend(changes.iter().cloned()));
        Ok(changes)
    }

    /// Puts a whole configuration in force; what is the same stays untouched.
    ///
    /// # Errors
    /// What contradicts it.
    pub async fn replace(&self, declaration: Declaration) -> Result<(), ChangeError> {
        self.ask(|reply| Job::Replace { declaration, reply }).await
    }

    /// Sets a value that the gateway keeps for itself.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn set_parameter(&self, name: &str, value: &str) -> Result<(), ChangeError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.ask(|reply| Job::SetParameter { name, value, reply }).await
    }

    /// Changes the keyring of a sealed datastore.
    ///
    /// # Errors
    /// Those of the keyring and of the store.
    pub async fn change_keyring(&self, change: &KeyringChange) -> Result<(), ChangeError> {
        self.set_parameter(keyring::PARAMETER, &change.to_text()).await
    }

    /// Adds to a counter and returns its value. It ends `seconds` after it began.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn count(&self, name: &str, by: i64, seconds: f64) -> Result<i64, ChangeError> {
        let now = now();
        let add = Add { name: name.to_owned(), by, expires: now + seconds, now };
        self.ask(|reply| Job::Count { add, reply }).await
    }

    /// Takes in what other nodes committed and forgets rows whose time is over. Call it now and then.
    pub async fn keep_up(&self) {
        let _ = self.ask(|reply| Job::KeepUp { reply }).await;
    }

    /// Looks secrets up again, and puts in force what they are now.
    pub async fn refresh_secrets(&self) {
        let _ = self.ask(|reply| Job::Refresh { reply }).await;
    }

    /// Looks at the rows as of one moment, where it may block.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read<T: Send + 'static>(
        &self,
        reading: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        read(&*self.reader, reading).await
    }

    /// As [`Self::read`], of the server that follows the datastore; nothing where there is none or it cannot be reached.
    /// What is there may be gone from the datastore, and what is not may be on its way.
    pub async fn read_replica<T: Send + 'static>(
        &self,
        reading: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        self.replica.as_ref()?.read(reading).await
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, ChangeError>>) -> Job) -> Result<T, ChangeError> {
        let closed = || StoreError::new("the gateway is stopping");
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

pub(crate) async fn read<T: Send + 'static>(
    reader: &dyn Reader,
    reading: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (sender, result) = oneshot::channel();
    let boxed = Box::new(move |rows: &mut dyn Rows| {
        let _ = sender.send(reading(rows));
    });
    reader.read(boxed).await?;
    result.await.unwrap_or_else(|_| Err(StoreError::new("the store was closed")))
}

/// The workspace a row of that kind is in, for someone who works in `workspace`.
pub fn workspace_of(def: &gibbon_model::EntityDef, workspace: Uuid) -> Uuid {
    if def.workspaceable { workspace } else { Uuid::nil() }
}
