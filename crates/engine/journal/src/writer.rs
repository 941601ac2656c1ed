//! The writer thread. Workers append whole lines to bounded buffers of their own and never wait for a disk; the thread takes
//! the buffers and writes them. A full buffer drops the line and counts it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Bytes a buffer may hold: a second of 2,000 ordinary lines, so that a short stall of the disk loses nothing.
const BUFFER_LIMIT: usize = 512 * 1024;
/// Time the writer lets lines gather after the first, so that a busy worker wakes it seldom.
const GATHER: Duration = Duration::from_millis(2);
/// Longest sleep of the writer, so that nothing stays unwritten should a wake-up be lost.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Something lines are written to.
pub trait Destination: Send {
    /// Writes whole lines.
    ///
    /// # Errors
    /// As the system reports.
    fn write(&mut self, lines: &[u8]) -> io::Result<()>;

    /// Closes and opens again, after the file was moved away.
    ///
    /// # Errors
    /// As the system reports; the old file stays in use then.
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file, appended to.
#[derive(Debug)]
pub struct FileDestination {
    path: PathBuf,
    file: File,
}

impl FileDestination {
    /// Opens or creates a file.
    ///
    /// # Errors
    /// As the system reports.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: append_to(path)? })
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Destination for FileDestination {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = append_to(&self.path)?;
        Ok(())
    }
}

/// Standard output or standard error of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamDestination {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Destination for StreamDestination {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().write_all(lines).and_then(|()| io::stdout().flush()),
            Self::Stderr => io::stderr().write_all(lines),
        }
    }
}

#[derive(Debug, Default)]
struct Buffer {
    lines: Mutex<Vec<u8>>,
}

/// What handles of one destination share.
#[derive(Debug, Default)]
struct Channel {
    /// Buffers of living handles; the writer also holds those of dead ones until they are empty.
    buffers: Mutex<Vec<Arc<Buffer>>>,
    dropped: AtomicU64,
}

/// A way to append lines to one destination. Clones share a buffer; [`Handle::own`] gives a worker one of its own.
#[derive(Debug, Clone)]
pub struct Handle {
    channel: Arc<Channel>,
    buffer: Arc<Buffer>,
    bell: Arc<Bell>,
}

impl Handle {
    /// Appends whole lines. Never waits for the disk.
    pub fn write(&self, lines: &[u8]) {
        let mut held = lock(&self.buffer.lines);
        if held.len() + lines.len() > BUFFER_LIMIT {
            self.channel.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        held.extend_from_slice(lines);
        drop(held);
        self.bell.ring();
    }

    /// A handle with a buffer of its own, for another thread.
    #[must_use]
    pub fn own(&self) -> Self {
        Self::new(Arc::clone(&self.channel), Arc::clone(&self.bell))
    }

    /// Writes dropped so far because the buffer was full or the destination failed.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.channel.dropped.load(Ordering::Relaxed)
    }

    fn new(channel: Arc<Channel>, bell: Arc<Bell>) -> Self {
        let buffer = Arc::new(Buffer::default());
        lock(&channel.buffers).push(Arc::clone(&buffer));
        Self { channel, buffer, bell }
    }
}

/// Wakes the writer at most once until it has looked.
#[derive(Debug, Default)]
struct Bell {
    rung: AtomicBool,
    writer: Mutex<Option<thread::Thread>>,
}

impl Bell {
    fn ring(&self) {
        // The plain look spares the shared line under load. It misses nothing: the writer clears the flag before it takes a
        // buffer's lock, and whoever rings has held that lock.
        let already = self.rung.load(Ordering::Relaxed) || self.rung.swap(true, Ordering::AcqRel);
        if !already && let Some(writer) = lock(&self.writer).as_ref() {
            writer.unpark();
        }
    }
}

/// Orders from outside to the writer.
#[derive(Debug, Default)]
struct Orders {
    reopen: AtomicBool,
    stop: AtomicBool,
}

/// Asks the writer to close and open all files.
#[derive(Debug, Clone)]
pub struct Reopener {
    orders: Arc<Orders>,
    bell: Arc<Bell>,
}

impl Reopener {
    /// Asks, and returns at once.
    pub fn reopen(&self) {
        self.orders.reopen.store(true, Ordering::Release);
        self.bell.ring();
    }
}

struct Route {
    channel: Arc<Channel>,
    destination: Box<dyn Destination>,
}

