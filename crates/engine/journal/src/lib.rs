//! Access and error logs. A format in nginx's language is compiled once and rendered without allocating; lines go through a
//! bounded buffer to one writer thread, so that a slow disk costs lines (counted) and never a request.
//!
//! What the values of a request are is told by the caller through [`Variables`]; which files exist is told by whoever reads
//! the settings. Sockets (syslog) are another [`Destination`] and live elsewhere.

mod access;
mod clock;
mod error_log;
mod escape;
mod level;
mod variable;
mod writer;

pub use access::{AccessLog, FormatError};
pub use clock::LineClock;
pub use error_log::{ErrorLog, set_thread_number};
pub use level::LevelControl;
pub use variable::{Try, TryAddress, Value, Variable, Variables};
pub use writer::{Destination, FileDestination, Handle, Journal, Reopener, StreamDestination};
