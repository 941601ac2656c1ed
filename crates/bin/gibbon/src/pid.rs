//! The process id file. A running node holds a lock on it, so that an id the system gave to somebody else meanwhile is never
//! taken for the node.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Time between two looks at a process that is about to end.
const POLL: Duration = Duration::from_millis(20);
/// Time a claim bears with commands that look at the file.
const PATIENCE: Duration = Duration::from_millis(500);

/// A file held by this process.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    _lock: Flock<File>,
}

impl PidFile {
    /// Takes the file and writes this process's id into it; `None` when another node holds it.
    pub fn claim(path: &Path) -> anyhow::Result<Option<Self>> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
            let file = file.with_context(|| format!("could not write {}", path.display()))?;
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(mut lock) => {
                    // The file may have been removed between opening and locking by a node that ended.
                    if fs::metadata(path).is_ok_and(|now| lock.metadata().is_ok_and(|held| held.ino() == now.ino())) {
                        lock.set_len(0)?;
                        writeln!(lock, "{}", std::process::id())?;
                        return Ok(Some(Self { path: path.to_owned(), _lock: lock }));
                    }
                }
                Err((_, Errno::EWOULDBLOCK)) if Instant::now() < patience => std::thread::sleep(POLL),
                Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
                Err((_, errno)) => return Err(errno).with_context(|| format!("could not lock {}", path.display())),
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Who cannot remove the file leaves one that nobody holds, which counts as none.
        let _ = fs::remove_file(&self.path);
    }
}

/// The id of the node that holds the file, if one does.
pub fn running(path: &Path) -> Option<Pid> {
    let file = File::open(path).ok()?;
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_) => None,
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
