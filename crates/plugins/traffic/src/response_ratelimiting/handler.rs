//! Before: what is left. After: what the answer costs, and whether it may leave.

use bytes::Bytes;
use gibbon_message::Headers;
use gibbon_pdk::{Build, BuildError, Exchange, Fault, Flow, Handler, Host, Reply, ResponseSource, Step};

use super::config::{Config, LimitBy};
use super::increments;
use super::usage::{self, Counting, Named, Usage};
use crate::counters::{Keys, Outside, Who};
use crate::numbers::set_number;

pub struct ResponseLimiter {
    header_name: String,
    limit_by: LimitBy,
    named: Vec<Named>,
    keys: Keys,
    counting: Counting,
    fault_tolerant: bool,
    block_first: bool,
    hide_headers: bool,
}

impl ResponseLimiter {
    /// # Errors
    /// A policy that this node cannot follow.
    pub fn new(config: Config, build: &Build<'_>) -> Result<Self, BuildError> {
        let counting = Counting::new(&config, build)?;
        let named = |(name, limits): (String, super::config::NamedLimits)| Named { name, limits: limits.limits() };
        Ok(ResponseLimiter {
            header_name: config.header_name,
            limit_by: config.limit_by,
            keys: Keys::new("response-ratelimit", build),
            counting,
            fault_tolerant: config.fault_tolerant,
            block_first: config.block_on_first_violation,
            hide_headers: config.hide_client_headers,
            named: config.limits.into_iter().map(named).collect(),
        })
    }

    fn who(&self, x: &Exchange) -> Who<'static> {
        let found = match self.limit_by {
            LimitBy::Consumer => Who::consumer(x),
            LimitBy::Credential => Who::credential(x),
            LimitBy::Ip => None,
        };
        found.unwrap_or_else(|| Who::address(x))
    }

    /// Tells what is left of each limit, or refuses.
    fn begin(&self, x: &mut Exchange, usage: Usage) -> Flow {
        for (named, decision) in self.named.iter().zip(&usage.decisions) {
            if self.block_first && !decision.is_allowed() {
                return Reply::error_with(429, format!("API rate limit exceeded for '{}'", named.name)).into();
            }
            let least = decision.usages().map(|usage| usage.remaining()).fold(f64::INFINITY, f64::min);
            set_number(&mut x.added_headers, &format!("X-RateLimit-Remaining-{}", named.name), least.max(0.0));
        }
        x.slots.set(usage);
        Flow::Next
    }

    async fn look_outside(&self, outside: &Outside, x: &mut Exchange, now_ms: u64) -> Flow {
        let key = self.keys.shared(&self.who(x));
        match usage::outside(outside, &self.named, key, now_ms).await {
            Ok(usage) => self.begin(x, usage),
            Err(error) if self.fault_tolerant => {
                tracing::error!(request_id = %x.id, "failed to get usage: {error}");
                Flow::Next
            }
            Err(error) => Fault::plugin(format!("failed to get usage: {error}")).into(),
        }
    }

    /// The headers of each limit and period, after this answer.
    fn show(&self, headers: &mut Headers, usage: &Usage) {
        for ((named, decision), cost) in self.named.iter().zip(&usage.decisions).zip(&usage.costs) {
            for used in decision.usages() {
                let what = format!("{}-{}", named.name, used.period.as_str());
                set_number(headers, &format!("X-RateLimit-Limit-{what}"), used.limit);
                let remaining = (used.remaining() - *cost as f64).max(0.0);
                set_number(headers, &format!("X-RateLimit-Remaining-{what}"), remaining);
            }
        }
    }
}

impl Handler for ResponseLimiter {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        let now_ms = host.clock.wall_ns() / 1_000_000;
        match &self.counting {
            Counting::Local(windows) => {
                let usage = usage::here(windows, &self.named, &self.keys, &self.who(x), now_ms);
                self.begin(x, usage).into()
            }
            Counting::Shared(outside, _) => Step::Later(Box::pin(self.look_outside(outside, x, now_ms))),
        }
    }

    fn header_filter(&self, x: &mut Exchange, _: &Host) {
        if x.response_source != ResponseSource::Service {
            return;
        }
        let Some(mut usage) = x.slots.take::<Usage>() else {
            // Uncounted, for lack of counts; what things cost is still nobody's business.
            x.response.headers.remove(&self.header_name);
            return;
        };
        let names = self.named.iter().map(|named| named.name.as_str());
        increments::read(&x.response.headers, &self.header_name, names, &mut usage.costs);
        if !self.hide_headers {
            self.show(&mut x.response.headers, &usage);
        }
        x.response.headers.remove(&self.header_name);
        let used_up =
            usage.decisions.iter().zip(&usage.costs).any(|(decision, cost)| *cost > 0 && !decision.is_allowed());
        if used_up {
            // Nothing is handed out, so nothing is counted.
            x.response.status = 429;
            x.replacement_body = Some(Bytes::new());
        } else {
            // Before the answer leaves: a client that asks again at once must find it counted.
            self.counting.count(&self.named, &usage);
        }
    }
}
