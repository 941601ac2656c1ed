//! Replacing the binary under a running node: the running process starts its program's file anew, sends the new process its
//! listening sockets and the process id file, and ends when its own connections have. No connection is refused in between,
//! because the sockets stay open throughout, and both processes take connections from them for a moment.
//!
//! The new process answers with one line, once it serves: `ready`. Any other line is the reason why it cannot, and the running
//! process goes on as if nothing had been.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use gibbon_net::{BoundSocket, Inherited};
use nix::sys::signal::Signal as UnixSignal;
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::Pid;

use crate::brand::Brand;
use crate::exit::{Exit, Outcome};
use crate::pid::{self, PidFile};
use crate::process::{self, Origin};
use crate::signals::Signal;
use crate::{daemon, machine};

const READY: &str = "ready";

/// Time for the new process to load its configuration and serve.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a process of this program is started.
#[derive(Clone)]
pub struct Program {
    file: PathBuf,
    brand: Brand,
}

impl Program {
    /// As this process was called, so that a link to the current version is followed anew. To be asked before the file is
    /// replaced: afterwards the system knows only the old one.
    pub fn this(brand: Brand) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("could not find this program's own file")?;
        let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
        let candidates: Vec<PathBuf> = match called.components().count() {
            1 => std::env::var_os("PATH")
                .map(|path| std::env::split_paths(&path).map(|folder| folder.join(&called)).collect())
                .unwrap_or_default(),
            _ => vec![called],
        };
        let found = candidates.into_iter().find(|file| file.canonicalize().is_ok_and(|file| file == own));
        Ok(Self { file: machine::absolute(&found.unwrap_or(own)), brand })
    }

    /// A hidden command for the node of a prepared prefix.
    pub fn background(&self, prefix: &Path) -> Command {
        let mut command = Command::new(&self.file);
        // The name decides whether the program speaks of itself as Kong.
        if Brand::of(self.file.as_os_str()) != self.brand {
            command.arg0(self.brand.command());
        }
        command.arg(daemon::COMMAND).arg("--prefix").arg(prefix);
        command
    }
}

/// A new process on its way.
pub struct Upgrade {
    child: Child,
    /// Somebody asked for a reload meanwhile; whoever serves in the end does it.
    pub reload_wanted: bool,
}

impl Upgrade {
    /// Starts a process that is to take over. `outcome` is told from another thread whether it serves.
    pub fn begin(
        program: &Program,
        prefix: &Path,
        sockets: Vec<BoundSocket>,
        pid_file: &PidFile,
        outcome: impl FnOnce(anyhow::Result<()>) + Send + 'static,
    ) -> anyhow::Result<Self> {
        tracing::info!(severity = "notice", "starting {} to take over", program.file.display());
        let (mut peer, theirs) = UnixStream::pair().context("could not make a pair of sockets")?;
        let pid_file = pid_file.as_fd().try_clone_to_owned().context("could not pass the process id file on")?;
        let mut command = program.background(prefix);
        let child = command.arg("--successor").stdin(Stdio::from(OwnedFd::from(theirs))).spawn();
        let child = child.with_context(|| format!("could not start {}", program.file.display()))?;
        // With the command goes this process's handle of their end: who waits for a process that ended is told so.
        drop(command);
        let upgrade = Self { child, reload_wanted: false };
        std::thread::spawn(move || outcome(converse(&mut peer, &sockets, &pid_file)));
        Ok(upgrade)
    }

    /// The new process serves; its id.
    pub fn complete(self) -> u32 {
        let id = self.child.id();
        if self.reload_wanted
            && let Ok(process) = i32::try_from(id)
            && let Err(error) = pid::signal(Pid::from_raw(process), UnixSignal::SIGHUP)
        {
            tracing::error!("{error:#}");
        }
        id
    }

    /// Ends the new process, whatever became of it.
    pub fn abandon(mut self) {
        // It may have ended by itself; waiting leaves no zombie behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The running process's side.
fn converse(peer: &mut UnixStream, sockets: &[BoundSocket], pid_file: &OwnedFd) -> anyhow::Result<()> {
    gibbon_net::send(peer, sockets)?;
    gibbon_net::send_file(peer, pid_file)?;
    peer.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    let heard = BufReader::new(peer).read_line(&mut line);
    heard.with_context(|| format!("the new process was not ready within {} s", PATIENCE.as_secs()))?;
    match line.trim_end() {
        READY => Ok(()),
        "" => anyhow::bail!("the new process ended without a word"),
        reason => anyhow::bail!("the new process could not start: {reason}"),
    }
}

/// What a running node sends its successor.
pub struct Predecessor {
    /// Its listening sockets.
    pub sockets: Inherited,
    /// The process id file, open and locked.
    pub pid_file: OwnedFd,
}

/// The new process: serves, after telling the running one so, or tells it why it cannot.
pub fn succeed(prefix: &Path, brand: Brand) -> Outcome {
    let mut peer = running_process()?;
    let sockets = gibbon_net::receive(&mut peer).map_err(anyhow::Error::from)?;
    let pid_file = gibbon_net::receive_file(&mut peer).map_err(anyhow::Error::from)?;
    let mut ready = peer.try_clone().context("could not speak to the running process")?;
    let served = machine::load_prepared(prefix).and_then(|loaded| {
        process::run(loaded, brand, Origin::Successor(Predecessor { sockets, pid_file }), move || {
            // If nobody listens any more this is the only process of the node, and all the more to serve.
            let _ = writeln!(ready, "{READY}");
            Ok(())
        })
    });
    if let Err(Exit::Failed(error)) = &served {
        tracing::error!(severity = "emerg", "{error:#}");
        // Once it was ready nobody listens.
        let _ = writeln!(peer, "{}", format!("{error:#}").replace('\n', "; "));
    }
    served.map_err(|_| Exit::Silent(1))
}

/// The socket that standard input is; standard input then is nothing.
fn running_process() -> anyhow::Result<UnixStream> {
    let socket = std::io::stdin().as_fd().try_clone_to_owned().context("no socket to the running process")?;
    nix::unistd::dup2_stdin(std::fs::File::open("/dev/null").context("could not open /dev/null")?)?;
    Ok(UnixStream::from(socket))
}

/// Passes a signal on to the node that a process id file names, unless that is this process.
pub fn pass_on(signal: Signal, pid_file: &Path) {
    if let Some(node) = pid::running(pid_file)
        && node != Pid::this()
        && let Err(error) = pid::signal(node, signal.unix())
    {
        tracing::error!("{error:#}");
    }
}

/// Becomes the parent of whoever succeeds a successor, so that [`wait_for_successors`] knows of them all.
pub fn adopt_successors() {
    // Without it only the first successor is waited for.
    let _ = nix::sys::prctl::set_child_subreaper(true);
}

/// Waits until the last successor has ended, and ends as it did: who started a node in the foreground waits for this process.
pub fn wait_for_successors() -> Outcome {
    let mut last = 0;
    while let Ok(status) = wait() {
        last = match status {
            WaitStatus::Exited(_, code) => code,
            WaitStatus::Signaled(..) => 1,
            _ => last,
        };
    }
    match u8::try_from(last) {
        Ok(0) => Ok(()),
        Ok(code) => Err(Exit::Silent(code)),
        Err(_) => Err(Exit::Silent(1)),
    }
}
