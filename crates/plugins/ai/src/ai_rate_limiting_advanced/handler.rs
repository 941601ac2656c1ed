//! Looks before the call, counts after it.

use std::sync::Arc;

use gibbon_llm::canonical::Usage;
use gibbon_llm::json::scan;
use gibbon_llm::pass;
use gibbon_pdk::{Build, BuildError, Exchange, Flow, Handler, Host, Reply, Step};
use serde_json::json;

use super::config::{Config, Count, Identifier, Strategy};
use super::counts::{Counts, Use};
use super::rules::{Rule, rules, window_name};
use crate::call::Call;
use crate::incoming::{limit_body, whole_body};
use crate::matching::Asked;

/// Answer tokens that are reserved for a request that bounds its answer nowhere.
const USUAL_ANSWER: u64 = 1024;
/// The longest request that is looked at for the model it names.
const LOOKED_AT: u64 = 64 << 20;

/// The plugin with one configuration.
pub struct TokenLimiter {
    config: Config,
    rules: Vec<Rule>,
    counts: Arc<Counts>,
}

/// What was taken for a call before it: rule, key and amount. Also tells the log phase who it was.
#[derive(Debug)]
struct Taken {
    who: String,
    model: Option<String>,
    amounts: Vec<(usize, String, u64)>,
}

impl TokenLimiter {
    /// # Errors
    /// What of the configuration cannot be enforced.
    pub fn new(config: Config, build: &Build<'_>) -> Result<Self, BuildError> {
        let name = super::PART.name;
        let refused = |cause: String| BuildError { plugin: name.to_owned(), cause };
        if config.request_prompt_count_function.is_some() || config.custom_cost_count_function.is_some() {
            return Err(refused("functions in Lua are not available".to_owned()));
        }
        let redis = match config.strategy {
            Strategy::Local => None,
            Strategy::Redis => Some(config.redis.settings(name)?),
            Strategy::Cluster => return Err(refused("the strategy 'cluster' is not available".to_owned())),
        };
        let namespace = config.namespace.clone().unwrap_or_else(|| build.plugin_id.to_string());
        Ok(TokenLimiter {
            rules: rules(&config).map_err(refused)?,
            counts: Arc::new(Counts::new(&namespace, redis.as_ref(), build)),
            config,
        })
    }

    /// Who is told apart. Where a request has none of it, its address counts.
    fn who(&self, x: &Exchange) -> String {
        let address = || format!("ip:{}", x.client.ip);
        let found = match self.config.identifier {
            Identifier::Ip => None,
            Identifier::Consumer => {
                let consumer = x.consumer.as_ref().map(|c| format!("consumer:{}", c.id));
                consumer.or_else(|| x.credential.as_ref().map(|c| format!("credential:{}", c.id)))
            }
            Identifier::Credential => x.credential.as_ref().map(|c| format!("credential:{}", c.id)),
            Identifier::Service => x.service().map(|s| format!("service:{}", s.id)),
            Identifier::ConsumerGroup => {
                x.consumer_groups.as_ref().and_then(|g| g.first()).map(|g| format!("group:{}", g.id))
            }
            Identifier::Header => {
                let name = self.config.header_name.as_deref().unwrap_or_default();
                x.request.headers.get_str(name).map(|value| format!("header:{value}"))
            }
            Identifier::Path => {
                let path = self.config.path.as_deref().unwrap_or_default();
                (x.request.path() == path.as_bytes()).then(|| format!("path:{path}"))
            }
        };
        found.unwrap_or_else(address)
    }

    /// The rules that hold, with their keys. The fallback holds when no other does.
    fn holding(&self, asked: &Asked<'_>, who: &str) -> Vec<(usize, String)> {
        let keyed = |fallback: bool| {
            let rules = self.rules.iter().enumerate().filter(move |(_, r)| r.is_fallback() == fallback);
            rules.filter_map(|(n, r)| Some((n, format!("{who}\0{}", r.key(asked)?)))).collect::<Vec<_>>()
        };
        let found = keyed(false);
        if found.is_empty() { keyed(true) } else { found }
    }

