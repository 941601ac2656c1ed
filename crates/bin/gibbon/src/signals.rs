//! Signals as nginx's master understands them, turned into events for the node.

use std::sync::mpsc::Sender;

use nix::sys::signal::{SigSet, Signal as UnixSignal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// TERM, INT: stop at once.
    FastStop,
    /// QUIT: stop after the requests under way.
    GracefulStop,
    /// HUP: read the prefix's settings and the declarative configuration again.
    Reload,
    /// USR1: log files were moved away. The journal has been told already.
    ReopenLogs,
    /// USR2: hand the sockets to a new process of the current binary.
    Upgrade,
    /// WINCH: let workers finish and take no new connections.
    RetireWorkers,
}

impl Signal {
    /// The signal by which another process is asked for the same.
    pub fn unix(self) -> UnixSignal {
        MEANINGS.iter().find(|(_, meaning)| *meaning == self).map_or(UnixSignal::SIGTERM, |(signal, _)| *signal)
    }
}

const MEANINGS: [(UnixSignal, Signal); 7] = [
    (UnixSignal::SIGTERM, Signal::FastStop),
    (UnixSignal::SIGINT, Signal::FastStop),
    (UnixSignal::SIGQUIT, Signal::GracefulStop),
    (UnixSignal::SIGHUP, Signal::Reload),
    (UnixSignal::SIGUSR1, Signal::ReopenLogs),
    (UnixSignal::SIGUSR2, Signal::Upgrade),
    (UnixSignal::SIGWINCH, Signal::RetireWorkers),
];

/// Takes over the signals of this process. Must run before any other thread starts, for threads inherit what is blocked, and
/// a signal that comes early waits until somebody listens.
pub fn block() -> anyhow::Result<SigSet> {
    let mut set = SigSet::empty();
    for (signal, _) in MEANINGS {
        set.add(signal);
    }
    set.thread_block()?;
    Ok(set)
}

/// Starts the thread that turns signals into events. `on_event` runs first, on that thread.
pub fn listen<E>(set: SigSet, events: Sender<E>, on_event: impl Fn(Signal) -> E + Send + 'static) -> anyhow::Result<()>
where
    E: Send + 'static,
{
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        while let Ok(signal) = set.wait() {
            let meaning = MEANINGS.iter().find(|(known, _)| *known == signal).map(|(_, meaning)| *meaning);
            let Some(event) = meaning else { continue };
            if events.send(on_event(event)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
