//! The node at work: everything between the settings and the last request. This is the seam between the process and the
//! gateway.

use std::sync::mpsc::Receiver;

use gibbon_conf::{Settings, Values};

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
    start.ready.say()?;
    let logs = &start.logs;
    let access = [&logs.proxy, &logs.stream, &logs.admin, &logs.status, &logs.admin_gui];
    let open = access.iter().filter(|log| log.is_some()).count();
    let settings = start.values.all_given().count();
    tracing::info!(severity = "notice", node_id = %start.node_id, settings, access_logs = open, "node started");
    for event in events {
        match event {
            Signal::FastStop | Signal::GracefulStop => break,
            Signal::Reload => match crate::machine::load_prepared(&start.settings.prefix) {
                Ok(loaded) => {
                    start.logs.level.set(loaded.settings.logs.level);
                    tracing::info!(severity = "notice", "settings read again");
                }
                Err(crate::exit::Exit::Failed(error)) => {
                    tracing::error!("settings refused, the former ones stay in force: {error:#}");
                }
                Err(crate::exit::Exit::Silent(_)) => {}
            },
            Signal::ReopenLogs | Signal::Upgrade | Signal::RetireWorkers => {}
        }
    }
    tracing::info!(severity = "notice", "node stopped");
    start.logs.journal.close();
    Ok(())
}
