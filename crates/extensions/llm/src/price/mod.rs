//! What a call costs: prices per million tokens, with the cached, tiered and service-dependent
//! prices that providers have, and a catalogue of them that is read from JSON.

mod catalogue;

pub use catalogue::{Catalogue, CatalogueError};

use crate::canonical::Usage;

/// Tokens that a price is for.
const UNIT: f64 = 1_000_000.0;

/// The price of a model. Prices are per million tokens, in whatever currency the catalogue is in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Price {
    /// Prompt tokens.
    pub input: f64,
    /// Answer tokens.
    pub output: f64,
    /// Prompt tokens read from a cache; as `input` if not given.
    pub cache_read: Option<f64>,
    /// Prompt tokens written to a cache; as `input` if not given.
    pub cache_write: Option<f64>,
    /// The same by how long they are kept, over `cache_write`.
    pub cache_write_ttl: Vec<(CacheTtl, f64)>,
    /// Reasoning tokens; as `output` if not given.
    pub reasoning: Option<f64>,
    /// Prompt tokens of audio; as `input` if not given.
    pub input_audio: Option<f64>,
    /// Answer tokens of audio; as `output` if not given.
    pub output_audio: Option<f64>,
    /// Factors for long prompts: the one with the highest bound below the prompt counts.
    pub context: Vec<ContextTier>,
    /// Factors by service tier: the longest name found in the provider's word counts.
    pub service: Vec<(String, f64)>,
}

/// How long cached tokens are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheTtl {
    /// Five minutes.
    FiveMinutes,
    /// An hour.
    Hour,
}

impl CacheTtl {
    /// Reads `5m` or `1h`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "5m" | "300" => Some(Self::FiveMinutes),
            "1h" | "60m" | "3600" => Some(Self::Hour),
            _ => None,
        }
    }
}

/// Factors for prompts above a bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContextTier {
    /// Prompts of more tokens than this.
    pub above: u64,
    /// On all prompt prices.
    pub input_factor: f64,
    /// On all answer prices.
    pub output_factor: f64,
}

impl Price {
    /// A price with nothing but the two usual figures.
    #[must_use]
    pub fn new(input: f64, output: f64) -> Self {
        Self { input, output, ..Self::default() }
    }

    /// What a call costs. `tier` is the provider's word for the service tier it was served in.
    #[must_use]
    pub fn cost(&self, usage: &Usage, tier: Option<&str>) -> f64 {
        let (input_factor, output_factor) = self.context_factors(usage.input);
        let input = self.input_cost(usage) * input_factor;
        let output = self.output_cost(usage) * output_factor;
        (input + output) * self.service_factor(tier) / UNIT
    }

    fn input_cost(&self, usage: &Usage) -> f64 {
        // A provider may report more cached tokens than tokens; none may be paid for twice.
        let read = usage.cache_read.min(usage.input);
        let write = usage.cache_write.min(usage.input - read);
        let audio = usage.input_audio.min(usage.input - read - write);
        let plain = usage.input - read - write - audio;
        let hour = usage.cache_write_1h.min(write);
        let write_price = |ttl| {
            let by_ttl = self.cache_write_ttl.iter().find(|(t, _)| *t == ttl).map(|(_, price)| *price);
            by_ttl.or(self.cache_write).unwrap_or(self.input)
        };
        plain as f64 * self.input
            + read as f64 * self.cache_read.unwrap_or(self.input)
            + hour as f64 * write_price(CacheTtl::Hour)
            + (write - hour) as f64 * write_price(CacheTtl::FiveMinutes)
            + audio as f64 * self.input_audio.unwrap_or(self.input)
    }

    fn output_cost(&self, usage: &Usage) -> f64 {
        let reasoning = usage.reasoning.min(usage.output);
        let audio = usage.output_audio.min(usage.output - reasoning);
        let plain = usage.output - reasoning - audio;
        plain as f64 * self.output
            + reasoning as f64 * self.reasoning.unwrap_or(self.output)
            + audio as f64 * self.output_audio.unwrap_or(self.output)
    }

