//! The list of models, for clients that ask what they may name: the aliases and names of the configuration, in the
//! client's format. Providers are not asked: what they offer beyond it nobody here could use.

use std::sync::Arc;

use gibbon_llm::canonical::ModelEntry;
use gibbon_llm::dialect::Dialect;
use gibbon_message::Method;
use gibbon_pdk::{Exchange, Reply};

use crate::config::LlmFormat;
use crate::incoming::Refusal;
use crate::target::Target;

/// `GET …/models`. A request for a model's answer is never a GET.
pub fn are_asked_for(x: &Exchange) -> bool {
    let path = x.request.path();
    x.request.method == Method::Get && path.strip_suffix(b"/").unwrap_or(path).ends_with(b"/models")
}

/// The models of these targets. One without a configured name leaves it to clients, and is on no list.
pub fn list<'a>(x: &Exchange, format: LlmFormat, targets: impl Iterator<Item = &'a Arc<Target>>) -> Reply {
    let mut entries: Vec<ModelEntry> = Vec::new();
    for target in targets {
        let name = || target.model.as_ref().and_then(|model| model.fill(x).ok());
        let Some(id) = target.alias.clone().or_else(name) else { continue };
        if entries.iter().all(|entry| entry.id != id) {
            let owner = Some(target.provider().to_owned());
            entries.push(ModelEntry { id, owner, ..ModelEntry::default() });
        }
    }
    let dialect = match format {
        LlmFormat::Openai | LlmFormat::Cohere | LlmFormat::Huggingface => Dialect::OpenAiChat,
        LlmFormat::Anthropic => Dialect::Anthropic,
        LlmFormat::Gemini => Dialect::Gemini,
        LlmFormat::Bedrock => Dialect::Bedrock,
    };
    match dialect.codec().encode_models(&entries) {
        Ok(body) => Reply::bytes(200, "application/json", body),
        Err(lacking) => Refusal::new(404, lacking.to_string()).reply(format),
    }
}
