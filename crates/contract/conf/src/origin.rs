//! Where a value came from, what is wrong with it, and what is worth telling without stopping.

use std::fmt;
use std::sync::Arc;

/// Source of a value. Later variants win over earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave it.
    Default,
    /// A line of the settings file, counted from 1.
    File {
        /// Path as given.
        path: Arc<str>,
        /// Line number.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// The command line.
    Argument,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Argument => f.write_str("command line"),
        }
    }
}

/// A setting that stops the start: what is wrong (in Kong's words where Kong has words for it), where, what would be valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// Where the value was given, unless it was nowhere.
    pub origin: Option<Origin>,
    /// What would be right, when the message does not say so.
    pub valid: Option<String>,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), origin: None, valid: None }
    }

    pub(crate) fn at(mut self, origin: &Origin) -> Self {
        self.origin = (*origin != Origin::Default).then(|| origin.clone());
        self
    }

    pub(crate) fn valid(mut self, valid: impl Into<String>) -> Self {
        self.valid = Some(valid.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match (&self.origin, &self.valid) {
            (Some(origin), Some(valid)) => write!(f, " [{origin}; valid: {valid}]"),
            (Some(origin), None) => write!(f, " [{origin}]"),
            (None, Some(valid)) => write!(f, " [valid: {valid}]"),
            (None, None) => Ok(()),
        }
    }
}

/// Why something is worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// A name that is no setting.
    Unknown,
    /// A line or value that was passed over.
    Ignored,
    /// A setting that is recognised and does nothing here.
    NoEffect,
    /// A setting that asks for what is not built yet.
    Pending,
    /// A setting or value with a newer name.
    Deprecated,
    /// A value, often a default, that is unsafe on a public network.
    Unsafe,
}

/// Something worth telling that does not stop the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Why.
    pub kind: NoticeKind,
    /// One line for people.
    pub text: String,
    /// Where the value was given.
    pub origin: Origin,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => f.write_str(&self.text),
            origin => write!(f, "{} [{origin}]", self.text),
        }
    }
}