/// The writer thread and all destinations.
pub struct Journal {
    routes: Arc<Mutex<BTreeMap<String, Route>>>,
    bell: Arc<Bell>,
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

impl Journal {
    /// Starts the writer thread.
    ///
    /// # Errors
    /// When the system grants no thread.
    pub fn start() -> io::Result<Self> {
        let routes = Arc::new(Mutex::new(BTreeMap::new()));
        let (bell, orders) = (Arc::new(Bell::default()), Arc::new(Orders::default()));
        let writer = Writer { routes: Arc::clone(&routes), bell: Arc::downgrade(&bell), orders: Arc::clone(&orders) };
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run())?;
        *lock(&bell.writer) = Some(thread.thread().clone());
        Ok(Self { routes, bell, orders, thread: Some(thread) })
    }

    /// A handle to the destination of a name, which is opened if nobody asked for it before: two logs with the same path
    /// share one file.
    ///
    /// # Errors
    /// When the destination cannot be opened.
    pub fn handle(&self, name: &str, open: impl FnOnce() -> io::Result<Box<dyn Destination>>) -> io::Result<Handle> {
        let mut routes = lock(&self.routes);
        let channel = match routes.get(name) {
            Some(route) => Arc::clone(&route.channel),
            None => {
                let channel = Arc::new(Channel::default());
                routes.insert(name.to_owned(), Route { channel: Arc::clone(&channel), destination: open()? });
                channel
            }
        };
        Ok(Handle::new(channel, Arc::clone(&self.bell)))
    }

    /// A handle to a file.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn file(&self, path: &Path) -> io::Result<Handle> {
        self.handle(&path.to_string_lossy(), || Ok(Box::new(FileDestination::open(path)?)))
    }

    /// Asks the writer to close and open all files, after it has written what is held.
    pub fn reopen(&self) {
        self.reopener().reopen();
    }

    /// Something that can ask so later, from another thread.
    #[must_use]
    pub fn reopener(&self) -> Reopener {
        Reopener { orders: Arc::clone(&self.orders), bell: Arc::clone(&self.bell) }
    }

    /// Writes what is held and ends the thread.
    pub fn close(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        self.orders.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A writer that panicked has nothing left to say.
            let _ = thread.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.finish();
    }
}

struct Writer {
    routes: Arc<Mutex<BTreeMap<String, Route>>>,
    bell: Weak<Bell>,
    orders: Arc<Orders>,
}

impl Writer {
    fn run(self) {
        let mut lines = Vec::new();
        loop {
            let stopping = self.orders.stop.load(Ordering::Acquire);
            if !stopping {
                self.wait();
            }
            let reopen = self.orders.reopen.swap(false, Ordering::AcqRel);
            for route in lock(&self.routes).values_mut() {
                route.drain(&mut lines);
                if reopen {
                    // On failure the old file stays open, so no line is lost; the next signal tries again.
                    let _ = route.destination.reopen();
                }
            }
            if stopping {
                return;
            }
        }
    }

    /// Sleeps until somebody rings, then a little longer so that lines gather.
    fn wait(&self) {
        let Some(bell) = self.bell.upgrade() else {
            thread::park_timeout(LONGEST_SLEEP);
            return;
        };
        if !bell.rung.load(Ordering::Acquire) {
            thread::park_timeout(LONGEST_SLEEP);
        }
        if bell.rung.load(Ordering::Acquire) && !self.orders.stop.load(Ordering::Acquire) {
            thread::sleep(GATHER);
        }
        bell.rung.store(false, Ordering::Release);
    }
}

impl Route {
    fn drain(&mut self, lines: &mut Vec<u8>) {
        let buffers = lock(&self.channel.buffers).clone();
        for buffer in &buffers {
            lines.clear();
            // Buffers are swapped, so both keep their memory and neither side allocates once warm.
            std::mem::swap(&mut *lock(&buffer.lines), lines);
            if !lines.is_empty() && self.destination.write(lines).is_err() {
                self.channel.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(buffers);
        // Forget buffers whose handles are gone: two owners are left, this list and nobody's handle.
        lock(&self.channel.buffers).retain(|buffer| Arc::strong_count(buffer) > 1 || !lock(&buffer.lines).is_empty());
    }
}

/// A panic elsewhere leaves whole lines behind at worst, so the lock stays usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
