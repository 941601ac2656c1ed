//! Which limits a call falls under, and how much of each it uses.

use gibbon_limit::{Period, WindowKind, WindowLimit};
use gibbon_llm::canonical::Usage;

use super::config::{Calendar, Condition, Config, Count, Limit, OnLimit, WindowType};
use crate::matching::{Asked, Subject, is_one_of, value};

/// Money is counted in millionths: counts are whole numbers.
const MONEY: f64 = 1e6;
const DAY_MS: u64 = 86_400_000;
/// As windows are of one size each, a month of the calendar is a window of this size in a time of its own.
const MONTH_MS: u64 = 31 * DAY_MS;

/// Limits that share a count.
#[derive(Debug)]
pub struct Rule {
    /// As headers and messages name it: a provider, or `policy-1`.
    pub name: String,
    /// The provider it is for, in a configuration by provider.
    provider: Option<String>,
    conditions: Vec<Condition>,
    pub count: Count,
    pub kind: WindowKind,
    pub limits: Vec<WindowLimit>,
    pub warns: bool,
    /// Its window is the calendar's month.
    monthly: bool,
}

/// Whether a rule holds for a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Held {
    /// It does: the part of the key that it adds.
    Yes(String),
    No,
    /// That depends on the provider or the model, which are not known yet.
    Open,
}

/// The rules of a configuration.
///
/// # Errors
/// What cannot be enforced.
pub fn rules(config: &Config) -> Result<Vec<Rule>, String> {
    let mut rules = Vec::new();
    for provider in config.llm_providers.iter().flatten() {
        if matches!(provider.name.as_str(), "customCost" | "requestPrompt") {
            return Err(format!("'{}' needs a function in Lua, which is not available", provider.name));
        }
        if provider.limit.len() != provider.window_size.len() || provider.limit.is_empty() {
            return Err(format!("provider '{}': as many limits as windows are needed", provider.name));
        }
        let pairs = provider.limit.iter().zip(&provider.window_size);
        let count = config.tokens_count_strategy;
        rules.push(Rule {
            name: provider.name.clone(),
            provider: Some(provider.name.clone()),
            conditions: Vec::new(),
            count,
            kind: kind(config.window_type),
            limits: pairs.map(|(limit, seconds)| window(*limit, *seconds, count)).collect(),
            warns: false,
            monthly: false,
        });
    }
    for (number, policy) in config.policies.iter().flatten().enumerate() {
        if policy.id.is_some() {
            return Err("policies kept elsewhere ('id') are not available".to_owned());
        }
        let mut limits: Vec<&Limit> = policy.limits.iter().flatten().collect();
        while let Some(&first) = limits.first() {
            let alike = |l: &&Limit| (l.tokens_count_strategy, l.period) == (first.tokens_count_strategy, first.period);
            let (own, others): (Vec<_>, Vec<_>) = limits.into_iter().partition(alike);
            limits = others;
            rules.push(Rule {
                name: format!("policy-{}", number + 1),
                provider: None,
                conditions: policy.r#match.clone().unwrap_or_default(),
                count: first.tokens_count_strategy,
                kind: if first.period.is_some() { WindowKind::Fixed } else { kind(policy.window_type) },
                limits: own.iter().map(|l| window(l.limit, seconds(l), l.tokens_count_strategy)).collect(),
                warns: policy.on_limit == Some(OnLimit::Warn),
                monthly: first.period == Some(Calendar::Month),
            });
        }
    }
    if rules.is_empty() { Err("there must be a limit".to_owned()) } else { Ok(rules) }
}

fn kind(window_type: WindowType) -> WindowKind {
    match window_type {
        WindowType::Fixed => WindowKind::Fixed,
        WindowType::Sliding => WindowKind::Sliding,
    }
}

fn window(limit: f64, seconds: f64, count: Count) -> WindowLimit {
    let unit = if count == Count::Cost { MONEY } else { 1.0 };
    WindowLimit { limit: limit * unit, size_ms: ((seconds * 1000.0) as u64).max(1) }
}

fn seconds(limit: &Limit) -> f64 {
    match limit.period {
        None => limit.window_size as f64,
        Some(Calendar::Day) => (DAY_MS / 1000) as f64,
        Some(Calendar::Month) => (MONTH_MS / 1000) as f64,
    }
}

impl Rule {
    /// The time by which windows are told apart. Months are 28 to 31 days long: each begins in another window of 31.
    pub fn time(&self, now_ms: u64) -> u64 {
        if !self.monthly {
            return now_ms;
        }
        let start = Period::Month.start_ms(now_ms);
        start / (28 * DAY_MS) * MONTH_MS + (now_ms - start)
    }

    /// Seconds until a window begins anew, if the calendar says so.
    pub fn reset_seconds(&self, now_ms: u64) -> Option<u64> {
        let next = || Period::Month.next_start_ms(Period::Month.start_ms(now_ms));
        self.monthly.then(|| next().saturating_sub(now_ms).div_ceil(1000).max(1))
    }

    /// Whether this is the policy of whatever no other matches.
    pub fn is_fallback(&self) -> bool {
        self.provider.is_none() && self.conditions.is_empty()
    }

    /// Whether it holds for what is asked. Before the call neither the provider is known nor, unless the client names
    /// it, the model. Limits by provider are looked at then all the same, as in Kong.
    pub fn held(&self, asked: &Asked<'_>) -> Held {
        if let (Some(want), Some(have)) = (self.provider.as_deref(), asked.provider)
            && want != have
        {
            return Held::No;
        }
        let mut open = false;
        let mut key = format!("{}/{:?}", self.name, self.count);
        if self.monthly {
            key.push_str("/month");
        }
        for condition in &self.conditions {
            let unknown = match condition.r#type {
                Subject::Provider => asked.provider.is_none(),
                Subject::Model => asked.model.is_none(),
                _ => false,
            };
            let name = condition.key.as_deref();
            let wanted = condition.values.as_deref().filter(|v| !v.is_empty());
            if unknown {
                open |= wanted.is_some() || condition.partition_by;
                continue;
            }
            if wanted.is_some_and(|wanted| !is_one_of(asked, condition.r#type, name, wanted)) {
                return Held::No;
            }
            if condition.partition_by {
                // Who has none of it has no counts of his own.
                let Some(part) = value(asked, condition.r#type, name) else { return Held::No };
                key.push('\0');
                key.push_str(&part);
            }
        }
        if open { Held::Open } else { Held::Yes(key) }
    }

    /// How much of this limit a call used.
    pub fn amount(&self, usage: &Usage, cost: f64) -> u64 {
        match self.count {
            Count::TotalTokens => usage.total(),
            Count::PromptTokens => usage.input,
            Count::CompletionTokens => usage.output,
            Count::Cost => (cost * MONEY).round().max(0.0) as u64,
        }
    }

    /// A figure of this limit as people read it.
    pub fn shown(&self, figure: f64) -> String {
        match self.count {
            Count::Cost => format!("{}", (figure / MONEY * 1e6).floor() / 1e6),
            _ => format!("{}", figure.floor()),
        }
    }
}

/// A window's name in headers.
pub fn window_name(size_ms: u64) -> String {
    match size_ms {
        1_000 => "second".to_owned(),
        60_000 => "minute".to_owned(),
        3_600_000 => "hour".to_owned(),
        86_400_000 => "day".to_owned(),
        2_592_000_000 | MONTH_MS => "month".to_owned(),
        31_536_000_000 => "year".to_owned(),
        other => format!("{}", other as f64 / 1000.0),
    }
}
