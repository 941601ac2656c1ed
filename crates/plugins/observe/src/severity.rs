//! Levels of syslog, and which one an answer has.

use gibbon_schema::Schema;

/// A level; lower is graver.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Debug,
    Info,
    Notice,
    Warning,
    Err,
    Crit,
    Alert,
    Emerg,
}

impl Severity {
    /// The number of RFC 5424.
    pub fn number(self) -> u8 {
        match self {
            Severity::Debug => 7,
            Severity::Info => 6,
            Severity::Notice => 5,
            Severity::Warning => 4,
            Severity::Err => 3,
            Severity::Crit => 2,
            Severity::Alert => 1,
            Severity::Emerg => 0,
        }
    }
}

/// Levels by kind of answer.
#[derive(Debug, Clone, Copy)]
pub struct Levels {
    pub least: Severity,
    pub successful: Severity,
    pub client_errors: Severity,
    pub server_errors: Severity,
}

impl Levels {
    /// The level of an answer, if it is grave enough to be sent.
    pub fn of(&self, status: u16) -> Option<u8> {
        let level = match status {
            500.. => self.server_errors,
            400.. => self.client_errors,
            _ => self.successful,
        };
        (level.number() <= self.least.number()).then(|| level.number())
    }
}
