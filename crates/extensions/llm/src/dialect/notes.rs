//! What becomes of a part of a request that the target's dialect cannot express: never dropped in
//! silence.

use super::{Dialect, Encoded};
use crate::canonical::{Extra, Modality, Sampling};
use crate::{Error, Result};
use serde_json::{Map, Value};

/// What to do with what a dialect cannot express.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Leniency {
    /// Refuse all of it, hints included.
    Strict,
    /// Drop hints (a seed, a cache marker, an end user's name) and say so; refuse what would change
    /// the answer.
    #[default]
    Standard,
    /// Drop all of it and say so.
    Lenient,
}

/// Fields of requests that only advise: an answer made without them is as right as with them.
const HINTS: &[&str] = &[
    "store",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prediction",
    "verbosity",
    "metadata",
    "user",
    "service_tier",
    "include",
    "truncation",
    "background",
    "max_tool_calls",
    "betas",
    "anthropic_beta",
    "anthropic_version",
    "requestMetadata",
    "performanceConfig",
    "labels",
    "options",
    "keep_alive",
];

/// Which sampling parameters a dialect knows beside temperature, `top_p` and the bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Supports {
    /// `top_k`.
    pub top_k: bool,
    /// A seed.
    pub seed: bool,
    /// Frequency and presence penalties.
    pub penalties: bool,
    /// More than one alternative.
    pub several: bool,
    /// Log probabilities.
    pub logprobs: bool,
    /// Logit bias.
    pub logit_bias: bool,
    /// Stop texts are not known.
    pub no_stop: bool,
}

/// Collects what was left out while a body is written.
#[derive(Debug)]
pub struct Notes {
    target: Dialect,
    leniency: Leniency,
    dropped: Vec<String>,
}

impl Notes {
    /// Nothing left out yet.
    #[must_use]
    pub fn new(target: Dialect, leniency: Leniency) -> Self {
        Self { target, leniency, dropped: Vec::new() }
    }

    /// A hint the dialect has no place for.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when hints are to be refused.
    pub fn hint(&mut self, what: impl Into<String>) -> Result<()> {
        self.leave_out(what.into(), self.leniency == Leniency::Strict)
    }

    /// Something the dialect has no place for and that would change the answer.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless everything may be dropped.
    pub fn refuse(&mut self, what: impl Into<String>) -> Result<()> {
        self.leave_out(what.into(), self.leniency != Leniency::Lenient)
    }

    fn leave_out(&mut self, what: String, refuse: bool) -> Result<()> {
        if refuse {
            return Err(Error::Unsupported { target: self.target, what });
        }
        // A request can repeat the same hint thousands of times: say it once.
        if self.dropped.len() < 64 && !self.dropped.contains(&what) {
            self.dropped.push(what);
        }
        Ok(())
    }

    /// Sampling parameters the dialect has no place for. Neutral values say nothing and pass.
    ///
    /// # Errors
    /// As [`hint`](Self::hint) and [`refuse`](Self::refuse).
    pub fn sampling(&mut self, s: &Sampling, supports: Supports) -> Result<()> {
        let set =
            |n: &Option<serde_json::Number>| n.as_ref().and_then(serde_json::Number::as_f64).is_some_and(|f| f != 0.0);
        if s.seed.is_some() && !supports.seed {
            self.hint("a seed")?;
        }
        if s.top_k.is_some() && !supports.top_k {
            self.hint("top_k")?;
        }
        if (set(&s.frequency_penalty) || set(&s.presence_penalty)) && !supports.penalties {
            self.refuse("frequency and presence penalties")?;
        }
        if s.n.is_some_and(|n| n > 1) && !supports.several {
            self.refuse("several alternative answers")?;
        }
        if (s.logprobs == Some(true) || s.top_logprobs.is_some_and(|n| n > 0)) && !supports.logprobs {
            self.refuse("log probabilities")?;
        }
        if s.logit_bias.as_ref().is_some_and(|b| !b.is_empty()) && !supports.logit_bias {
            self.refuse("a logit bias")?;
        }
        if !s.stop.is_empty() && supports.no_stop {
            self.refuse("stop texts")?;
        }
        Ok(())
    }

    /// Kinds of content wanted back that the dialect cannot give; text it always can.
    ///
    /// # Errors
    /// As [`refuse`](Self::refuse).
    pub fn modalities(&mut self, wanted: &[Modality], has: &[Modality]) -> Result<()> {
        for m in wanted {
            let what = match m {
                Modality::Text => continue,
                m if has.contains(m) => continue,
                Modality::Image => "images in the answer",
                Modality::Audio => "audio in the answer",
                Modality::Video => "video in the answer",
                Modality::File => "files in the answer",
            };
            self.refuse(what)?;
        }
        Ok(())
    }

    /// Unknown top-level fields: written out when they are the target's own or named in `foreign`
    /// (native fields that a client of another dialect passes on), else noted.
    ///
    /// # Errors
    /// As [`hint`](Self::hint) and [`refuse`](Self::refuse).
    pub fn extra(&mut self, extra: &Extra, foreign: &[&str], body: &mut Map<String, Value>) -> Result<()> {
        let own = extra.dialect == Some(self.target);
        for (key, value) in &extra.fields {
            if own || foreign.contains(&key.as_str()) {
                if !body.contains_key(key) {
                    body.insert(key.clone(), value.clone());
                }
            } else if HINTS.contains(&key.as_str()) {
                self.hint(format!("the field `{key}`"))?;
            } else {
                self.refuse(format!("the field `{key}`"))?;
            }
        }
        Ok(())
    }

    /// Unknown fields of a part, message or tool: written out when they are the target's own, else
    /// noted as hints.
    ///
    /// # Errors
    /// As [`hint`](Self::hint).
    pub fn inner(&mut self, extra: &Extra, object: &mut Map<String, Value>) -> Result<()> {
        let own = extra.dialect == Some(self.target);
        for (key, value) in &extra.fields {
            if own {
                object.entry(key.as_str()).or_insert_with(|| value.clone());
            } else {
                self.hint(format!("the field `{key}` of a message"))?;
            }
        }
        Ok(())
    }

    /// The body with its notes.
    #[must_use]
    pub fn done(self, body: Map<String, Value>) -> Encoded {
        Encoded { body: Value::Object(body).to_string().into_bytes(), dropped: self.dropped }
    }
}
