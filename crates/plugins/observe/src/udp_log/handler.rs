//! One datagram of JSON per exchange.

use std::sync::Arc;

use gibbon_pdk::{Build, BuildError, DialTarget, Exchange, Handler, Host, Queue, write_log_entry};

use super::config::Config;
use crate::custom_fields::CustomFields;
use crate::line::Line;
use crate::queue_settings::milliseconds;

pub struct UdpLog {
    fields: CustomFields,
    queue: Arc<dyn Queue>,
}

impl UdpLog {
    pub fn new(config: &Config, build: &Build<'_>) -> Result<Self, BuildError> {
        let fields = CustomFields::new("udp-log", config.custom_fields_by_lua.as_ref());
        let target = DialTarget::Udp { host: config.host.clone(), port: config.port };
        let timeout = milliseconds(config.timeout);
        let line = Line::new(Arc::clone(&build.dial), Arc::clone(&build.clock), target, timeout);
        Ok(UdpLog { fields, queue: crate::datagrams::queue(build, line) })
    }
}

impl Handler for UdpLog {
    fn log(&self, x: &mut Exchange, host: &Host) {
        let mut entry = Vec::with_capacity(2048);
        self.fields.add(x, host);
        write_log_entry(&mut entry, x);
        self.queue.push(entry.into());
    }
}
