//! What is known of a call while it runs and when it is over: for limits, metrics and the log. It stands in the
//! exchange's slots from the moment a target is chosen.

use std::cell::OnceCell;
use std::sync::Arc;

use gibbon_llm::canonical::Usage;
use gibbon_llm::estimate::{TokenEstimator, WordCount, prompt_text};
use gibbon_llm::price::Price;
use gibbon_llm::seen::Seen;

use crate::config::Logging;
use crate::incoming::Incoming;
use crate::target::Target;

/// One call to a model.
#[derive(Debug, Default)]
pub struct Call {
    /// The plugin that makes it.
    pub plugin_id: String,
    /// Who is asked; that of the last try.
    pub target: Option<Arc<Target>>,
    pub provider: &'static str,
    /// The name that the provider is asked for.
    pub model: String,
    /// The answer comes piece by piece.
    pub stream: bool,
    pub logging: Logging,
    /// The client's request, for an estimate of its tokens where the provider counts none.
    pub prompt: Option<Incoming>,
    pub words: OnceCell<u64>,
    /// When the request was handed to the engine, in nanoseconds of the monotonic clock; 0 is never.
    pub started: u64,
    /// When something of the answer first came, and when it was whole.
    pub first_token: u64,
    pub ended: u64,
    /// The provider answered, with whatever status.
    pub answered: bool,
    /// What its answer said.
    pub seen: Seen,
    /// The query of the call without its key, for the log.
    pub shown_query: Option<Vec<u8>>,
    /// Whole texts, where they are logged.
    pub request_payload: Option<String>,
    pub response_payload: Option<String>,
}

impl Call {
    /// Takes over what was seen of the answer so far.
    pub fn progress(&mut self, seen: &Seen, now: u64) {
        if seen.first_token && self.first_token == 0 {
            self.first_token = now;
        }
        self.seen.usage = seen.usage;
        self.seen.characters = seen.characters;
        self.seen.first_token = seen.first_token;
        self.seen.ended = seen.ended;
        self.seen.service_tier.clone_from(&seen.service_tier);
        if self.seen.model.is_none() {
            self.seen.model.clone_from(&seen.model);
        }
        if self.seen.id.is_none() {
            self.seen.id.clone_from(&seen.id);
        }
        if seen.finish.is_some() {
            self.seen.finish.clone_from(&seen.finish);
        }
        if seen.failure.is_some() {
            self.seen.failure.clone_from(&seen.failure);
        }
    }

    /// Words of the prompt; none of one that cannot be read, which its conversion will have said.
    pub fn words(&self) -> u64 {
        *self.words.get_or_init(|| {
            let Some(incoming) = &self.prompt else { return 0 };
            let Some(dialect) = incoming.dialect else { return 0 };
            let request = dialect.codec().decode_request(&incoming.body, &incoming.beside);
            request.map_or(0, |request| prompt_text(&request).split_whitespace().count() as u64)
        })
    }

    /// The tokens: the provider's count, else an estimate of what came; nothing if nothing came.
    pub fn usage(&self) -> Usage {
        if let Some(usage) = self.seen.usage {
            return usage;
        }
        if !self.seen.first_token {
            return Usage::default();
        }
        let count = if self.stream { WordCount::STREAM } else { WordCount::WHOLE };
        let input = (self.words() as f64 * count.per_word).round() as u64;
        Usage::new(input, count.completion(&self.model, self.seen.characters))
    }

    /// What it costs, in the currency of the prices; nothing without prices.
    pub fn cost(&self) -> f64 {
        self.price().map_or(0.0, |price| price.cost(&self.usage(), self.seen.service_tier.as_deref()))
    }

    /// The price of the model, if it is known.
    pub fn price(&self) -> Option<&Price> {
        let names = [self.model.as_str(), self.response_model()];
        self.target.as_ref().and_then(|target| target.prices.find(target.provider(), &names))
    }

    /// The model that answered, as far as it said so.
    pub fn response_model(&self) -> &str {
        self.seen.model.as_deref().unwrap_or(&self.model)
    }
}
