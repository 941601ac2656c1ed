//! The life of a node's process: claims the prefix, opens the logs, listens for signals, serves.

use anyhow::Context as _;
use gibbon_conf::{Loaded, NoticeKind};

use crate::brand::{Brand, VERSION};
use crate::exit::{Exit, Outcome, fail};
use crate::pid::PidFile;
use crate::serve::{Ready, Start};
use crate::signals::Signal;
use crate::{certificates, journals, prefix, privileges, serve, signals};

/// Runs a node in this process, in a prepared prefix, until it is told to stop. `on_ready` is called when it listens.
pub fn run(loaded: Loaded, brand: Brand, on_ready: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> Outcome {
    let signal_set = signals::block()?;
    let mut settings = loaded.settings;
    certificates::use_defaults(&mut settings);
    let Some(pid_file) = PidFile::claim(&prefix::pid_file(&settings.prefix))? else {
        return fail(format!("{} is already running in {}", brand.name(), settings.prefix.display()));
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
    let journal = logs.journal.reopener();
    let events = signals::listen(signal_set, move |event| {
        if event == Signal::ReopenLogs {
            journal.reopen();
        }
    })?;
    let node = settings.node.clone();
    let ready = Ready(Box::new(move || {
        privileges::drop_to_user(&node)?;
        on_ready()
    }));
    let start = Start { settings, values: loaded.values, node_id, logs, ready };
    let served = serve::serve(start, events).context("the node stopped");
    drop(pid_file);
    served.map_err(Exit::Failed)
}
