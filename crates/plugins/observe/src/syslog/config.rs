//! Settings of syslog.

use gibbon_schema::Schema;
use indexmap::IndexMap;

use crate::severity::Severity;

/// What is logged, and as what.
#[derive(Schema, Debug)]
pub struct Config {
    /// Lines less grave than this are not written.
    #[schema(required, default = "info")]
    pub log_level: Severity,
    /// The level of answers below 400.
    #[schema(required, default = "info")]
    pub successful_severity: Severity,
    /// The level of answers below 500.
    #[schema(required, default = "info")]
    pub client_errors_severity: Severity,
    /// The level of other answers.
    #[schema(required, default = "info")]
    pub server_errors_severity: Severity,
    /// Further fields, computed in Lua.
    #[schema(keys(len_min = 1), values(len_min = 1))]
    pub custom_fields_by_lua: Option<IndexMap<String, String>>,
    /// The part of the system that the lines come from.
    #[schema(required, default = "user")]
    pub facility: Facility,
}

/// A facility of syslog.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Facility {
    Auth,
    Authpriv,
    Cron,
    Daemon,
    Ftp,
    Kern,
    Lpr,
    Mail,
    News,
    Syslog,
    User,
    Uucp,
    #[schema(name = "local0")]
    Local0,
    #[schema(name = "local1")]
    Local1,
    #[schema(name = "local2")]
    Local2,
    #[schema(name = "local3")]
    Local3,
    #[schema(name = "local4")]
    Local4,
    #[schema(name = "local5")]
    Local5,
    #[schema(name = "local6")]
    Local6,
    #[schema(name = "local7")]
    Local7,
}

impl Facility {
    /// The number of RFC 5424, section 6.2.1.
    pub fn number(self) -> u8 {
        match self {
            Facility::Kern => 0,
            Facility::User => 1,
            Facility::Mail => 2,
            Facility::Daemon => 3,
            Facility::Auth => 4,
            Facility::Syslog => 5,
            Facility::Lpr => 6,
            Facility::News => 7,
            Facility::Uucp => 8,
            Facility::Cron => 9,
            Facility::Authpriv => 10,
            Facility::Ftp => 11,
            Facility::Local0 => 16,
            Facility::Local1 => 17,
            Facility::Local2 => 18,
            Facility::Local3 => 19,
            Facility::Local4 => 20,
            Facility::Local5 => 21,
            Facility::Local6 => 22,
            Facility::Local7 => 23,
        }
    }
}
