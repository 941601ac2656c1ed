//! The node at work: everything between the settings and the last request. This is the seam between the process and the
//! gateway.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use gibbon_assembly::{NodeSettings, Remote, Running, Stage};
use gibbon_conf::{Settings, Values};
use gibbon_net::Inherited;

use crate::journals::OpenLogs;
use crate::pid::PidFile;
use crate::signals::Signal;
use crate::upgrade::{self, Program, Upgrade};

/// What a node starts with.
pub struct Start {
    /// Typed settings.
    pub settings: Settings,
    /// All settings, for the Admin API.
    pub values: Values,
    /// The node's id.
    pub node_id: String,
    /// Open logs.
    pub logs: OpenLogs,
    /// Listening sockets of the process that ran before; none on a start of its own.
    pub inherited: Inherited,
    /// Held by this process, or by the one that ran before.
    pub pid_file: PidFile,
    /// To be called once every listener accepts connections.
    pub ready: Ready,
    /// What a successor is started from.
    pub program: Program,
    /// Where the process that serves is named, if signals to this one are to reach it after an upgrade.
    pub pass_signals_on: Option<PathBuf>,
}

/// Tells whoever started the node that it listens, and lets go of root's rights.
pub struct Ready(pub Box<dyn FnOnce() -> anyhow::Result<()> + Send>);

impl Ready {
    /// Says so.
    pub fn say(self) -> anyhow::Result<()> {
        (self.0)()
    }
}

/// What a node acts on.
pub enum Event {
    Signal(Signal),
    /// Whether the new process serves.
    Upgraded(anyhow::Result<()>),
}

/// Why a process ends to be the node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was told to stop at once.
    Fast,
    /// It was told to stop after the requests under way.
    Graceful,
    /// Another process has taken over.
    HandedOver,
}

/// Serves until told to stop. Returns when the last request is done (graceful) or at once (fast).
pub fn serve(start: Start, events: Receiver<Event>, sender: Sender<Event>) -> anyhow::Result<End> {
    let Start { settings, values, node_id, logs, inherited, mut pid_file, ready, program, pass_signals_on } = start;
    let node = NodeSettings {
        settings: &settings,
        values: &values,
        node_id: &node_id,
        access_logs: logs.access.clone(),
        log_level: Some(logs.level.clone()),
    };
    let running = Running::start(&node, inherited)?;
    pid_file.name_this_process()?;
    ready.say()?;
    tracing::info!(severity = "notice", node_id = %node_id, "node started");
    let mut serving = Serving {
        running,
        settings: &settings,
        logs: &logs,
        pid_file: &mut pid_file,
        program: &program,
        sender,
        upgrade: None,
    };
    let end = serving.follow(&events);
    let running = serving.running;
    let grace = settings.node.shutdown_grace;
    match end {
        End::Fast => running.stop_fast(),
        End::Graceful => {
            end_in_time(running.remote(), grace, events, None);
            running.stop_gracefully();
        }
        End::HandedOver => {
            pid_file.pass_on();
            if pass_signals_on.is_some() {
                upgrade::adopt_successors();
            }
            end_in_time(running.remote(), grace, events, pass_signals_on);
            running.retire();
            tracing::info!(severity = "notice", "the last connection of the former process has ended");
            logs.journal.close();
            return Ok(end);
        }
    }
    drop(pid_file);
    tracing::info!(severity = "notice", "node stopped");
    logs.journal.close();
    Ok(end)
}

/// The node and what it reacts with.
struct Serving<'a> {
    running: Running,
    settings: &'a Settings,
    logs: &'a OpenLogs,
    pid_file: &'a mut PidFile,
    program: &'a Program,
    sender: Sender<Event>,
    upgrade: Option<Upgrade>,
}

