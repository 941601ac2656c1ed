//! Who a request counts for, the decision, and what the client is told of it.

use std::time::Duration;

use gibbon_limit::{Decision, FixedWindows, Limits, Seat};
use gibbon_message::uri;
use gibbon_pdk::{Build, BuildError, Exchange, Fault, Flow, Handler, Host, Reply, Step};

use super::config::{Config, LimitBy, OnLimit};
use super::delay::{Delay, Held};
use super::headers;
use super::policy::{Counting, Shared};
use crate::counters::{CounterError, Keys, Who};
use crate::numbers::set_count;

pub struct RateLimiter {
    limits: Limits,
    limit_by: LimitBy,
    header_name: String,
    path: String,
    keys: Keys,
    counting: Counting,
    delay: Option<Delay>,
    fault_tolerant: bool,
    hide_headers: bool,
    refusal: Reply,
}

impl RateLimiter {
    /// # Errors
    /// A policy that this node cannot follow.
    pub fn new(config: Config, build: &Build<'_>) -> Result<Self, BuildError> {
        let delay = (config.on_limit == Some(OnLimit::Delay)).then(|| Delay::new(&config, build));
        Ok(RateLimiter {
            limits: config.limits(),
            limit_by: config.limit_by,
            keys: Keys::new("ratelimit", build),
            counting: Counting::new(&config, delay.is_some(), build)?,
            delay,
            fault_tolerant: config.fault_tolerant,
            hide_headers: config.hide_client_headers,
            refusal: Reply::error_with(config.error_code.clamp(100.0, 999.0) as u16, config.error_message),
            header_name: config.header_name.unwrap_or_default(),
            path: config.path.unwrap_or_default(),
        })
    }

    fn who<'x>(&'x self, x: &'x Exchange) -> Who<'x> {
        let found = match self.limit_by {
            LimitBy::Consumer => Who::consumer(x),
            LimitBy::Credential => Who::credential(x),
            LimitBy::Service => x.service().map(|service| Who::Id(service.id)),
            LimitBy::Header => x.request.headers.get(&self.header_name).map(Who::Text),
            // As configured, not as sent: another spelling of the path is the same count.
            LimitBy::Path => self.is_counted_path(x).then_some(Who::Text(self.path.as_bytes())),
            LimitBy::Ip => None,
        };
        found.unwrap_or_else(|| Who::address(x))
    }

    fn is_counted_path(&self, x: &Exchange) -> bool {
        *uri::normalize(x.request.path()) == *self.path.as_bytes()
    }

    /// Shows a decision and ends the step with it.
    fn conclude(&self, x: &mut Exchange, decision: &Decision) -> Flow {
        if !self.hide_headers {
            headers::show(&mut x.added_headers, decision);
        }
        if decision.is_allowed() {
            return Flow::Next;
        }
        let mut reply = self.refusal.clone();
        if !self.hide_headers
            && let Some(summary) = decision.summary()
        {
            set_count(&mut reply.headers, "Retry-After", summary.reset_seconds);
        }
        reply.into()
    }

    fn decide_here<'a>(&'a self, windows: &'a FixedWindows, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        let now_ms = host.clock.wall_ns() / 1_000_000;
        let key = self.keys.local(&self.who(x), "");
        let decision = windows.admit(&key, &self.limits, 1, now_ms);
        let Some(delay) = self.delay.as_ref().filter(|_| !decision.is_allowed()) else {
            return self.conclude(x, &decision).into();
        };
        match delay.hold(decision, windows, &key, &self.limits, now_ms) {
            Held::For(ms, seat) => Step::Later(Box::pin(self.hold_back(windows, key, x, host, ms, seat))),
            Held::Refused(decision) | Held::Admitted(decision) => self.conclude(x, &decision).into(),
        }
    }

    async fn hold_back(
        &self,
        windows: &FixedWindows,
        key: crate::counters::LocalKey,
        x: &mut Exchange,
        host: &Host,
        ms: u64,
        seat: Seat,
    ) -> Flow {
        host.clock.sleep(Duration::from_millis(ms)).await;
        drop(seat);
        let now_ms = host.clock.wall_ns() / 1_000_000;
        // This request is counted already; the client is told as if it were decided now.
        let counted = windows.usage(&key, &self.limits, now_ms);
        let before = |period| {
            counted.usages().find(|usage| usage.period == period).map_or(0, |usage| usage.used.saturating_sub(1))
        };
        let mut decision = Decision::of(&self.limits, before, now_ms);
        decision.stop = None;
        self.conclude(x, &decision)
    }

    /// Counts that are reconciled now and then decide at once, except for keys that are new to this node.
    fn decide_by_what_is_known(&self, shared: &Shared, x: &Exchange, host: &Host) -> Option<Decision> {
        let Shared::Synced(synced) = shared else { return None };
        let now_ms = host.clock.wall_ns() / 1_000_000;
        let decision = synced.admit(&self.keys.shared(&self.who(x)), &self.limits, now_ms)?;
        (decision.is_allowed() || self.delay.is_none()).then_some(decision)
    }

    async fn decide_outside(&self, shared: &Shared, x: &mut Exchange, host: &Host) -> Flow {
        let key = self.keys.shared(&self.who(x));
        match self.ask(shared, &key, host).await {
            Ok(decision) => self.conclude(x, &decision),
            Err(error) if self.fault_tolerant => {
                tracing::error!(request_id = %x.id, "failed to get usage: {error}");
                Flow::Next
            }
            Err(error) => Fault::plugin(format!("failed to get usage: {error}")).into(),
        }
    }

    async fn ask(&self, shared: &Shared, key: &str, host: &Host) -> Result<Decision, CounterError> {
        let now_ms = host.clock.wall_ns() / 1_000_000;
        let decision = shared.admit(key, &self.limits, now_ms).await?;
        match &self.delay {
            Some(delay) if !decision.is_allowed() => {
                delay.wait_for_shared(decision, shared, key, &self.limits, &*host.clock).await
            }
            _ => Ok(decision),
        }
    }
}

impl Handler for RateLimiter {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        match &self.counting {
            Counting::Local(windows) => self.decide_here(windows, x, host),
            Counting::Shared(shared) => match self.decide_by_what_is_known(shared, x, host) {
                Some(decision) => self.conclude(x, &decision).into(),
                None => Step::Later(Box::pin(self.decide_outside(shared, x, host))),
            },
        }
    }
}
