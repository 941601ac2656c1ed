//! Which limits a call falls under, and how much of each it uses.

use gibbon_limit::{WindowKind, WindowLimit};
use gibbon_llm::canonical::Usage;

use super::config::{Condition, Config, Count, OnLimit, WindowType};
use crate::matching::{Asked, Subject, is_one_of, value};

/// Money is counted in millionths: counts are whole numbers.
const MONEY: f64 = 1e6;

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
        });
    }
    for (number, policy) in config.policies.iter().flatten().enumerate() {
        if policy.id.is_some() {
            return Err("policies kept elsewhere ('id') are not available".to_owned());
        }
        let limits = policy.limits.as_deref().unwrap_or_default();
        for count in [Count::TotalTokens, Count::PromptTokens, Count::CompletionTokens, Count::Cost] {
            let own = limits.iter().filter(|l| l.tokens_count_strategy == count);
            let windows: Vec<WindowLimit> = own.map(|l| window(l.limit, l.window_size as f64, count)).collect();
            if !windows.is_empty() {
                rules.push(Rule {
                    name: format!("policy-{}", number + 1),
                    provider: None,
                    conditions: policy.r#match.clone().unwrap_or_default(),
                    count,
                    kind: kind(policy.window_type),
                    limits: windows,
                    warns: policy.on_limit == Some(OnLimit::Warn),
                });
            }
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

impl Rule {
    /// Whether this is the policy of whatever no other matches.
    pub fn is_fallback(&self) -> bool {
        self.provider.is_none() && self.conditions.is_empty()
    }

    /// The part of the key that this rule adds, if it holds for what is asked. What is not known yet (before the call:
    /// the provider, and the model unless the client names it) is taken to hold.
    pub fn key(&self, asked: &Asked<'_>) -> Option<String> {
        if let (Some(want), Some(have)) = (self.provider.as_deref(), asked.provider)
            && want != have
        {
            return None;
        }
        let mut key = format!("{}/{:?}", self.name, self.count);
        for condition in &self.conditions {
            let unknown = match condition.r#type {
                Subject::Provider => asked.provider.is_none(),
                Subject::Model => asked.model.is_none(),
                _ => false,
            };
            let name = condition.key.as_deref();
            let wanted = condition.values.as_deref().filter(|v| !v.is_empty());
            if !unknown && wanted.is_some_and(|wanted| !is_one_of(asked, condition.r#type, name, wanted)) {
                return None;
            }
            if condition.partition_by {
                // Counts of their own are found only when it is known whose.
                let part = value(asked, condition.r#type, name)?;
                key.push('\0');
                key.push_str(&part);
            }
        }
        Some(key)
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
        2_592_000_000 => "month".to_owned(),
        31_536_000_000 => "year".to_owned(),
        other => format!("{}", other as f64 / 1000.0),
    }
}