impl Serving<'_> {
    /// Acts on events until one ends this process's service.
    fn follow(&mut self, events: &Receiver<Event>) -> End {
        for event in events {
            match event {
                Event::Signal(Signal::FastStop) => return self.stop(End::Fast),
                Event::Signal(Signal::GracefulStop | Signal::RetireWorkers) => return self.stop(End::Graceful),
                Event::Signal(Signal::Reload) => self.reload(),
                Event::Signal(Signal::Upgrade) => self.begin_upgrade(),
                Event::Signal(Signal::ReopenLogs) => {}
                Event::Upgraded(Ok(())) => {
                    if let Some(upgrade) = self.upgrade.take() {
                        tracing::info!(severity = "notice", "process {} has taken over", upgrade.complete());
                        return End::HandedOver;
                    }
                }
                Event::Upgraded(Err(error)) => self.upgrade_failed(&error),
            }
        }
        End::Graceful
    }

    fn stop(&mut self, end: End) -> End {
        if let Some(upgrade) = self.upgrade.take() {
            upgrade.abandon();
        }
        end
    }

    /// Reads settings and declarative configuration again; what is refused leaves everything as it was.
    fn reload(&mut self) {
        if let Some(upgrade) = &mut self.upgrade {
            upgrade.reload_wanted = true;
            return;
        }
        match crate::machine::load_prepared(&self.settings.prefix) {
            Ok(loaded) => {
                self.logs.level.set(loaded.settings.logs.level);
                tracing::info!(severity = "notice", "settings read again");
                if let Err(error) = self.running.reload(&loaded.settings) {
                    tracing::error!("{error:#}");
                }
            }
            Err(crate::exit::Exit::Failed(error)) => {
                tracing::error!("settings refused, the former ones stay in force: {error:#}");
            }
            Err(crate::exit::Exit::Silent(_)) => {}
        }
    }

    /// Starts the process that is to take over. What it loads is not changed from here on.
    fn begin_upgrade(&mut self) {
        if self.upgrade.is_some() {
            tracing::warn!("an upgrade is under way already");
            return;
        }
        self.running.pause_admin();
        let outcome = self.sender.clone();
        let begun = self.running.sockets().map_err(anyhow::Error::from).and_then(|sockets| {
            let tell = move |of| drop(outcome.send(Event::Upgraded(of)));
            Upgrade::begin(self.program, &self.settings.prefix, sockets, self.pid_file, tell)
        });
        match begun {
            Ok(upgrade) => self.upgrade = Some(upgrade),
            Err(error) => self.upgrade_failed(&error),
        }
    }

    fn upgrade_failed(&mut self, error: &anyhow::Error) {
        tracing::error!("no upgrade, this process goes on serving: {error:#}");
        let reload_wanted = self.upgrade.as_ref().is_some_and(|upgrade| upgrade.reload_wanted);
        if let Some(upgrade) = self.upgrade.take() {
            upgrade.abandon();
        }
        if let Err(error) = self.pid_file.name_this_process() {
            tracing::error!("{error:#}");
        }
        if let Err(error) = self.running.resume_admin() {
            tracing::error!("the Admin API does not go on: {error}");
        }
        if reload_wanted {
            self.reload();
        }
    }
}

/// While the last connections end: who is told to stop once more does so at once, as when time is up.
fn end_in_time(remote: Remote, grace: Option<Duration>, events: Receiver<Event>, pass_signals_on: Option<PathBuf>) {
    let mut deadline = grace.map(|grace| Instant::now() + grace);
    std::thread::spawn(move || {
        loop {
            let event = match deadline {
                Some(at) => events.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => events.recv().map_err(RecvTimeoutError::from),
            };
            match event {
                Ok(Event::Signal(signal)) => {
                    if signal == Signal::FastStop {
                        remote.advance(Stage::Stop);
                    }
                    if let Some(pid_file) = &pass_signals_on {
                        upgrade::pass_on(signal, pid_file);
                    }
                }
                Ok(Event::Upgraded(_)) => {}
                Err(RecvTimeoutError::Timeout) => {
                    remote.advance(Stage::Stop);
                    deadline = None;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    });
}
