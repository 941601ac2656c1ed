//! The name the program goes by: its own, or Kong's when it was called so.

use std::ffi::OsStr;
use std::path::Path;

/// The name in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brand {
    /// Called by its own name.
    Gibbon,
    /// Called as `kong`.
    Kong,
}

impl Brand {
    /// Decides by the file name the program was called by.
    pub fn of(called: &OsStr) -> Self {
        match Path::new(called).file_stem().and_then(OsStr::to_str) {
            Some("kong") => Self::Kong,
            _ => Self::Gibbon,
        }
    }

    /// As in `Kong started`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gibbon => "Gibbon",
            Self::Kong => "Kong",
        }
    }

    /// As in `run 'kong migrations bootstrap'`.
    pub fn command(self) -> &'static str {
        match self {
            Self::Gibbon => "gibbon",
            Self::Kong => "kong",
        }
    }

    /// The one process, under the name `health` lists it by.
    pub fn process(self) -> &'static str {
        match self {
            Self::Gibbon => "gibbon",
            Self::Kong => "nginx",
        }
    }

    /// Why a signal cannot be sent.
    pub fn not_running(self, prefix: &Path) -> String {
        format!("{} not running in prefix: {}", self.process(), prefix.display())
    }
}

/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
