//! A call as a span, by OpenTelemetry's semantic conventions for generative AI. What was said stands in it only where
//! whole texts are logged.

use gibbon_llm::canonical::Finish;
use gibbon_llm::provider::Operation;
use gibbon_pdk::{Attribute, Described};
use serde_json::{Value, json};

use crate::call::Call;

/// Prompts above this are not read again for what they ask for: the log must not hold a worker up.
const READ_AGAIN: usize = 64 * 1024;

/// Describes a call that ended with this status; nothing if none was made.
pub fn describe(call: &Call, status: u16) -> Option<Described> {
    if call.started == 0 {
        return None;
    }
    let mut attributes = Vec::with_capacity(16);
    let mut add = |name: &'static str, value: Attribute| attributes.push((name.into(), value));
    let text = |text: &str| Attribute::Text(text.into());
    add("gen_ai.operation.name", text(operation(call)));
    add("gen_ai.provider.name", text(provider(call)));
    add("gen_ai.request.model", text(&call.model));
    requested(call, &mut add);
    if call.seen.first_token {
        add("gen_ai.output.type", text("text"));
        add("gen_ai.response.model", text(call.response_model()));
    }
    if let Some(id) = &call.seen.id {
        add("gen_ai.response.id", text(id));
    }
    if let Some(finish) = &call.seen.finish {
        add("gen_ai.response.finish_reasons", Attribute::Texts(vec![reason(finish).into()]));
    }
    let usage = call.usage();
    let count = |tokens: u64| Attribute::Int(i64::try_from(tokens).unwrap_or(i64::MAX));
    add("gen_ai.usage.input_tokens", count(usage.input));
    add("gen_ai.usage.output_tokens", count(usage.output));
    if call.logging.log_payloads {
        add("gen_ai.input.messages", text(&messages("user", call.request_payload.as_deref())));
        add("gen_ai.output.messages", text(&messages("assistant", call.response_payload.as_deref())));
    }
    let failed = status >= 400 || !call.answered || call.seen.failure.is_some();
    if failed {
        let in_stream = call.seen.failure.as_ref().map(|failure| failure.status);
        add("error.type", text(&in_stream.unwrap_or(status).to_string()));
    }
    Some(Described { name: "kong.gen_ai".into(), attributes, events: Vec::new(), failed })
}

/// What the client asked for beside the model.
fn requested(call: &Call, add: &mut impl FnMut(&'static str, Attribute)) {
    let Some(incoming) = call.prompt.as_ref().filter(|incoming| incoming.body.len() <= READ_AGAIN) else { return };
    let Some(dialect) = incoming.dialect.filter(|_| operation(call) != "embeddings") else { return };
    let Ok(request) = dialect.codec().decode_request(&incoming.body, &incoming.beside) else { return };
    if let Some(most) = request.sampling.max_tokens {
        add("gen_ai.request.max_tokens", Attribute::Int(i64::try_from(most).unwrap_or(i64::MAX)));
    }
    if let Some(temperature) = request.sampling.temperature.as_ref().and_then(|t| t.as_f64()) {
        add("gen_ai.request.temperature", Attribute::Number(temperature));
    }
}

fn operation(call: &Call) -> &'static str {
    match call.prompt.as_ref().map(|incoming| incoming.operation) {
        Some(Operation::Embeddings) => "embeddings",
        Some(Operation::Completions) => "text_completion",
        _ => "chat",
    }
}

/// The conventions' name of a provider.
fn provider(call: &Call) -> &'static str {
    let vertex = || call.target.as_ref().is_some_and(|target| target.is_vertex());
    match call.provider {
        "azure" => "azure.ai.openai",
        "bedrock" => "aws.bedrock",
        "gemini" if vertex() => "gcp.vertex_ai",
        "gemini" => "gcp.gemini",
        "mistral" => "mistral_ai",
        "xai" => "x_ai",
        other => other,
    }
}

fn reason(finish: &Finish) -> &str {
    match finish {
        Finish::Stop | Finish::StopSequence(_) => "stop",
        Finish::Length | Finish::ContextWindow => "length",
        Finish::ToolCalls => "tool_call",
        Finish::ContentFilter | Finish::Refusal => "content_filter",
        Finish::Pause => "pause",
        Finish::Other(other) => other,
    }
}

/// A text as the conventions' list of messages.
fn messages(role: &str, said: Option<&str>) -> String {
    let part: Value = json!({"type": "text", "content": said.unwrap_or_default()});
    json!([{"role": role, "parts": [part]}]).to_string()
}
