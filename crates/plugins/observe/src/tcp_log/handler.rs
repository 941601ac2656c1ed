//! One line of JSON per exchange over one connection.

use std::sync::Arc;

use gibbon_pdk::{
    Build, BuildError, Deliver, DialTarget, Exchange, Handler, Host, OutcallTls, Queue, QueueEntry, SendFuture,
    write_log_entry,
};

use super::config::Config;
use crate::custom_fields::CustomFields;
use crate::line::Line;
use crate::queue_settings::{at_once, milliseconds};

pub struct TcpLog {
    fields: CustomFields,
    queue: Arc<dyn Queue>,
}

impl TcpLog {
    pub fn new(config: &Config, build: &Build<'_>) -> Result<Self, BuildError> {
        let fields = CustomFields::new("tcp-log", config.custom_fields_by_lua.as_ref());
        let target = DialTarget::Tcp { host: config.host.clone(), port: config.port };
        let timeout = milliseconds(config.timeout);
        let mut line = Line::new(Arc::clone(&build.dial), Arc::clone(&build.clock), target, timeout);
        line.keepalive = milliseconds(config.keepalive);
        line.tls = config.tls.then(|| OutcallTls {
            verify: config.ssl_verify.unwrap_or(false),
            server_name: config.tls_sni.clone(),
            identity: None,
        });
        Ok(TcpLog { fields, queue: build.queue(at_once(), Arc::new(Lines(line))) })
    }
}

impl Handler for TcpLog {
    fn log(&self, x: &mut Exchange, host: &Host) {
        let mut line = Vec::with_capacity(2048);
        self.fields.add(x, host);
        write_log_entry(&mut line, x);
        line.push(b'\n');
        self.queue.push(line.into());
    }
}

struct Lines(Line);

impl Deliver for Lines {
    fn deliver<'a>(&'a self, batch: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>> {
        Box::pin(async move { self.0.send(&[&batch.concat()]).await })
    }
}
