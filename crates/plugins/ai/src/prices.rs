//! What calls cost: the prices in a target's configuration, else those of the node's list.

use std::sync::Arc;

use gibbon_llm::price::{CacheTtl, Catalogue, ContextTier, Price, parse_tokens};
use gibbon_pdk::Build;

use crate::config::Options;

/// The prices of a target.
#[derive(Debug)]
pub struct Prices {
    own: Option<Price>,
    /// Of the node, by provider and model.
    list: Arc<Catalogue>,
}

impl Prices {
    pub fn new(options: &Options, build: &Build<'_>) -> Self {
        let text = build.node.price_list.as_deref();
        // The node has checked it at its start.
        let parse = || text.and_then(|text| Catalogue::parse(text.as_bytes()).ok()).unwrap_or_default();
        Prices { own: own(options), list: build.shared("ai-price-list", parse) }
    }

    /// The price of a model of this target, by the first of its names that has one.
    pub fn find(&self, provider: &str, names: &[&str]) -> Option<&Price> {
        self.own.as_ref().or_else(|| names.iter().find_map(|name| self.list.find(provider, name)))
    }
}

/// The configured price; as in Kong there is none when one of the two main ones is missing.
fn own(options: &Options) -> Option<Price> {
    let mut price = Price::new(options.input_cost?, options.output_cost?);
    price.cache_read = options.cache_read_cost;
    price.cache_write = options.cache_write_cost;
    let by_ttl = options.cache_write_cost_list.iter().flatten();
    price.cache_write_ttl = by_ttl.filter_map(|c| Some((CacheTtl::parse(&c.ttl)?, c.cost))).collect();
    let tiers = options.context_window_factor.iter().flatten();
    price.context = tiers
        .filter_map(|t| {
            let above = parse_tokens(&t.above)?;
            Some(ContextTier { above, input_factor: t.input_factor, output_factor: t.output_factor })
        })
        .collect();
    price.service = options.service_tier_factor.iter().flatten().map(|s| (s.tier.clone(), s.factor)).collect();
    Some(price)
}
