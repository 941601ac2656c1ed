//! A line per exchange to the system's own log, in the form that `syslog(3)` writes.

use std::sync::Arc;
use std::time::Duration;

use gibbon_pdk::{Build, BuildError, DialTarget, Exchange, Handler, Host, Queue, write_log_entry};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::config::Config;
use crate::custom_fields::CustomFields;
use crate::line::Line;
use crate::severity::Levels;

/// Where the system's logger listens.
const SOCKET: &str = "/dev/log";

pub struct Syslog {
    fields: CustomFields,
    levels: Levels,
    facility: u8,
    queue: Arc<dyn Queue>,
}

impl Syslog {
    pub fn new(config: &Config, build: &Build<'_>) -> Result<Self, BuildError> {
        let fields = CustomFields::new("syslog", config.custom_fields_by_lua.as_ref());
        let target = DialTarget::UnixDatagram { path: SOCKET.to_owned() };
        let line = Line::new(Arc::clone(&build.dial), Arc::clone(&build.clock), target, Duration::from_secs(1));
        let levels = Levels {
            least: config.log_level,
            successful: config.successful_severity,
            client_errors: config.client_errors_severity,
            server_errors: config.server_errors_severity,
        };
        Ok(Syslog {
            fields,
            levels,
            facility: config.facility.number() * 8,
            queue: crate::datagrams::queue(build, line),
        })
    }
}

impl Handler for Syslog {
    fn log(&self, x: &mut Exchange, host: &Host) {
        let Some(level) = self.levels.of(x.response.status) else { return };
        let now = Timestamp::from_second(host.clock.wall()).unwrap_or_default().to_zoned(TimeZone::system());
        let mut line = format!("<{}>{} kong: ", self.facility + level, now.strftime("%b %e %H:%M:%S")).into_bytes();
        self.fields.add(x, host);
        write_log_entry(&mut line, x);
        self.queue.push(line.into());
    }
}
