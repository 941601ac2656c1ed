//! A list of prices, read from JSON. Two shapes are read: our own, with prices per million tokens,
//! and the widespread one of a map from model to prices per single token
//! (`input_cost_per_token`, `cache_read_input_token_cost`, ...).

use super::{CacheTtl, ContextTier, Price, parse_tokens};
use crate::json::{Fields, Path};
use serde_json::Value;
use std::collections::HashMap;

/// Longer lists are refused: the widest known one has some five thousand.
const MAX_ENTRIES: usize = 200_000;

/// Prices by provider and model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalogue {
    prices: HashMap<String, Price>,
}

/// Why a catalogue was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// It is not of either shape.
    #[error(transparent)]
    Shape(#[from] crate::Error),
    /// A price cannot be one.
    #[error("{path} must be a price, 0 or more")]
    Price {
        /// Where.
        path: String,
    },
    /// It is too long.
    #[error("the catalogue has more than {MAX_ENTRIES} entries")]
    TooLong,
}

impl Catalogue {
    /// Reads a catalogue.
    ///
    /// # Errors
    /// See [`CatalogueError`]; entries without any price are left out, not refused.
    pub fn parse(json: &[u8]) -> Result<Self, CatalogueError> {
        let mut f = Fields::parse(json, "price catalogue")?;
        let mut prices = HashMap::new();
        match f.array("models")? {
            Some(models) => {
                check_length(models.len())?;
                let path = f.path("models");
                for (i, model) in models.into_iter().enumerate() {
                    let mut m = Fields::of(model, path.index(i))?;
                    let name = m.need_string("model")?;
                    let key = key(m.string("provider")?.as_deref(), &name);
                    prices.insert(key, read_own(&mut m)?);
                }
            }
            None => {
                let map = f.rest();
                check_length(map.len())?;
                for (name, value) in map {
                    let path = Path::Root;
                    let Ok(mut m) = Fields::of(value, path.key(&name)) else { continue };
                    let provider = m.lenient_string("litellm_provider").or_else(|| m.lenient_string("provider"));
                    if let Some(price) = read_per_token(&mut m)? {
                        // Names there may carry the provider already.
                        let bare = provider.as_deref().and_then(|p| name.strip_prefix(&format!("{p}/")));
                        prices.insert(key(provider.as_deref(), bare.unwrap_or(&name)), price.clone());
                        prices.entry(key(None, bare.unwrap_or(&name))).or_insert(price);
                    }
                }
            }
        }
        Ok(Self { prices })
    }

    /// The price of a model at a provider; of the model anywhere, if that is all there is.
    #[must_use]
    pub fn find(&self, provider: &str, model: &str) -> Option<&Price> {
        self.prices.get(&key(Some(provider), model)).or_else(|| self.prices.get(&key(None, model)))
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.prices.len()
    }

    /// No entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prices.is_empty()
    }
}

fn check_length(n: usize) -> Result<(), CatalogueError> {
    if n > MAX_ENTRIES { Err(CatalogueError::TooLong) } else { Ok(()) }
}

fn key(provider: Option<&str>, model: &str) -> String {
    format!("{}/{}", provider.unwrap_or_default(), model).to_ascii_lowercase()
}

fn price(f: &mut Fields<'_>, name: &str) -> Result<Option<f64>, CatalogueError> {
    let number = match f.take(name) {
        None => return Ok(None),
        Some(Value::Number(n)) => n.as_f64(),
        Some(Value::String(s)) => s.trim().parse().ok(),
        Some(_) => None,
    };
    match number.filter(|n| n.is_finite() && *n >= 0.0) {
        Some(n) => Ok(Some(n)),
        None => Err(CatalogueError::Price { path: f.path(name).to_string() }),
    }
}

fn read_own(m: &mut Fields<'_>) -> Result<Price, CatalogueError> {
    let mut read = Price {
        input: price(m, "input")?.unwrap_or(0.0),
        output: price(m, "output")?.unwrap_or(0.0),
        cache_read: price(m, "cache_read")?,
        cache_write: price(m, "cache_write")?,
        reasoning: price(m, "reasoning")?,
        input_audio: price(m, "input_audio")?,
        output_audio: price(m, "output_audio")?,
        ..Price::default()
    };
    if let Some(hour) = price(m, "cache_write_1h")? {
        read.cache_write_ttl.push((CacheTtl::Hour, hour));
    }
    let tiers = m.each("context", |mut t| {
        let above = match t.take("above") {
            Some(Value::String(s)) => parse_tokens(&s),
            Some(v) => v.as_u64(),
            None => None,
        };
        let above = above.ok_or_else(|| t.must_be("above", "a number of tokens, such as 200000 or 200k"))?;
        let mut factor = |key: &str| t.number(key).map(|n| n.and_then(|n| n.as_f64()).unwrap_or(1.0));
        Ok(ContextTier { above, input_factor: factor("input_factor")?, output_factor: factor("output_factor")? })
    })?;
    read.context = tiers.unwrap_or_default();
    for (name, factor) in m.object("service")?.unwrap_or_default() {
        read.service.extend(factor.as_f64().map(|f| (name, f)));
    }
    Ok(read)
}

