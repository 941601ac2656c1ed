//! Bringing what was committed from the log into the file, on a thread of its own: it writes many pages and waits for the
//! disk, which the thread that answers changes must not.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use rusqlite::Connection;

use crate::error::StoreError;

/// Pages (of 4 KiB) in the log at which a commit brings them into the file itself. Under writes without a pause the log is
/// never found whole here, so that it would grow without end.
pub const LONGEST_LOG: u32 = 16_384;
/// At most so often; what is changed again within the time is brought once.
const PAUSE: Duration = Duration::from_secs(1);

/// Handle to the thread, which ends soon after this is dropped.
pub struct Checkpoints(SyncSender<()>);

impl Checkpoints {
    /// Says that something was committed. Never waits.
    pub fn ask(&self) {
        // One that waits already stands for all.
        let _ = self.0.try_send(());
    }
}

/// # Errors
/// The thread cannot be started.
pub fn start(connection: Connection) -> Result<Checkpoints, StoreError> {
    let (sender, asked) = sync_channel(1);
    let thread = std::thread::Builder::new().name("checkpoints".into());
    thread.spawn(move || run(&connection, &asked)).map_err(|e| StoreError::new(e.to_string()))?;
    Ok(Checkpoints(sender))
}

fn run(connection: &Connection, asked: &Receiver<()>) {
    while asked.recv().is_ok() {
        // PASSIVE: waits for nobody, and nobody for it.
        let done = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if let Err(error) = done {
            tracing::warn!("the log of the datastore was not brought into its file, which is tried again: {error}");
        }
        // What is asked meanwhile stays asked.
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::backend::Writer as _;
    use crate::sqlite::Sqlite;

    #[test]
    fn what_was_committed_comes_into_the_file_without_a_commit_that_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gibbon.sqlite");
        let (_reader, mut writer) = Sqlite::open(&path).unwrap();
        writer.begin().unwrap();
        writer.set_parameter("a", "kept").unwrap();
        writer.commit().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !std::fs::read(&path).unwrap().windows(4).any(|bytes| bytes == b"kept") {
            assert!(Instant::now() < deadline, "it is in the log only");
            std::thread::yield_now();
        }
    }
}
