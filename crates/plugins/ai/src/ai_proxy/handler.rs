//! Reads the request, and puts the tries of its one target into the exchange.

use std::sync::Arc;

use gibbon_pdk::{Build, BuildError, Exchange, Flow, Handler, Host, Step, Timeouts};

use super::config::Config;
use crate::attempts::{Calls, Choose, Failing};
use crate::call::Call;
use crate::config::{LlmFormat, Streaming};
use crate::incoming::{Incoming, Refusal, limit_body, whole_body};
use crate::target::Target;
use crate::telemetry;

/// The plugin with one configuration.
pub struct AiProxy {
    plugin_id: String,
    target: Arc<Target>,
    format: LlmFormat,
    streaming: Streaming,
    limit: u64,
    name_header: bool,
}

impl AiProxy {
    /// # Errors
    /// What of the configuration cannot be made to work.
    pub fn new(config: &Config, build: &Build<'_>) -> Result<Self, BuildError> {
        Ok(AiProxy {
            plugin_id: build.plugin_id.to_string(),
            target: Arc::new(Target::new(super::PART.name, &config.target(), build)?),
            format: config.llm_format,
            streaming: config.response_streaming,
            limit: config.max_request_body_size,
            name_header: config.model_name_header,
        })
    }

    fn take(&self, x: &mut Exchange) -> Flow {
        let body = match whole_body(x, self.limit) {
            Ok(body) => body,
            Err(fault) => return fault.into(),
        };
        let mut call = Call {
            plugin_id: self.plugin_id.clone(),
            provider: self.target.provider(),
            logging: self.target.logging,
            ..Call::default()
        };
        if let Some(model) = self.target.model.as_ref().and_then(|m| m.fill(x).ok()) {
            call.model = model;
        }
        if call.logging.log_payloads {
            call.request_payload = Some(String::from_utf8_lossy(&body).into_owned());
        }
        let read = match self.target.operation {
            Some(operation) => Incoming::read(x, body, self.format, operation, self.streaming),
            None => Ok(Incoming::as_it_is(body, self.format)),
        };
        let incoming = match read {
            Ok(incoming) => incoming,
            Err(refusal) => {
                x.slots.set(call);
                return refusal.reply(self.format).into();
            }
        };
        call.stream = incoming.stream;
        call.prompt = Some(incoming.clone());
        x.slots.set(call);
        let retries = x.destination.retries.or(x.service().map(|s| s.retries)).unwrap_or(0);
        let only = Only { target: Arc::clone(&self.target), left: retries };
        x.attempts = Some(Box::new(Calls::new(incoming, Box::new(only), self.name_header, true)));
        Flow::Next
    }
}

impl Handler for AiProxy {
    fn access<'a>(&'a self, x: &'a mut Exchange, _host: &'a Host) -> Step<'a> {
        if x.body.is_unread() {
            limit_body(x, self.limit);
            return Flow::ReadBody.into();
        }
        self.take(x).into()
    }

    fn log(&self, x: &mut Exchange, _host: &Host) {
        telemetry::log(x, telemetry::PROXY);
    }
}

/// The choice of one.
#[derive(Debug)]
struct Only {
    target: Arc<Target>,
    left: u16,
}

impl Choose for Only {
    fn next(&mut self, _x: &mut Exchange, _host: &Host) -> Result<Arc<Target>, Refusal> {
        Ok(Arc::clone(&self.target))
    }

    /// As the service's retries: only what cannot have been seen by the provider is sent again.
    fn may_follow(&self, failing: Failing, sent: bool) -> bool {
        self.left > 0 && !sent && matches!(failing, Failing::Error | Failing::Timeout)
    }

    fn failed(&mut self, _failing: Failing, _rest: Option<u64>, _host: &Host) {
        self.left = self.left.saturating_sub(1);
    }

    fn pass_over(&mut self) -> bool {
        false
    }

    fn timeouts(&self) -> Option<Timeouts> {
        None
    }
}