/// Prices per single token, made into prices per million.
fn read_per_token(m: &mut Fields<'_>) -> Result<Option<Price>, CatalogueError> {
    let mut million = |name: &str| price(m, name).map(|p| p.map(|p| p * 1e6));
    let (input, output) = (million("input_cost_per_token")?, million("output_cost_per_token")?);
    if input.is_none() && output.is_none() {
        return Ok(None);
    }
    let mut read = Price {
        input: input.unwrap_or(0.0),
        output: output.unwrap_or(0.0),
        cache_read: million("cache_read_input_token_cost")?,
        cache_write: million("cache_creation_input_token_cost")?,
        reasoning: million("output_cost_per_reasoning_token")?,
        input_audio: million("input_cost_per_audio_token")?,
        output_audio: million("output_cost_per_audio_token")?,
        ..Price::default()
    };
    if let Some(hour) = million("cache_creation_input_token_cost_above_1hr")? {
        read.cache_write_ttl.push((CacheTtl::Hour, hour));
    }
    for (name, above) in [("128k", 128_000), ("200k", 200_000), ("256k", 256_000), ("272k", 272_000)] {
        let input = million(&format!("input_cost_per_token_above_{name}_tokens"))?;
        let output = million(&format!("output_cost_per_token_above_{name}_tokens"))?;
        let factor = |now: Option<f64>, base: f64| now.filter(|_| base > 0.0).map_or(1.0, |n| n / base);
        if input.is_some() || output.is_some() {
            let (input_factor, output_factor) = (factor(input, read.input), factor(output, read.output));
            read.context.push(ContextTier { above, input_factor, output_factor });
        }
    }
    for tier in ["flex", "priority", "batch"] {
        let cheaper = million(&format!("input_cost_per_token_{tier}"))?;
        if let Some(n) = cheaper.filter(|_| read.input > 0.0) {
            read.service.push((tier.to_owned(), n / read.input));
        }
    }
    Ok(Some(read))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn our_own_shape_is_read() {
        let c = Catalogue::parse(
            br#"{"models":[{"provider":"anthropic","model":"claude-x","input":3,"output":15,"cache_read":0.3,
            "cache_write":3.75,"cache_write_1h":6,"context":[{"above":"200k","input_factor":2,"output_factor":1.5}],
            "service":{"batch":0.5}},{"model":"any","input":1}]}"#,
        )
        .unwrap();
        let p = c.find("Anthropic", "claude-x").unwrap();
        assert_eq!((p.input, p.output, p.cache_read, p.context[0].above), (3.0, 15.0, Some(0.3), 200_000));
        assert_eq!(p.cache_write_ttl, [(CacheTtl::Hour, 6.0)]);
        assert!(c.find("openai", "claude-x").is_none());
        assert!(c.find("openai", "any").is_some());
    }

    #[test]
    fn the_widespread_shape_is_read() {
        let c = Catalogue::parse(
            br#"{"sample_spec":{"mode":"chat"},"gemini/gemini-x":{"litellm_provider":"gemini",
            "input_cost_per_token":1.25e-6,"output_cost_per_token":1e-5,"input_cost_per_token_above_200k_tokens":2.5e-6,
            "cache_read_input_token_cost":3.125e-7}}"#,
        )
        .unwrap();
        let p = c.find("gemini", "gemini-x").unwrap();
        assert!((p.input - 1.25).abs() < 1e-9 && (p.output - 10.0).abs() < 1e-9);
        assert!((p.context[0].input_factor - 2.0).abs() < 1e-9);
        assert_eq!(p.context[0].output_factor, 1.0);
        assert!(c.find("elsewhere", "gemini-x").is_some());
    }

    #[test]
    fn negative_prices_and_other_shapes_are_refused() {
        let err = Catalogue::parse(br#"{"models":[{"model":"m","input":-1}]}"#).unwrap_err();
        assert_eq!(err.to_string(), "models[0].input must be a price, 0 or more");
        assert!(Catalogue::parse(b"[]").is_err());
        assert!(Catalogue::parse(br#"{"models":[{"input":1}]}"#).is_err());
    }
}
