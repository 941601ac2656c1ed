//! PostgreSQL, for several nodes on one database.
//!
//! Tables stand in a schema of their own; whatever else is in the database is left alone. One connection writes, on the
//! conductor's thread, and holds a lock from the beginning of a transaction to its end, so that the order of changes is the
//! order of commits. Others read. A notification wakes the other nodes; without it they look now and then.

mod connection;
mod kong;
mod listen;
mod migrations;
mod rows;
mod tls;
mod writer;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::backend::{Pending, Reader, Reading};
use crate::error::StoreError;

pub use connection::{PostgresSettings, PostgresTls};
pub use kong::{Found, KongTables};
pub use listen::listen;
pub use migrations::{Migrations, State as MigrationState};
pub use writer::PostgresWriter;

use connection::Session;

/// How many connections read unless the settings say otherwise.
const READERS: usize = 8;

fn fault(error: tokio_postgres::Error) -> StoreError {
    match error.as_db_error() {
        Some(said) => StoreError::new(format!("PostgreSQL: {}", said.message())),
        // The driver says what it was doing, its source why that failed.
        None => match std::error::Error::source(&error) {
            Some(cause) => StoreError::new(format!("PostgreSQL: {error}: {cause}")),
            None => StoreError::new(format!("PostgreSQL: {error}")),
        },
    }
}

/// Bounds the time of one question, so that a server that is gone is noticed.
async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, asked).await {
        Ok(answer) => answer.map_err(fault),
        Err(_) => Err(StoreError::new(format!("PostgreSQL: no answer within {limit:?}"))),
    }
}

/// A database whose tables are up to date.
pub struct Postgres {
    pool: Arc<Pool>,
}

struct Pool {
    settings: PostgresSettings,
    runtime: Handle,
    /// Each with the time of its last use.
    idle: Mutex<Vec<(Session, Instant)>>,
    permits: Semaphore,
    waiting: AtomicUsize,
    turns: Turns,
}

/// Bounds how many transactions are under way at once, if that is asked for.
#[derive(Clone)]
struct Turns {
    limit: Option<Arc<Semaphore>>,
    timeout: Duration,
}

impl Turns {
    fn new(settings: &PostgresSettings) -> Turns {
        let limit = settings.max_concurrent.map(|most| Arc::new(Semaphore::new(most.max(1))));
        Turns { limit, timeout: settings.turn_timeout }
    }

    /// Waits for its turn; it lasts as long as what is returned.
    async fn wait(&self) -> Result<Option<OwnedSemaphorePermit>, StoreError> {
        let Some(limit) = &self.limit else { return Ok(None) };
        let turn = tokio::time::timeout(self.timeout, Arc::clone(limit).acquire_owned()).await;
        match turn {
            Ok(permit) => permit.map(Some).map_err(|_| StoreError::new("the datastore was closed")),
            Err(_) => Err(StoreError::new(format!("PostgreSQL: no turn within {:?}", self.timeout))),
        }
    }
}

impl Postgres {
    /// Connects. `runtime` drives the connections. The tables must be up to date: see [`Migrations`].
    ///
    /// # Errors
    /// A server that cannot be reached.
    pub fn open(settings: &PostgresSettings, runtime: &Handle) -> Result<(Postgres, PostgresWriter), StoreError> {
        let turns = Turns::new(settings);
        let writer = PostgresWriter::open(settings.clone(), runtime.clone(), turns.clone())?;
        Ok((Postgres { pool: Arc::new(Pool::new(settings, runtime, turns)) }, writer))
    }

    /// To read from only. Connects when it is asked for the first time.
    pub fn read_only(settings: &PostgresSettings, runtime: &Handle) -> Postgres {
        Postgres { pool: Arc::new(Pool::new(settings, runtime, Turns::new(settings))) }
    }
}

impl Pool {
    fn new(settings: &PostgresSettings, runtime: &Handle, turns: Turns) -> Pool {
        Pool {
            permits: Semaphore::new(settings.pool_size.unwrap_or(READERS).max(1)),
            settings: settings.clone(),
            runtime: runtime.clone(),
            idle: Mutex::default(),
            waiting: AtomicUsize::new(0),
            turns,
        }
    }

    fn take(&self) -> Result<Session, StoreError> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let is_old = |since: Instant| self.settings.keepalive.is_some_and(|limit| since.elapsed() > limit);
            match idle {
                Some((session, since)) if session.is_closed() || is_old(since) => {}
                Some((session, _)) => return Ok(session),
                None => return Session::open(&self.settings, &self.runtime),
            }
        }
    }

    /// One transaction, so that all of `reading` sees the same moment.
    fn read(&self, reading: Reading) -> Result<(), StoreError> {
        let session = self.take()?;
        session.batch_ahead("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        reading(&mut rows::View(&session));
        session.batch("COMMIT")?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((session, Instant::now()));
        Ok(())
    }

    /// Waits for a connection, unless too many do.
    async fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>, StoreError> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        let waiting = Waiting::enter(&self.waiting);
        if self.settings.backlog.is_some_and(|most| waiting.number > most) {
            return Err(StoreError::new("PostgreSQL: too many wait for a connection"));
        }
        match tokio::time::timeout(self.settings.turn_timeout, self.permits.acquire()).await {
            Ok(permit) => permit.map_err(|_| StoreError::new("the datastore was closed")),
            Err(_) => {
                Err(StoreError::new(format!("PostgreSQL: no connection within {:?}", self.settings.turn_timeout)))
            }
        }
    }
}

/// One who waits, counted as long as they do.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    number: usize,
}

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        Waiting { number: count.fetch_add(1, Ordering::Relaxed) + 1, count }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reader for Postgres {
    fn read(&self, reading: Reading) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let _permit = self.pool.permit().await?;
            let _turn = self.pool.turns.wait().await?;
            let pool = Arc::clone(&self.pool);
            let done = tokio::task::spawn_blocking(move || pool.read(reading)).await;
            done.unwrap_or_else(|e| Err(StoreError::new(e.to_string())))
        })
    }
}