    fn context_factors(&self, input: u64) -> (f64, f64) {
        let tier = self.context.iter().filter(|t| input > t.above).max_by_key(|t| t.above);
        tier.map_or((1.0, 1.0), |t| (t.input_factor, t.output_factor))
    }

    fn service_factor(&self, tier: Option<&str>) -> f64 {
        let Some(tier) = tier.map(str::to_ascii_lowercase) else { return 1.0 };
        let found = self.service.iter().filter(|(name, _)| tier.contains(&name.to_ascii_lowercase()));
        found.max_by_key(|(name, _)| name.len()).map_or(1.0, |(_, factor)| *factor)
    }
}

/// Reads a bound such as `200000`, `200k` or `1M`.
#[must_use]
pub fn parse_tokens(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, factor) = match text.chars().next_back()? {
        'k' | 'K' => (text.get(..text.len() - 1)?, 1_000),
        'm' | 'M' => (text.get(..text.len() - 1)?, 1_000_000),
        _ => (text, 1),
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn the_recorded_cost_is_computed() {
        // 11 tokens at 15 and 6 at 30 per million.
        close(Price::new(15.0, 30.0).cost(&Usage::new(11, 6), None), 0.000345);
    }

    #[test]
    fn cached_tokens_have_their_own_prices_by_kind_and_life() {
        let usage = Usage {
            input: 1000,
            output: 0,
            cache_read: 400,
            cache_write: 300,
            cache_write_1h: 100,
            ..Usage::default()
        };
        let mut price = Price::new(10.0, 0.0);
        close(price.cost(&usage, None), 0.01);
        price.cache_read = Some(1.0);
        price.cache_write = Some(12.5);
        close(price.cost(&usage, None), (300.0 * 10.0 + 400.0 + 300.0 * 12.5) / 1e6);
        price.cache_write_ttl = vec![(CacheTtl::Hour, 20.0)];
        close(price.cost(&usage, None), (300.0 * 10.0 + 400.0 + 100.0 * 20.0 + 200.0 * 12.5) / 1e6);
    }

    #[test]
    fn long_prompts_and_service_tiers_have_factors() {
        let tier = |above, f| ContextTier { above, input_factor: f, output_factor: f };
        let price = Price {
            context: vec![tier(200, 2.0), tier(100, 1.5)],
            service: vec![("flex".into(), 0.5), ("priority".into(), 2.0), ("on".into(), 9.0)],
            ..Price::new(1e6, 0.0)
        };
        let cost = |n, t| price.cost(&Usage::new(n, 0), t);
        close(cost(100, None), 100.0);
        close(cost(101, None), 151.5);
        close(cost(201, None), 402.0);
        close(cost(1, Some("Priority-1")), 2.0);
        close(cost(1, Some("FLEX")), 0.5);
        close(cost(1, Some("standard")), 1.0);
    }

    #[test]
    fn bounds_may_be_written_short() {
        for (text, n) in
            [("200000", Some(200_000)), ("200k", Some(200_000)), ("1M", Some(1_000_000)), ("x", None), ("", None)]
        {
            assert_eq!(parse_tokens(text), n, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_provider_that_lies_cannot_make_a_call_cost_less_than_nothing_or_count_a_token_twice(
            input in 0u64..1_000_000, output in 0u64..1_000_000, read: u64, write: u64, hour: u64, reasoning: u64, audio: u64,
        ) {
            let usage = Usage { input, output, cache_read: read, cache_write: write, cache_write_1h: hour, reasoning,
                input_audio: audio, output_audio: audio };
            let flat = Price { cache_read: Some(3.0), cache_write: Some(3.0), reasoning: Some(3.0), ..Price::new(3.0, 3.0) };
            let cost = flat.cost(&usage, None);
            prop_assert!((cost - (input + output) as f64 * 3.0 / 1e6).abs() < 1e-6);
        }
    }
}
