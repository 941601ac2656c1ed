//! What a client asks of a model: reading a request far enough to choose a target and to refuse what no target could
//! answer. Refusals are in the client's own format; for OpenAI's they are Kong's, word for word.

use std::os::unix::fs::FileExt;

use bytes::Bytes;
use gibbon_llm::canonical::Failure;
use gibbon_llm::dialect::{Beside, Dialect};
use gibbon_llm::json::scan;
use gibbon_llm::pass;
use gibbon_llm::provider::Operation;
use gibbon_message::uri;
use gibbon_pdk::{BodyLimit, Exchange, Fault, Reply, RequestBody};
use serde_json::{Map, Value, json};

use crate::config::{LlmFormat, Streaming};
use crate::passed_on::{self, PassedOn};

const NO_PROMPTS: &str = "request body doesn't contain valid prompts";

/// A client's request.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub format: LlmFormat,
    /// What the client speaks; `None` is forwarded as it is.
    pub dialect: Option<Dialect>,
    pub operation: Operation,
    pub body: Bytes,
    /// What stands in the path.
    pub beside: Beside,
    /// The model it names.
    pub model: Option<String>,
    pub stream: bool,
    /// It wants the usage in the stream.
    pub include_usage: bool,
    /// Gemini without `alt=sse`: a stream is one JSON array.
    pub array: bool,
    /// It goes through without being understood.
    pub passed_on: Option<PassedOn>,
}

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub message: String,
}

impl Refusal {
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Refusal { status, message: message.into() }
    }

    fn bad(message: impl Into<String>) -> Self {
        Refusal::new(400, message)
    }

    /// The refusal in the format of a client.
    pub fn reply(&self, format: LlmFormat) -> Reply {
        let codec = match format {
            LlmFormat::Openai | LlmFormat::Cohere | LlmFormat::Huggingface => {
                return Reply::json(self.status, json!({"error": {"message": self.message}}));
            }
            LlmFormat::Anthropic => Dialect::Anthropic.codec(),
            LlmFormat::Gemini => Dialect::Gemini.codec(),
            LlmFormat::Bedrock => Dialect::Bedrock.codec(),
        };
        let failure = Failure::new(self.status, self.message.clone());
        let mut reply = Reply::bytes(self.status, "application/json", codec.encode_failure(&failure));
        for (name, value) in codec.failure_headers(&failure) {
            reply.headers.set(name, value);
        }
        reply
    }
}

/// Bounds the body before it is read. The bound of another plugin stays if it is tighter; 0 sets none.
pub fn limit_body(x: &mut Exchange, bytes: u64) {
    if bytes > 0 && x.body_limit.is_none_or(|limit| limit.bytes > bytes) {
        x.body_limit = Some(BodyLimit { bytes, status: 413, message: "request body is larger than this LLM accepts" });
    }
}

/// The body, which has been read: out of memory or out of its file.
///
/// # Errors
/// The file cannot be read, or the body is larger than `limit` bytes (0: any), read by a plugin before.
pub fn whole_body(x: &Exchange, limit: u64) -> Result<Bytes, Fault> {
    let body = match &x.body {
        RequestBody::Empty | RequestBody::Unread => Bytes::new(),
        RequestBody::Whole(bytes) => bytes.clone(),
        RequestBody::Spooled(spooled) => {
            let mut bytes = vec![0; usize::try_from(spooled.len).unwrap_or(0)];
            let read = spooled.file.read_exact_at(&mut bytes, 0);
            read.map_err(|e| Fault::internal(format!("cannot read a buffered request body: {e}")))?;
            Bytes::from(bytes)
        }
    };
    if limit > 0 && body.len() as u64 > limit {
        let cause = "the body is larger than a plugin allows";
        let kind = gibbon_pdk::FaultKind::Status(413);
        let fault = Fault::new(kind, gibbon_pdk::Source::Downstream, gibbon_pdk::Retry::Never, cause);
        return Err(fault.with_message("request body is larger than this LLM accepts"));
    }
    Ok(body)
}

impl Incoming {
    /// A request of which nothing is known, and in which nothing is changed.
    pub fn as_it_is(body: Bytes, format: LlmFormat) -> Self {
        Incoming { dialect: None, ..empty(format, Operation::Chat, body) }
    }

    /// Reads the request of a route of this type.
    ///
    /// # Errors
    /// What the client gets in its place.
    pub fn read(
        x: &Exchange,
        body: Bytes,
        format: LlmFormat,
        operation: Operation,
        streaming: Streaming,
    ) -> Result<Self, Refusal> {
        let stored = format == LlmFormat::Openai && passed_on::is_about_stored(operation, x.request.path());
        if operation.is_passed_on() || stored {
            return passed_on::read(x, body, operation, empty(format, operation, Bytes::new()));
        }
        let mut incoming = match format {
            LlmFormat::Openai => openai(x, body, operation)?,
            LlmFormat::Anthropic | LlmFormat::Gemini | LlmFormat::Bedrock => native(x, body, format, operation)?,
            LlmFormat::Cohere | LlmFormat::Huggingface => {
                let peek = pass::peek(&body).map_err(|_| Refusal::bad(NO_PROMPTS))?;
                let (model, stream) = (peek.model.map(Into::into), peek.stream);
                Incoming { dialect: None, model, stream, ..empty(format, operation, body.clone()) }
            }
        };
        match streaming {
            Streaming::Deny if incoming.stream => {
                return Err(Refusal::bad("response streaming is not enabled for this LLM"));
            }
            Streaming::Always if can_stream(incoming.operation) => incoming.stream = true,
            _ => {}
        }
        Ok(incoming)
    }
}

fn can_stream(operation: Operation) -> bool {
    matches!(operation, Operation::Chat | Operation::Completions | Operation::Responses)
}