    async fn check(&self, x: &mut Exchange, host: &Host) -> Flow {
        let body = match whole_body(x, LOOKED_AT) {
            Ok(body) => body,
            Err(fault) => return fault.into(),
        };
        let peek = pass::peek(&body).unwrap_or_default();
        let model = peek.model.as_deref().map(str::to_owned);
        let who = self.who(x);
        let now_ms = host.clock.wall_ns() / 1_000_000;
        let holding = self.holding(&Asked { x, model: model.as_deref(), provider: None }, &who);
        let estimate = if self.config.reserve == Some(true) { Some(estimate(&body)) } else { None };
        let mut taken = Taken { who, model, amounts: Vec::new() };
        let mut exceeded: Vec<(&str, u64)> = Vec::new();
        for (number, key) in holding {
            let Some(rule) = self.rules.get(number) else { continue };
            let cost = estimate.map_or(0, |usage| if rule.count == Count::Cost { 0 } else { rule.amount(&usage, 0.0) });
            let uses = self.counts.take(&key, &rule.limits, rule.kind, cost, now_ms).await;
            let over = |u: &&Use| if cost > 0 { u.rate > u.limit.limit } else { u.rate >= u.limit.limit };
            self.show(x, rule, &uses);
            match uses.iter().filter(over).map(|u| u.reset_seconds).max() {
                Some(_) if rule.warns => x.added_headers.set("X-AI-RateLimit-Warning", &rule.name),
                Some(reset) => exceeded.push((&rule.name, reset)),
                None if cost > 0 => taken.amounts.push((number, key, cost)),
                None => {}
            }
        }
        if exceeded.is_empty() {
            x.slots.set(taken);
            return Flow::Next;
        }
        for (number, key, amount) in &taken.amounts {
            self.give_back(*number, key, *amount, now_ms);
        }
        self.refuse(x, &exceeded, host)
    }

    fn show(&self, x: &mut Exchange, rule: &Rule, uses: &[Use]) {
        if self.config.hide_client_headers {
            return;
        }
        for u in uses {
            let window = window_name(u.limit.size_ms);
            let mut set = |what: &str, value: String| {
                x.added_headers.set(format!("X-AI-RateLimit-{what}-{window}-{}", rule.name), value);
            };
            set("Limit", rule.shown(u.limit.limit));
            set("Remaining", rule.shown((u.limit.limit - u.rate).max(0.0)));
            set("Reset", u.reset_seconds.to_string());
        }
    }

    fn refuse(&self, x: &mut Exchange, exceeded: &[(&str, u64)], host: &Host) -> Flow {
        let reset = exceeded.iter().map(|(_, reset)| *reset).max().unwrap_or(1);
        let mut names: Vec<&str> = exceeded.iter().map(|(name, _)| *name).collect();
        names.dedup();
        let message = match self.config.error_hide_providers {
            true => self.config.error_message.clone(),
            false => format!("{}{}", self.config.error_message, names.join(", ")),
        };
        let mut chance = [0; 4];
        host.random.fill(&mut chance);
        let share = f64::from(u32::from_le_bytes(chance)) / f64::from(u32::MAX);
        let wait = reset + (share * self.config.retry_after_jitter_max.max(0.0)) as u64;
        if !self.config.hide_client_headers {
            x.added_headers.set("X-AI-RateLimit-Reset", reset.to_string());
            x.added_headers.set("X-AI-RateLimit-Retry-After", wait.to_string());
        }
        let reply = Reply::json(self.config.error_code as u16, json!({"message": message}));
        reply.header("Retry-After", wait.to_string()).into()
    }

    fn give_back(&self, number: usize, key: &str, amount: u64, now_ms: u64) {
        if let Some(rule) = self.rules.get(number) {
            self.counts.settle(key, &rule.limits, -i64::try_from(amount).unwrap_or(i64::MAX), now_ms);
        }
    }
}

/// The tokens that a request may come to use: a token per four bytes of it, and the answer that it allows.
fn estimate(body: &[u8]) -> Usage {
    let bound = ["max_completion_tokens", "max_tokens", "max_output_tokens"].iter().find_map(|field| {
        let value = scan::get(body, field)?;
        std::str::from_utf8(value).ok()?.parse::<u64>().ok()
    });
    Usage::new((body.len() as u64).div_ceil(4), bound.unwrap_or(USUAL_ANSWER))
}

impl Handler for TokenLimiter {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        if x.body.is_unread() {
            limit_body(x, LOOKED_AT);
            return Flow::ReadBody.into();
        }
        Step::Later(Box::pin(self.check(x, host)))
    }

    fn log(&self, x: &mut Exchange, host: &Host) {
        let Some(taken) = x.slots.take::<Taken>() else { return };
        let now_ms = host.clock.wall_ns() / 1_000_000;
        let call = x.slots.get::<Call>().filter(|call| call.answered);
        let mut left = taken.amounts;
        if let Some(call) = call {
            let (usage, cost) = (call.usage(), call.cost());
            let model = taken.model.as_deref().or(Some(&call.model));
            let asked = Asked { x, model, provider: Some(call.provider) };
            for (number, key) in self.holding(&asked, &taken.who) {
                let Some(rule) = self.rules.get(number) else { continue };
                let at = left.iter().position(|(n, k, _)| *n == number && *k == key);
                let before = at.map_or(0, |at| left.swap_remove(at).2);
                let used = i64::try_from(rule.amount(&usage, cost)).unwrap_or(i64::MAX);
                let by = used.saturating_sub(i64::try_from(before).unwrap_or(i64::MAX));
                if by != 0 {
                    self.counts.settle(&key, &rule.limits, by, now_ms);
                }
            }
        }
        for (number, key, amount) in &left {
            self.give_back(*number, key, *amount, now_ms);
        }
    }
}
