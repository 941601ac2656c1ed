//! Plugins for language-model traffic. One folder per plugin; [`PARTS`] is the list.
//!
//! What they share stands beside the folders: blocks of configuration ([`config`]), a model at a provider ready for
//! calls ([`target`]) with who calls it ([`identity`]) and what it costs ([`prices`]), the way in of both proxies
//! ([`entrance`]), what a client asked for ([`incoming`], [`passed_on`] with [`form`]), the tries of a call ([`attempts`]) and who may refuse one of
//! them ([`gate`]), the way of an answer back ([`relay`]), what is known of a call for limits and logs ([`call`]), and
//! how that is told ([`telemetry`]).
//! Formats, addresses, signatures and prices are `gibbon-llm`'s.

mod ai_prompt_decorator;
mod ai_prompt_guard;
mod ai_prompt_template;
mod ai_proxy;
mod ai_proxy_advanced;
mod ai_rate_limiting_advanced;
mod ai_request_transformer;
mod ai_response_transformer;
mod ask;
mod attempts;
mod call;
mod config;
mod entrance;
mod form;
mod gate;
mod identity;
mod incoming;
mod matching;
mod models;
mod passed_on;
mod prices;
mod prompts;
mod relay;
mod target;
mod telemetry;
mod template;

use gibbon_llm::price::{Catalogue, CatalogueError};
use gibbon_pdk::{BuildError, Part, Protocol, Protocols};
use gibbon_schema::Schema;
use serde_json::Value;

/// The plugins of this family.
pub const PARTS: &[Part] = &[
    ai_prompt_decorator::PART,
    ai_prompt_guard::PART,
    ai_prompt_template::PART,
    ai_proxy::PART,
    ai_proxy_advanced::PART,
    ai_rate_limiting_advanced::PART,
    ai_request_transformer::PART,
    ai_response_transformer::PART,
];

/// Whether a text is a list of prices.
///
/// # Errors
/// Where it is none, and why.
pub fn check_price_list(text: &str) -> Result<(), CatalogueError> {
    Catalogue::parse(text.as_bytes()).map(drop)
}

/// The Kong version whose plugins these are.
const VERSION: &str = "3.15.0";

/// HTTP and gRPC, plain and over TLS.
const HTTP: Protocols = Protocols::of(&[Protocol::Grpc, Protocol::Grpcs, Protocol::Http, Protocol::Https]);

/// Reads a validated configuration.
fn config<C: Schema>(plugin: &str, document: &Value) -> Result<C, BuildError> {
    C::from_value(document).map_err(|error| BuildError { plugin: plugin.to_owned(), cause: error.to_string() })
}
