//! Looks before the call, counts after it.

use std::sync::Arc;

use gibbon_llm::canonical::Usage;
use gibbon_llm::json::scan;
use gibbon_llm::pass;
use gibbon_llm::price::Price;
use gibbon_pdk::{Build, BuildError, Exchange, Flow, Handler, Host, LocalFuture, Reply, Step};
use serde_json::json;

use super::config::{Config, Count, Identifier, Strategy};
use super::counts::{Counts, Use};
use super::rules::{Held, Rule, rules, window_name};
use crate::call::Call;
use crate::gate::{Admit, Gate};
use crate::incoming::{limit_body, whole_body};
use crate::matching::Asked;

/// Answer tokens that are reserved for a request that bounds its answer nowhere.
const USUAL_ANSWER: u64 = 1024;
/// The longest request that is looked at for the model it names.
const LOOKED_AT: u64 = 64 << 20;

/// The plugin with one configuration.
pub struct TokenLimiter(Arc<Limits>);

/// Limits, and where the counts are that they hold for.
struct Limits {
    config: Config,
    rules: Vec<Rule>,
    counts: Counts,
}

/// What a call is counted by, and what was taken for it before it was made.
#[derive(Debug)]
struct Taken {
    who: String,
    /// As the client names it.
    model: Option<String>,
    /// Tokens that the call may come to use, with `reserve`.
    estimate: Option<Usage>,
    at_ms: u64,
    /// Rules and keys that were looked at.
    seen: Vec<(usize, String)>,
    /// Rules and keys that something was taken from.
    amounts: Vec<(usize, String, u64)>,
}

/// What is known of a call.
struct Known<'a> {
    model: Option<&'a str>,
    provider: Option<&'a str>,
}

/// Which rules hold, with their keys.
struct Holding {
    rules: Vec<(usize, String)>,
    /// More may, once provider, model and price are known.
    open: bool,
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
        let rules = rules(&config).map_err(refused)?;
        let counts = Counts::new(&namespace, redis.as_ref(), build);
        Ok(TokenLimiter(Arc::new(Limits { config, rules, counts })))
    }
}

impl Limits {
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

    /// The rules that hold for a call. The fallback holds when no other does.
    fn holding(&self, x: &Exchange, who: &str, known: &Known<'_>) -> Holding {
        let asked = Asked { x, model: known.model, provider: known.provider };
        let held: Vec<(usize, &Rule, Held)> =
            self.rules.iter().enumerate().map(|(number, rule)| (number, rule, rule.held(&asked))).collect();
        let mut open = held.iter().any(|(_, _, held)| *held == Held::Open);
        let keys = |fallback: bool| {
            let of = held.iter().filter(move |(_, rule, _)| rule.is_fallback() == fallback);
            let keyed = |(number, _, held): &(usize, &Rule, Held)| match held {
                Held::Yes(key) => Some((*number, format!("{who}\0{key}"))),
                Held::No | Held::Open => None,
            };
            of.filter_map(keyed).collect::<Vec<_>>()
        };
        let mut rules = keys(false);
        if rules.is_empty() && !open {
            rules = keys(true);
        }
        // Money is reserved by a price, so that the price must be known.
        if self.reserves() && known.provider.is_none() {
            let money = |number: usize| self.rules.get(number).is_some_and(|rule| rule.count == Count::Cost);
            open |= rules.iter().any(|(number, _)| money(*number));
            rules.retain(|(number, _)| !money(*number));
        }
        Holding { rules, open }
    }

    fn reserves(&self) -> bool {
        self.config.reserve == Some(true)
    }

    /// Before anything is known of the call but what the client says.
    async fn check(self: &Arc<Self>, x: &mut Exchange, host: &Host) -> Flow {
        let body = match whole_body(x, LOOKED_AT) {
            Ok(body) => body,
            Err(fault) => return fault.into(),
        };
        let peek = pass::peek(&body).unwrap_or_default();
        let mut taken = Taken {
            who: self.who(x),
            model: peek.model.as_deref().map(str::to_owned),
            estimate: self.reserves().then(|| estimate(&body)),
            at_ms: host.clock.wall_ns() / 1_000_000,
            seen: Vec::new(),
            amounts: Vec::new(),
        };
        let known = Known { model: taken.model.as_deref(), provider: None };
        let holding = self.holding(x, &taken.who, &known);
        if let Some(reply) = self.take(x, host, &mut taken, holding.rules, None).await {
            return Flow::Reply(Box::new(reply));
        }
        x.slots.set(taken);
        if holding.open {
            let admit: Arc<dyn Admit> = Arc::clone(self) as _;
            x.slots.set(Gate(admit));
        }
        Flow::Next
    }

