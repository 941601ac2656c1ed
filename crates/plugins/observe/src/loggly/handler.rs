//! A syslog line (RFC 5424) per exchange, over UDP.

use std::fmt::Write;
use std::sync::Arc;

use gibbon_pdk::{Build, BuildError, DialTarget, Exchange, Handler, Host, Queue, write_log_entry};
use jiff::Timestamp;

use super::config::Config;
use crate::custom_fields::CustomFields;
use crate::line::Line;
use crate::queue_settings::milliseconds;
use crate::severity::Levels;

/// Facility "user", times eight.
const FACILITY: u8 = 8;
/// Loggly's number among private enterprises.
const ENTERPRISE: u32 = 41058;

pub struct Loggly {
    fields: CustomFields,
    levels: Levels,
    /// `kong - - [key@41058 tag="a"] `
    marks: String,
    queue: Arc<dyn Queue>,
}

impl Loggly {
    pub fn new(config: &Config, build: &Build<'_>) -> Result<Self, BuildError> {
        let fields = CustomFields::new("loggly", config.custom_fields_by_lua.as_ref());
        let target = DialTarget::Udp { host: config.host.clone(), port: config.port };
        let timeout = milliseconds(config.timeout);
        let line = Line::new(Arc::clone(&build.dial), Arc::clone(&build.clock), target, timeout);
        let mut marks = format!("kong - - [{}@{ENTERPRISE}", config.key);
        for tag in config.tags.iter() {
            // Writing to a String cannot fail.
            let _ = write!(marks, " tag=\"{tag}\"");
        }
        marks.push_str("] ");
        let levels = Levels {
            least: config.log_level,
            successful: config.successful_severity,
            client_errors: config.client_errors_severity,
            server_errors: config.server_errors_severity,
        };
        Ok(Loggly { fields, levels, marks, queue: crate::datagrams::queue(build, line) })
    }
}

impl Handler for Loggly {
    fn log(&self, x: &mut Exchange, host: &Host) {
        let Some(level) = self.levels.of(x.response.status) else { return };
        let now = Timestamp::from_second(host.clock.wall()).unwrap_or_default();
        let hostname = &host.node.hostname;
        let mut line = format!("<{}>1 {now:.0} {hostname} {}", FACILITY + level, self.marks).into_bytes();
        self.fields.add(x, host);
        write_log_entry(&mut line, x);
        self.queue.push(line.into());
    }
}
