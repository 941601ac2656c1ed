//! Puts the parts of a node together: settings become listeners, a plan, workers and the control
//! runtime. The command line and the process around it are left to the `gibbon` binary.

mod listen;
mod node;
mod parts;
mod ports;
mod settings;

pub use node::{Running, StartError};
pub use parts::bundled;
