//! The embedded datastore: one SQLite file in the prefix.
//!
//! One connection writes, on the conductor's thread; a few others read. The log is written ahead and synced at every
//! commit (`synchronous = FULL`), so that what was answered with success is there after any crash.

mod checkpoints;
mod rows;
mod tables;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use crate::backend::{Pending, Reader, Reading};
use crate::error::StoreError;

pub use writer::SqliteWriter;

/// How many read at once. The disk is local and rows are cached, so that more would only wait for each other.
const READERS: usize = 4;
/// How long to wait for another process that writes (a command beside a running node).
const PATIENCE: Duration = Duration::from_secs(10);

fn fault(error: rusqlite::Error) -> StoreError {
    StoreError::new(error.to_string())
}

/// An open file.
pub struct Sqlite {
    pool: Arc<Pool>,
}

struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Sqlite {
    /// Opens the file, or makes it, and brings its tables up to date.
    ///
    /// # Errors
    /// A file that cannot be opened, is damaged, or was made by a later version.
    pub fn open(path: &Path) -> Result<(Sqlite, SqliteWriter), StoreError> {
        private(path).map_err(|e| StoreError::new(format!("cannot open '{}': {e}", path.display())))?;
        let mut connection = connect(path)?;
        tables::migrate(&mut connection)?;
        connection.pragma_update(None, "wal_autocheckpoint", checkpoints::LONGEST_LOG).map_err(fault)?;
        let checkpoints = checkpoints::start(connect(path)?)?;
        let pool = Pool { path: path.to_owned(), idle: Mutex::default(), permits: Semaphore::new(READERS) };
        Ok((Sqlite { pool: Arc::new(pool) }, SqliteWriter::new(connection, checkpoints)))
    }
}

/// It holds secrets: nobody else may read it.
fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(fault)?;
    connection.busy_timeout(PATIENCE).map_err(fault)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "journal_mode", "WAL").map_err(fault)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
    Ok(connection)
}

impl Pool {
    fn take(&self) -> Result<Connection, StoreError> {
        match self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            Some(connection) => Ok(connection),
            None => connect(&self.path),
        }
    }

    fn give_back(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }

    /// One transaction, so that all of `reading` sees the same moment.
    fn read(&self, reading: Reading) -> Result<(), StoreError> {
        let connection = self.take()?;
        connection.execute_batch("BEGIN").map_err(fault)?;
        reading(&mut rows::View(&connection));
        connection.execute_batch("COMMIT").map_err(fault)?;
        self.give_back(connection);
        Ok(())
    }
}

impl Reader for Sqlite {
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
