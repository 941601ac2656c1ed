//! The process id file. A running node holds a lock on it, so that an id the system gave to somebody else meanwhile is never
//! taken for the node.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Time between two looks at a process that is about to end.
const POLL: Duration = Duration::from_millis(20);
/// Time a claim bears with commands that look at the file.
const PATIENCE: Duration = Duration::from_millis(500);

/// The file, open and locked. The lock belongs to the open file: a successor that was sent it holds the lock too, and it is
/// free only once both have closed theirs.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
    /// Whether the file names this process, which then removes it in the end.
    ours: bool,
}

impl PidFile {
    /// Takes the file and writes this process's id into it; `None` when another node holds it.
    pub fn claim(path: &Path) -> anyhow::Result<Option<Self>> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
            let file = file.with_context(|| format!("could not write {}", path.display()))?;
            match file.try_lock() {
                Ok(()) => {
                    // The file may have been removed between opening and locking by a node that ended.
                    if fs::metadata(path).is_ok_and(|now| file.metadata().is_ok_and(|held| held.ino() == now.ino())) {
                        let mut claimed = Self::inherited(path, file.into());
                        claimed.name_this_process()?;
                        return Ok(Some(claimed));
                    }
                }
                Err(TryLockError::WouldBlock) if Instant::now() < patience => std::thread::sleep(POLL),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("could not lock {}", path.display()));
                }
            }
        }
    }

    /// The locked file that a running node sent; it still names that node.
    pub fn inherited(path: &Path, file: OwnedFd) -> Self {
        Self { path: path.to_owned(), file: file.into(), ours: false }
    }

    /// From here on this process is the node.
    pub fn name_this_process(&mut self) -> anyhow::Result<()> {
        let id = format!("{}\n", std::process::id());
        let mut write = || {
            self.file.rewind()?;
            self.file.write_all(id.as_bytes())?;
            self.file.set_len(id.len() as u64)
        };
        write().with_context(|| format!("could not write {}", self.path.display()))?;
        self.ours = true;
        Ok(())
    }

    /// A successor has named itself: it removes the file when it ends.
    pub fn pass_on(mut self) {
        self.ours = false;
    }
}

impl AsFd for PidFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.ours {
            // Who cannot remove the file leaves one that nobody holds, which counts as none.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The id of the node that holds the file, if one does.
pub fn running(path: &Path) -> Option<Pid> {
    let file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Ok(()) => None,
        Err(_) => fs::read_to_string(path).ok()?.trim().parse().ok().map(Pid::from_raw),
    }
}

/// Sends a signal to a node.
pub fn signal(pid: Pid, signal: Signal) -> anyhow::Result<()> {
    kill(pid, signal).with_context(|| format!("could not send {signal} to process {pid}"))
}

/// Waits until nobody holds the file; false when time is up first.
pub fn wait_until_gone(path: &Path, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    while running(path).is_some() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(POLL);
    }
    true
}
