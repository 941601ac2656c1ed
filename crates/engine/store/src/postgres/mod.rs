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

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

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
        None => StoreError::new(format!("PostgreSQL: {error}")),
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
    idle: Mutex<Vec<Session>>,
    permits: Semaphore,
}

impl Postgres {
    /// Connects. `runtime` drives the connections. The tables must be up to date: see [`Migrations`].
    ///
    /// # Errors
    /// A server that cannot be reached.
    pub fn open(settings: &PostgresSettings, runtime: &Handle) -> Result<(Postgres, PostgresWriter), StoreError> {
        let writer = PostgresWriter::open(settings.clone(), runtime.clone())?;
        let pool = Pool {
            permits: Semaphore::new(settings.pool_size.unwrap_or(READERS).max(1)),
            settings: settings.clone(),
            runtime: runtime.clone(),
            idle: Mutex::default(),
        };
        Ok((Postgres { pool: Arc::new(pool) }, writer))
    }
}

impl Pool {
    fn take(&self) -> Result<Session, StoreError> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(session) if session.is_closed() => {}
                Some(session) => return Ok(session),
                None => return Session::open(&self.settings, &self.runtime),
            }
        }
    }

    /// One transaction, so that all of `reading` sees the same moment.
    fn read(&self, reading: Reading) -> Result<(), StoreError> {
        let session = self.take()?;
        session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        reading(&mut rows::View(&session));
        session.batch("COMMIT")?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        Ok(())
    }
}

impl Reader for Postgres {
    fn read(&self, reading: Reading) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let closed = |_| StoreError::new("the datastore was closed");
            let _permit = self.pool.permits.acquire().await.map_err(closed)?;
            let pool = Arc::clone(&self.pool);
            let done = tokio::task::spawn_blocking(move || pool.read(reading)).await;
            done.unwrap_or_else(|e| Err(StoreError::new(e.to_string())))
        })
    }
}
