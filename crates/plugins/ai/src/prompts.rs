//! Reading a prompt for those who look at it or change it before a target is chosen.

use bytes::Bytes;
use gibbon_llm::canonical::Request;
use gibbon_llm::dialect::Dialect;
use gibbon_llm::pass;
use gibbon_llm::provider::Operation;
use gibbon_pdk::{Exchange, Fault};

use crate::config::{LlmFormat, Streaming};
use crate::incoming::{Incoming, Refusal, whole_body};

/// A client's prompt.
#[derive(Debug)]
pub struct Prompt {
    pub dialect: Dialect,
    pub body: Bytes,
    pub request: Request,
}

/// Why there is no prompt.
pub enum NoPrompt {
    Fault(Fault),
    Refused(Refusal),
}

/// Reads the prompt of a body that has been read.
///
/// # Errors
/// The body is too large or cannot be read, or is no prompt.
pub fn read(x: &Exchange, format: LlmFormat, limit: u64) -> Result<Prompt, NoPrompt> {
    let body = whole_body(x, limit).map_err(NoPrompt::Fault)?;
    let bare = |body: &[u8]| pass::peek(body).is_ok_and(|p| p.prompt && !p.messages);
    let operation = match format {
        LlmFormat::Openai if bare(&body) => Operation::Completions,
        LlmFormat::Openai if gibbon_llm::json::scan::get(&body, "input").is_some() => Operation::Responses,
        _ => Operation::Chat,
    };
    let incoming = Incoming::read(x, body, format, operation, Streaming::Allow).map_err(NoPrompt::Refused)?;
    let unreadable = |why: String| NoPrompt::Refused(Refusal::new(400, why));
    let Some(dialect) = incoming.dialect else {
        return Err(unreadable("this format cannot be looked into".to_owned()));
    };
    let request = dialect.codec().decode_request(&incoming.body, &incoming.beside);
    let request = request.map_err(|e| unreadable(e.to_string()))?;
    Ok(Prompt { dialect, body: incoming.body, request })
}
