//! The formats on the wire, each in a file or folder of its own, all behind one trait.
//!
//! To add one: implement [`Codec`], name it in [`Dialect`], list it in [`Dialect::codec`], and put
//! fixtures under `fixtures/`.

mod anthropic;
mod bedrock;
mod cohere;
mod failure;
mod gemini;
mod notes;
mod ollama;
pub(crate) mod openai;
mod openai_chat;
mod openai_completions;
mod openai_responses;
mod prompts;
mod sequencer;
mod sse;

pub use notes::{Leniency, Notes, Supports};

use crate::canonical::{EmbeddingRequest, EmbeddingResponse, Event, Failure, ModelEntry, Request, Response};
use crate::seen::Seen;
use crate::{Error, Result};
use std::fmt;

/// A format on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// `POST /v1/chat/completions` of OpenAI and all who speak like it.
    OpenAiChat,
    /// `POST /v1/completions` of OpenAI.
    OpenAiCompletions,
    /// `POST /v1/responses` of OpenAI.
    OpenAiResponses,
    /// `POST /v1/messages` of Anthropic.
    Anthropic,
    /// `generateContent` of Gemini and Vertex AI.
    Gemini,
    /// Converse of Amazon Bedrock.
    Bedrock,
    /// `POST /v2/chat` of Cohere. Only providers speak it, and all that follow.
    Cohere,
    /// `POST /v1/generate` of Cohere.
    CohereGenerate,
    /// `POST /api/chat` of Ollama.
    Ollama,
    /// `POST /api/generate` of Ollama.
    OllamaGenerate,
    /// `POST /v1/complete` of Anthropic.
    AnthropicComplete,
    /// Llama 2 with its prompt layout, as text generation servers take it.
    LlamaRaw,
    /// Text generation of Hugging Face.
    HuggingFace,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: &[Self] = &[
        Self::OpenAiChat,
        Self::OpenAiCompletions,
        Self::OpenAiResponses,
        Self::Anthropic,
        Self::Gemini,
        Self::Bedrock,
        Self::Cohere,
        Self::CohereGenerate,
        Self::Ollama,
        Self::OllamaGenerate,
        Self::AnthropicComplete,
        Self::LlamaRaw,
        Self::HuggingFace,
    ];

    /// Those that clients may speak.
    pub const CLIENTS: &[Self] = &[
        Self::OpenAiChat,
        Self::OpenAiCompletions,
        Self::OpenAiResponses,
        Self::Anthropic,
        Self::Gemini,
        Self::Bedrock,
    ];

    /// The name in errors and configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "OpenAI chat completions",
            Self::OpenAiCompletions => "OpenAI completions",
            Self::OpenAiResponses => "OpenAI responses",
            Self::Anthropic => "Anthropic messages",
            Self::Gemini => "Gemini generateContent",
            Self::Bedrock => "Bedrock Converse",
            Self::Cohere => "Cohere chat",
            Self::CohereGenerate => "Cohere generate",
            Self::Ollama => "Ollama chat",
            Self::OllamaGenerate => "Ollama generate",
            Self::AnthropicComplete => "Anthropic complete",
            Self::LlamaRaw => "Llama 2 text generation",
            Self::HuggingFace => "Hugging Face text generation",
        }
    }

    /// The code that reads and writes it.
    #[must_use]
    pub fn codec(self) -> &'static dyn Codec {
        match self {
            Self::OpenAiChat => &openai_chat::OpenAiChat,
            Self::OpenAiCompletions => &openai_completions::OpenAiCompletions,
            Self::OpenAiResponses => &openai_responses::OpenAiResponses,
            Self::Anthropic => &anthropic::Anthropic,
            Self::Gemini => &gemini::Gemini,
            Self::Bedrock => &bedrock::Bedrock,
            Self::Cohere => &cohere::Cohere,
            Self::CohereGenerate => &prompts::COHERE,
            Self::Ollama => &ollama::Ollama,
            Self::OllamaGenerate => &prompts::OLLAMA,
            Self::AnthropicComplete => &prompts::ANTHROPIC,
            Self::LlamaRaw => &prompts::LLAMA,
            Self::HuggingFace => &prompts::HUGGING_FACE,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What stands beside a request body: some dialects name the model in the path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// The model, from the path.
    pub model: Option<String>,
    /// The path asks for a stream.
    pub stream: Option<bool>,
}