    /// Takes what the call may use from each limit that holds, or only looks; what the client gets if one is reached.
    async fn take(
        &self,
        x: &mut Exchange,
        host: &Host,
        taken: &mut Taken,
        holding: Vec<(usize, String)>,
        price: Option<&Price>,
    ) -> Option<Reply> {
        let mut exceeded: Vec<(&str, u64)> = Vec::new();
        let (before, seen_before) = (taken.amounts.len(), taken.seen.len());
        for (number, key) in holding {
            let Some(rule) = self.rules.get(number) else { continue };
            let amount =
                taken.estimate.map_or(0, |usage| rule.amount(&usage, price.map_or(0.0, |p| p.cost(&usage, None))));
            let now = rule.time(taken.at_ms);
            let mut uses = self.counts.take(&key, &rule.limits, rule.kind, amount, now).await;
            if let Some(reset) = rule.reset_seconds(taken.at_ms) {
                uses.iter_mut().for_each(|u| u.reset_seconds = reset);
            }
            let over = |u: &&Use| if amount > 0 { u.rate > u.limit.limit } else { u.rate >= u.limit.limit };
            self.show(x, rule, &uses);
            match uses.iter().filter(over).map(|u| u.reset_seconds).max() {
                Some(_) if rule.warns => x.added_headers.set("X-AI-RateLimit-Warning", &rule.name),
                Some(reset) => exceeded.push((&rule.name, reset)),
                None if amount > 0 => taken.amounts.push((number, key.clone(), amount)),
                None => {}
            }
            taken.seen.push((number, key));
        }
        if exceeded.is_empty() {
            return None;
        }
        // Asked again, the same target is looked at again.
        taken.seen.truncate(seen_before);
        for (number, key, amount) in taken.amounts.drain(before..) {
            self.settle(number, &key, 0, amount, taken.at_ms, taken.at_ms);
        }
        Some(self.refusal(x, &exceeded, host))
    }

    /// Once a target is chosen: what could not be looked at before.
    async fn admit_target(&self, x: &mut Exchange, host: &Host) -> Option<Reply> {
        let call = x.slots.get::<Call>()?;
        let (model, provider, price) = (call.model.clone(), call.provider, call.price().cloned());
        let mut taken = x.slots.take::<Taken>()?;
        let known = Known { model: taken.model.as_deref().or(Some(&model)), provider: Some(provider) };
        let mut holding = self.holding(x, &taken.who, &known).rules;
        holding.retain(|rule| !taken.seen.contains(rule));
        let refused = self.take(x, host, &mut taken, holding, price.as_ref()).await;
        x.slots.set(taken);
        refused
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

    fn refusal(&self, x: &mut Exchange, exceeded: &[(&str, u64)], host: &Host) -> Reply {
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
        reply.header("Retry-After", wait.to_string())
    }

    /// Counts what a call used, of which `before` was taken at `at_ms`.
    fn settle(&self, number: usize, key: &str, used: u64, before: u64, at_ms: u64, now_ms: u64) {
        let Some(rule) = self.rules.get(number) else { return };
        let whole = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
        let by = whole(used) - whole(before);
        // What was taken is put right in the window that it was taken from.
        let time = if before > 0 { at_ms } else { now_ms };
        if by != 0 {
            self.counts.settle(key, &rule.limits, by, rule.time(time));
        }
    }

    /// Counts a call that is over.
    fn conclude(&self, x: &Exchange, taken: Taken, now_ms: u64) {
        let mut left = taken.amounts;
        if let Some(call) = x.slots.get::<Call>().filter(|call| call.answered) {
            let (usage, cost) = (call.usage(), call.cost());
            let model = taken.model.as_deref().or(Some(&call.model));
            let known = Known { model, provider: Some(call.provider) };
            for (number, key) in self.holding(x, &taken.who, &known).rules {
                let Some(rule) = self.rules.get(number) else { continue };
                let at = left.iter().position(|(n, k, _)| *n == number && *k == key);
                let before = at.map_or(0, |at| left.swap_remove(at).2);
                self.settle(number, &key, rule.amount(&usage, cost), before, taken.at_ms, now_ms);
            }
        }
        for (number, key, amount) in left {
            self.settle(number, &key, 0, amount, taken.at_ms, now_ms);
        }
    }
}

impl Admit for Limits {
    fn admit<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> LocalFuture<'a, Option<Reply>> {
        Box::pin(self.admit_target(x, host))
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
        Step::Later(Box::pin(self.0.check(x, host)))
    }

    fn log(&self, x: &mut Exchange, host: &Host) {
        if let Some(taken) = x.slots.take::<Taken>() {
            self.0.conclude(x, taken, host.clock.wall_ns() / 1_000_000);
        }
    }
}