fn empty(format: LlmFormat, operation: Operation, body: Bytes) -> Incoming {
    Incoming {
        format,
        dialect: operation.client_dialect(format.name()),
        operation,
        body,
        beside: Beside::default(),
        model: None,
        stream: false,
        include_usage: false,
        array: false,
        passed_on: None,
    }
}

fn openai(x: &Exchange, body: Bytes, operation: Operation) -> Result<Incoming, Refusal> {
    let bad = || Refusal::bad(NO_PROMPTS);
    let body = match x.media_type().as_deref() {
        None => body,
        Some(json) if json == "application/json" || json.ends_with("+json") => body,
        Some("application/x-www-form-urlencoded") => form(&body),
        Some(_) => return Err(bad()),
    };
    let mut incoming = {
        let peek = pass::peek(&body).map_err(|_| bad())?;
        match operation {
            Operation::Chat | Operation::Completions => check_prompts(operation, peek.messages, peek.prompt)?,
            Operation::Responses | Operation::Embeddings if scan::get(&body, "input").is_none() => return Err(bad()),
            _ => {}
        }
        let (stream, include_usage) = (peek.stream && can_stream(operation), peek.include_usage);
        let model = peek.model.map(|m| m.into_owned());
        Incoming { model, stream, include_usage, ..empty(LlmFormat::Openai, operation, Bytes::new()) }
    };
    incoming.body = body;
    Ok(incoming)
}

/// Which of the two formats it is, and whether the route is for that one.
fn check_prompts(operation: Operation, messages: bool, prompt: bool) -> Result<(), Refusal> {
    let wrong = |found: &str, route: &str| {
        Err(Refusal::bad(format!("[{found}] message format is not compatible with [{route}] route type")))
    };
    match (messages, prompt, operation) {
        (true, true, _) => Err(Refusal::bad("request matches multiple LLM request formats")),
        (false, false, _) => Err(Refusal::bad(NO_PROMPTS)),
        (false, true, Operation::Chat) => wrong("llm/v1/completions", "llm/v1/chat"),
        (true, false, Operation::Completions) => wrong("llm/v1/chat", "llm/v1/completions"),
        _ => Ok(()),
    }
}

/// A form, as the JSON it stands for.
fn form(body: &[u8]) -> Bytes {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = uri::arguments(body).map(|(name, value)| (text(&name), Value::from(text(&value.unwrap_or_default()))));
    Bytes::from(Value::Object(fields.collect::<Map<_, _>>()).to_string())
}

/// Anthropic, Gemini, Bedrock: the last two name model and verb in the path.
fn native(x: &Exchange, body: Bytes, format: LlmFormat, operation: Operation) -> Result<Incoming, Refusal> {
    let not_json = || Refusal::bad("the request body is not a JSON object");
    let mut incoming = empty(format, operation, body.clone());
    let path = String::from_utf8_lossy(x.request.path()).into_owned();
    let capture = |name: &str| x.captures.iter().find(|(n, _)| **n == *name).map(|(_, value)| value.to_string());
    match format {
        LlmFormat::Anthropic => {
            if path.ends_with("/count_tokens") {
                incoming.operation = Operation::CountTokens;
            }
            let peek = pass::peek(&body).map_err(|_| not_json())?;
            incoming.stream = peek.stream && incoming.operation == Operation::Chat;
            incoming.model = peek.model.map(|m| m.into_owned());
        }
        LlmFormat::Gemini => {
            let (model, verb) = in_path(&path, "models/", ':');
            let verb = capture("operation").or(verb).unwrap_or_default();
            incoming.model = capture("model").or(model);
            incoming.stream = verb == "streamGenerateContent";
            incoming.array = !sse_asked(x.request.query());
            incoming.operation = match verb.as_str() {
                "countTokens" => Operation::CountTokens,
                "embedContent" | "batchEmbedContents" => Operation::Embeddings,
                _ => operation,
            };
        }
        _ => {
            let (model, verb) = in_path(&path, "model/", '/');
            let verb = capture("operation").or(verb).unwrap_or_default();
            incoming.model = capture("model").or(model);
            incoming.stream = verb.ends_with("-stream");
            match verb.as_str() {
                "converse" | "converse-stream" | "" => {}
                "count-tokens" => incoming.operation = Operation::CountTokens,
                // What only one provider understands is forwarded as it is.
                _ => incoming.dialect = None,
            }
        }
    }
    if !scan::members(&body).by_ref().all(|_| true) || !is_object(&body) {
        return Err(not_json());
    }
    incoming.beside = Beside { model: incoming.model.clone(), stream: Some(incoming.stream) };
    Ok(incoming)
}

fn is_object(body: &[u8]) -> bool {
    let mut walk = scan::members(body);
    walk.by_ref().for_each(drop);
    walk.is_complete()
}

fn sse_asked(query: Option<&[u8]>) -> bool {
    query.is_some_and(|q| uri::arguments(q).any(|(n, v)| *n == *b"alt" && v.as_deref() == Some(&b"sse"[..])))
}

/// `…/models/NAME:VERB`, `…/model/NAME/VERB`. Names are decoded: they are encoded again, as one segment, for whoever
/// gets them.
fn in_path(path: &str, before: &str, between: char) -> (Option<String>, Option<String>) {
    let Some((_, rest)) = path.rsplit_once(before) else { return (None, None) };
    let (name, verb) = rest.rsplit_once(between).map_or((rest, None), |(name, verb)| (name, Some(verb)));
    let decoded = uri::decode(name.as_bytes(), false);
    let name = String::from_utf8_lossy(&decoded).into_owned();
    ((!name.is_empty()).then_some(name), verb.map(str::to_owned))
}