/// How to write a request for its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What to do with what the dialect cannot express.
    pub leniency: Leniency,
    /// The bound of an answer where the dialect insists on one and the client gave none.
    pub default_max_tokens: u64,
    /// The field for that bound in OpenAI's chat format.
    pub max_tokens_field: MaxTokensField,
    /// Who hosts the model: others want a dialect slightly changed.
    pub host: Host,
    /// OpenAI's chat format: what the model thought earlier is sent back. OpenAI refuses it, some of
    /// its imitators insist on it.
    pub history_reasoning: bool,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            leniency: Leniency::Standard,
            default_max_tokens: 4096,
            max_tokens_field: MaxTokensField::ByModel,
            host: Host::Own,
            history_reasoning: true,
        }
    }
}

/// Who hosts a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// Whoever the dialect is named after.
    Own,
    /// Vertex AI: Gemini with projects and labels, Anthropic without a model in the body.
    Vertex,
    /// Bedrock's `invoke`: Anthropic without model and stream flag in the body.
    BedrockInvoke,
}

/// The field that bounds an answer in OpenAI's chat format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxTokensField {
    /// `max_completion_tokens` for reasoning models, else `max_tokens`.
    ByModel,
    /// `max_tokens`, which all compatible servers know.
    Classic,
    /// `max_completion_tokens`.
    Completion,
}

/// A body, and what was left out of it with the target's consent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The bytes.
    pub body: Vec<u8>,
    /// What the dialect could not express and the [`Leniency`] allowed to drop.
    pub dropped: Vec<String>,
}

/// What an answer needs when the provider does not say it. No clock and no chance in here: the
/// caller gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// An id for the answer, unique, of letters, digits and dashes.
    pub id: String,
    /// Now, in seconds since 1970.
    pub created: u64,
    /// The model asked for.
    pub model: String,
    /// The client wants the usage in the stream.
    pub include_usage: bool,
    /// An estimate of the prompt's tokens, for dialects that state them before the provider does.
    pub input_estimate: u64,
    /// The client did not ask for server-sent events where that is a choice: Gemini without
    /// `alt=sse` streams one JSON array.
    pub array: bool,
}

/// How a dialect's streams are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// AWS event stream.
    Aws,
    /// One JSON value per line.
    Lines,
    /// One JSON array, piece by piece.
    Array,
}

impl Framing {
    /// The media type of such a stream.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Aws => "application/vnd.amazon.eventstream",
            Self::Lines => "application/x-ndjson",
            Self::Array => "application/json",
        }
    }
}

/// Reads and writes one dialect. Methods for what a dialect does not have answer
/// [`Error::Unsupported`]. Dialects that only providers speak have no clients: they neither read
/// requests nor write answers, and leave those methods as they are.
pub trait Codec: Sync + fmt::Debug {
    /// Which dialect.
    fn dialect(&self) -> Dialect;

    /// How its streams are framed when this code writes them.
    fn framing(&self) -> Framing {
        Framing::Sse
    }

    /// Reads a request.
    ///
    /// # Errors
    /// The body is no JSON, or not of this shape.
    fn decode_request(&self, _body: &[u8], _beside: &Beside) -> Result<Request> {
        Err(self.lacks("requests of clients"))
    }

    /// Writes a request. Model and stream flag are not in the body of dialects that have them in
    /// the path.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what the dialect cannot express, see [`Leniency`].
    fn encode_request(&self, request: &Request, target: &Target) -> Result<Encoded>;

    /// Reads a whole answer.
    ///
    /// # Errors
    /// The body is no JSON, or not of this shape.
    fn decode_response(&self, body: &[u8]) -> Result<Response>;

    /// Writes a whole answer.
    ///
    /// # Errors
    /// The dialect has no place for several alternatives.
    fn encode_response(&self, _response: &Response, _reply: &Reply) -> Result<Encoded> {
        Err(self.lacks("answers to clients"))
    }

    /// Reads an error answer, whatever it is: a page of HTML gives a failure too.
    fn decode_failure(&self, status: u16, body: &[u8]) -> Failure {
        failure::read(status, body)
    }

    /// Writes an error answer.
    fn encode_failure(&self, failure: &Failure) -> Vec<u8> {
        serde_json::json!({"error": failure.message}).to_string().into_bytes()
    }

    /// Headers that belong to an error answer beside `Content-Type: application/json`.
    fn failure_headers(&self, _failure: &Failure) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Reads a stream.
    fn stream_decoder(&self) -> Box<dyn StreamDecoder>;

