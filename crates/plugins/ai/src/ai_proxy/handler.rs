//! Puts the tries of its one target into the exchange.

use std::sync::Arc;

use gibbon_pdk::{Build, BuildError, Exchange, Flow, Handler, Host, Step, Timeouts};

use super::config::Config;
use crate::attempts::{Choose, Failing};
use crate::config::Clients;
use crate::entrance::Entrance;
use crate::incoming::Refusal;
use crate::target::Target;
use crate::telemetry;

/// The plugin with one configuration.
pub struct AiProxy {
    target: Arc<Target>,
    entrance: Entrance,
}

impl AiProxy {
    /// # Errors
    /// What of the configuration cannot be made to work.
    pub fn new(config: &Config, clients: &Clients, build: &Build<'_>) -> Result<Self, BuildError> {
        let name = super::PART.name;
        let target = Arc::new(Target::new(name, &config.target(), build)?);
        let entrance = Entrance::new(name, clients, &target, true, build)?;
        Ok(AiProxy { target, entrance })
    }

    fn take(&self, x: &mut Exchange) -> Flow {
        if let Some(flow) = self.entrance.before_body(x, std::iter::once(&self.target)) {
            return flow;
        }
        self.entrance.take(x, &self.target, |x, _| {
            let left = x.destination.retries.or(x.service().map(|s| s.retries)).unwrap_or(0);
            Ok(Box::new(Only { target: Arc::clone(&self.target), left }))
        })
    }
}

impl Handler for AiProxy {
    fn access<'a>(&'a self, x: &'a mut Exchange, _host: &'a Host) -> Step<'a> {
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
