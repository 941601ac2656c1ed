//! Puts the parts of a node together: settings become listeners, a plan, workers and the control
//! runtime. The command line and the process around it are left to the `gibbon` binary.

mod access;
mod admin;
mod declared;
mod figures;
mod listen;
mod node;
mod offline;
mod parts;
mod ports;
mod registry;
mod request_debug;
mod settings;
mod store;
mod unbuilt;
mod vaults;

pub use declared::Declarative;
pub use gibbon_proxy::{Remote, Stage, log_panics};
pub use gibbon_store::MigrationState;
pub use node::{AccessLogs, NodeSettings, OpenAccessLog, Running, StartError};
pub use offline::{Offline, TakenOver};
pub use parts::{bundled, offered};
pub use store::{Tables, readiness};
pub use unbuilt::refuse_unbuilt;
pub use vaults::read_secret;