    /// Writes a stream. Of a dialect without clients nothing comes.
    fn stream_encoder(&self, _reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(Silent)
    }

    /// Takes in one event of a stream that passes through: its name and its JSON.
    fn tap_event(&self, name: &str, data: &[u8], seen: &mut Seen);

    /// The JSON string in a nameless event that is the answer's next piece, where the dialect has one in which events
    /// differ.
    fn only_text<'a>(&self, _data: &'a [u8]) -> Option<&'a [u8]> {
        None
    }

    /// Takes in a whole answer that passes through.
    fn tap_body(&self, body: &[u8], seen: &mut Seen);

    /// Reads a request to count tokens.
    ///
    /// # Errors
    /// As [`decode_request`](Self::decode_request).
    fn decode_count_request(&self, _body: &[u8], _beside: &Beside) -> Result<Request> {
        Err(self.lacks("token counting"))
    }

    /// Writes a request to count tokens.
    ///
    /// # Errors
    /// As [`encode_request`](Self::encode_request).
    fn encode_count_request(&self, _request: &Request, _target: &Target) -> Result<Encoded> {
        Err(self.lacks("token counting"))
    }

    /// Reads a token count.
    ///
    /// # Errors
    /// The body is no JSON, or not of this shape.
    fn decode_count(&self, _body: &[u8]) -> Result<u64> {
        Err(self.lacks("token counting"))
    }

    /// Writes a token count.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    fn encode_count(&self, _tokens: u64) -> Result<Vec<u8>> {
        Err(self.lacks("token counting"))
    }

    /// Reads a request for embeddings.
    ///
    /// # Errors
    /// As [`decode_request`](Self::decode_request).
    fn decode_embedding_request(&self, _body: &[u8], _beside: &Beside) -> Result<EmbeddingRequest> {
        Err(self.lacks("embeddings"))
    }

    /// Writes a request for embeddings.
    ///
    /// # Errors
    /// As [`encode_request`](Self::encode_request).
    fn encode_embedding_request(&self, _request: &EmbeddingRequest, _target: &Target) -> Result<Encoded> {
        Err(self.lacks("embeddings"))
    }

    /// Reads embeddings.
    ///
    /// # Errors
    /// The body is no JSON, or not of this shape.
    fn decode_embeddings(&self, _body: &[u8]) -> Result<EmbeddingResponse> {
        Err(self.lacks("embeddings"))
    }

    /// Writes embeddings in answer to `request`.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    fn encode_embeddings(
        &self,
        _response: &EmbeddingResponse,
        _request: &EmbeddingRequest,
        _reply: &Reply,
    ) -> Result<Vec<u8>> {
        Err(self.lacks("embeddings"))
    }

    /// Reads a list of models.
    ///
    /// # Errors
    /// The body is no JSON, or not of this shape.
    fn decode_models(&self, _body: &[u8]) -> Result<Vec<ModelEntry>> {
        Err(self.lacks("a list of models"))
    }

    /// Writes a list of models.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    fn encode_models(&self, _models: &[ModelEntry]) -> Result<Vec<u8>> {
        Err(self.lacks("a list of models"))
    }

    /// The error that this dialect has no `what`.
    fn lacks(&self, what: &str) -> Error {
        Error::Unsupported { target: self.dialect(), what: what.to_owned() }
    }
}

/// Stands for the writer of a dialect that only providers speak.
#[derive(Debug)]
struct Silent;

impl StreamEncoder for Silent {
    fn push(&mut self, _event: &Event, _out: &mut Vec<u8>) {}
}

/// Reads the bytes of a stream, cut anywhere, as events.
pub trait StreamDecoder: Send {
    /// Takes the next bytes and adds the events they complete to `out`.
    ///
    /// # Errors
    /// Broken framing or JSON. The stream cannot be read on; what was added to `out` is valid.
    fn push(&mut self, chunk: &[u8], out: &mut Vec<Event>) -> Result<()>;

    /// The body has ended. Adds [`Event::End`] if the answer is complete, a failure if it is not,
    /// and nothing if one of the two was there already.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    fn finish(&mut self, out: &mut Vec<Event>) -> Result<()>;
}

/// Writes events as the bytes of a stream.
pub trait StreamEncoder: Send {
    /// Writes what `event` adds to the stream. Nothing may follow `End` or `Failure`.
    fn push(&mut self, event: &Event, out: &mut Vec<u8>);
}
