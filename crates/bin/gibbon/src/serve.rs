//! The node at work: everything between the settings and the last request. This is the seam between the process and the
//! gateway.

use std::sync::mpsc::Receiver;

use gibbon_assembly::{NodeSettings, Running};
use gibbon_conf::{Settings, Values};
use gibbon_net::Inherited;

use crate::journals::OpenLogs;
use crate::signals::Signal;

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
    /// To be called once every listener accepts connections, and before the first request is served.
    pub ready: Ready,
}

/// Tells whoever started the node that it listens, and lets go of root's rights.
pub struct Ready(pub Box<dyn FnOnce() -> anyhow::Result<()> + Send>);

impl Ready {
    /// Says so.
    pub fn say(self) -> anyhow::Result<()> {
        (self.0)()
    }
}

/// Serves until told to stop. Returns when the last request is done (graceful) or at once (fast).
pub fn serve(start: Start, events: Receiver<Signal>) -> anyhow::Result<()> {
    let Start { settings, values, node_id, logs, ready } = start;
    let access = logs.proxy.as_ref().map(|(format, handle)| (format.clone(), handle.clone()));
    let node = NodeSettings {
        settings: &settings,
        values: &values,
        node_id: &node_id,
        access_log: access,
        log_level: Some(logs.level.clone()),
    };
    let running = Running::start(&node, Inherited::none())?;
    ready.say()?;
    tracing::info!(severity = "notice", node_id = %node_id, "node started");
    let graceful = follow(&running, &settings, &logs, events);
    match graceful {
        true => running.stop_gracefully(settings.node.shutdown_grace),
        false => running.stop_fast(),
    }
    tracing::info!(severity = "notice", "node stopped");
    logs.journal.close();
    Ok(())
}

/// Acts on signals until one says stop; tells whether requests may finish.
fn follow(running: &Running, settings: &Settings, logs: &OpenLogs, events: Receiver<Signal>) -> bool {
    for event in events {
        match event {
            Signal::FastStop => return false,
            Signal::GracefulStop | Signal::RetireWorkers => return true,
            Signal::Reload => reload(running, settings, logs),
            Signal::ReopenLogs | Signal::Upgrade => {}
        }
    }
    true
}

/// Reads settings and declarative configuration again; what is refused leaves everything as it was.
fn reload(running: &Running, settings: &Settings, logs: &OpenLogs) {
    match crate::machine::load_prepared(&settings.prefix) {
        Ok(loaded) => {
            logs.level.set(loaded.settings.logs.level);
            tracing::info!(severity = "notice", "settings read again");
            if let Err(error) = running.declarative.load(&loaded.settings) {
                tracing::error!("declarative configuration refused, the former one stays in force: {error:#}");
            }
        }
        Err(crate::exit::Exit::Failed(error)) => {
            tracing::error!("settings refused, the former ones stay in force: {error:#}");
        }
        Err(crate::exit::Exit::Silent(_)) => {}
    }
}
