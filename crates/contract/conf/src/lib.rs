//! Settings: what `kong.conf`, `KONG_*` and `GIBBON_*` variables and command line arguments say, as one typed structure.
//!
//! Pure: the file's text, the environment and everything that must be asked of the machine are handed in, so that a
//! configuration can be checked without touching anything. Names, defaults and error texts are Kong's; the table of all
//! settings is in [`table`]. What a setting then does is the business of whoever reads [`Settings`].

mod check;
mod file;
mod inject;
pub mod listen;
mod origin;
pub mod reference;
mod settings;
pub mod table;
pub mod units;
mod values;
pub mod vault;

use std::path::Path;

pub use file::assignment;
pub use inject::{Directive, Injected};
pub use listen::Listener;
pub use origin::{Fault, Notice, NoticeKind, Origin};
pub use settings::*;
pub use values::{Given, MASK, Typed, Values};

/// Version of Kong whose defaults and version string are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compat {
    /// 3.10, the version spoken unless asked otherwise.
    #[default]
    V3_10,
    /// 3.15.
    V3_15,
}

impl Compat {
    /// The version string the Admin API answers.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::V3_10 => "3.10.0",
            Self::V3_15 => "3.15.0",
        }
    }
}

/// Where settings are looked for when no file is named, first found first.
pub const DEFAULT_FILES: [&str; 2] = ["/etc/kong/kong.conf", "/etc/kong.conf"];

/// The layers of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// Path and text of the settings file.
    pub file: Option<(String, String)>,
    /// All environment variables; only `KONG_*`, `GIBBON_*` and those the env vault asks for are read.
    pub environment: Vec<(String, String)>,
    /// Settings given on the command line; they win.
    pub arguments: Vec<(String, String)>,
}

/// What has to be asked of the machine.
pub trait Surroundings {
    /// Whether a file or directory exists.
    fn exists(&self, path: &Path) -> bool;

    /// The secret behind a reference to a vault other than `env`.
    ///
    /// # Errors
    /// When there is no such vault or value.
    fn secret(&self, reference: &vault::Reference, _options: &vault::Options) -> Result<String, vault::VaultError> {
        Err(vault::VaultError::NoVault(reference.vault.clone()))
    }
}

/// A configuration that holds.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The typed form.
    pub settings: Settings,
    /// The untyped form, for showing and for writing down.
    pub values: Values,
    /// What is worth telling.
    pub notices: Vec<Notice>,
}

/// A configuration that does not hold: every fault, and what is worth telling beside.
#[derive(Debug, Clone)]
pub struct Refused {
    /// At least one.
    pub faults: Vec<Fault>,
    /// What is worth telling.
    pub notices: Vec<Notice>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut faults = self.faults.iter();
        if let Some(first) = faults.next() {
            write!(f, "{first}")?;
        }
        faults.try_for_each(|fault| write!(f, "\n{fault}"))
    }
}

impl std::error::Error for Refused {}

/// Puts the layers together, checks every value and every combination, and builds the typed form.
///
/// # Errors
/// All faults at once.
pub fn load(input: &Input, surroundings: &dyn Surroundings) -> Result<Loaded, Refused> {
    let mut notices = Vec::new();
    let mut faults = Vec::new();
    let values = Values::gather(input, surroundings, &mut notices, &mut faults);
    let injected = Injected::gather(&values, &mut notices, &mut faults);
    let settings = Settings::build(&values, injected, surroundings, &mut notices, &mut faults);
    if faults.is_empty() {
        check::combinations(&settings, &values, &mut faults);
    }
    if !faults.is_empty() {
        return Err(Refused { faults, notices });
    }
    check::unsafe_choices(&settings, &mut notices);
    Ok(Loaded { settings, values, notices })
}
