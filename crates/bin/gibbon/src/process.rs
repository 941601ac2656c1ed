//! The life of a node's process: claims the prefix, opens the logs, listens for signals, serves.

use std::sync::mpsc::channel;

use anyhow::Context as _;
use gibbon_conf::{Loaded, NoticeKind};
use gibbon_net::Inherited;

use crate::brand::{Brand, VERSION};
use crate::exit::{Exit, Outcome, fail};
use crate::pid::PidFile;
use crate::serve::{End, Event, Ready, Start};
use crate::signals::Signal;
use crate::upgrade::{self, Predecessor, Program};
use crate::{certificates, journals, open_files, prefix, privileges, serve, signals};

/// How a process comes to be the node.
pub enum Origin {
    /// Somebody waits for it to end, and sends it signals: it stays until the last of its successors has ended.
    Foreground,
    /// By the process id file alone it is found.
    Background,
    /// It takes over from a running node.
    Successor(Predecessor),
}

/// Runs a node in this process, in a prepared prefix, until it is told to stop. `on_ready` is called when it listens.
pub fn run(
    loaded: Loaded,
    brand: Brand,
    origin: Origin,
    on_ready: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> Outcome {
    let program = Program::this(brand)?;
    let signal_set = signals::block()?;
    let mut settings = loaded.settings;
    certificates::use_defaults(&mut settings);
    let foreground = matches!(origin, Origin::Foreground);
    let pid_path = prefix::pid_file(&settings.prefix);
    let (pid_file, inherited) = match origin {
        Origin::Successor(Predecessor { sockets, pid_file }) => (PidFile::inherited(&pid_path, pid_file), sockets),
        Origin::Foreground | Origin::Background => match PidFile::claim(&pid_path)? {
            Some(pid_file) => (pid_file, Inherited::none()),
            None => return fail(format!("{} is already running in {}", brand.name(), settings.prefix.display())),
        },
    };
    let node_id = prefix::node_id(&settings)?;
    privileges::give_prefix(&settings)?;
    let logs = journals::open(&settings.logs)?;
    tracing::info!(severity = "notice", "gibbon {VERSION} (Kong {}) starts", settings.compat.version());
    for notice in &loaded.notices {
        match notice.kind {
            NoticeKind::NoEffect => tracing::info!(severity = "notice", "{notice}"),
            _ => tracing::warn!("{notice}"),
        }
    }
    open_files::allow(settings.node.open_files);
    let journal = logs.journal.reopener();
    let (sender, events) = channel();
    signals::listen(signal_set, sender.clone(), move |signal| {
        if signal == Signal::ReopenLogs {
            journal.reopen();
        }
        Event::Signal(signal)
    })?;
    let node = settings.node.clone();
    let ready = Ready(Box::new(move || {
        privileges::drop_to_user(&node)?;
        on_ready()
    }));
    let pass_signals_on = foreground.then_some(pid_path);
    let values = loaded.values;
    let start = Start { settings, values, node_id, logs, inherited, pid_file, ready, program, pass_signals_on };
    match serve::serve(start, events, sender).context("the node stopped").map_err(Exit::Failed)? {
        End::HandedOver if foreground => upgrade::wait_for_successors(),
        _ => Ok(()),
    }
}
