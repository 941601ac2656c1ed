//! Where requests go and who signs them. A provider is data: an address, a way to prove who calls,
//! a dialect and a few oddities. Nothing is sent from here: the result is an address, headers and a
//! body for whoever holds the sockets.

mod credential;
mod place;
mod preset;
mod quirks;
mod retry;

pub use credential::{Credential, Scheme};
pub use place::{PlaceError, Settings, model_segment};
pub use preset::{PRESETS, Preset, find};
pub use quirks::Quirks;
pub use retry::retry_after_ms;

pub use gibbon_cloud::{Address, sigv4};

use crate::dialect::Dialect;

/// What a client wants from a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// A chat answer.
    Chat,
    /// A text completion.
    Completions,
    /// An answer with a server-side state.
    Responses,
    /// Embeddings.
    Embeddings,
    /// Counting the tokens of a chat.
    CountTokens,
    /// The list of models.
    Models,
    /// Reordering documents by relevance.
    Rerank,
    /// Uploaded files.
    Files,
    /// Batches of requests.
    Batches,
    /// OpenAI's assistants.
    Assistants,
    /// Text to speech.
    Speech,
    /// Speech to text.
    Transcriptions,
    /// Speech to English text.
    Translations,
    /// Text to image.
    Images,
    /// Changing an image.
    ImageEdits,
    /// Text to video.
    Videos,
    /// Conversation by voice, over WebSocket.
    Realtime,
}

impl Operation {
    /// Kong's `route_type` for it; `None` for what has none.
    #[must_use]
    pub fn route_type(self) -> Option<&'static str> {
        Some(match self {
            Self::Chat => "llm/v1/chat",
            Self::Completions => "llm/v1/completions",
            Self::Responses => "llm/v1/responses",
            Self::Embeddings => "llm/v1/embeddings",
            Self::Files => "llm/v1/files",
            Self::Batches => "llm/v1/batches",
            Self::Assistants => "llm/v1/assistants",
            Self::Speech => "audio/v1/audio/speech",
            Self::Transcriptions => "audio/v1/audio/transcriptions",
            Self::Translations => "audio/v1/audio/translations",
            Self::Images => "image/v1/images/generations",
            Self::ImageEdits => "image/v1/images/edits",
            Self::Videos => "video/v1/videos/generations",
            Self::Realtime => "realtime/v1/realtime",
            Self::CountTokens | Self::Models | Self::Rerank => return None,
        })
    }

    /// The operation of a Kong `route_type`. (`preserve` is none: it forwards as it came.)
    #[must_use]
    pub fn of_route_type(name: &str) -> Option<Self> {
        const ALL: &[Operation] = &[
            Operation::Chat,
            Operation::Completions,
            Operation::Responses,
            Operation::Embeddings,
            Operation::Files,
            Operation::Batches,
            Operation::Assistants,
            Operation::Speech,
            Operation::Transcriptions,
            Operation::Translations,
            Operation::Images,
            Operation::ImageEdits,
            Operation::Videos,
            Operation::Realtime,
        ];
        ALL.iter().copied().find(|o| o.route_type() == Some(name))
    }

    /// What a client speaks that is configured with this format (Kong's `llm_format`); `None` for
    /// formats that only pass through.
    #[must_use]
    pub fn client_dialect(self, format: &str) -> Option<Dialect> {
        match (format, self) {
            ("openai", Self::Completions) => Some(Dialect::OpenAiCompletions),
            ("openai", Self::Responses) => Some(Dialect::OpenAiResponses),
            ("openai", _) => Some(Dialect::OpenAiChat),
            ("anthropic", _) => Some(Dialect::Anthropic),
            ("gemini", _) => Some(Dialect::Gemini),
            ("bedrock", _) => Some(Dialect::Bedrock),
            _ => None,
        }
    }

    /// Requests and answers are passed on as they are: between the formats of different providers nothing is converted.
    #[must_use]
    pub fn is_passed_on(self) -> bool {
        matches!(
            self,
            Self::Files
                | Self::Batches
                | Self::Assistants
                | Self::Speech
                | Self::Transcriptions
                | Self::Translations
                | Self::Images
                | Self::ImageEdits
                | Self::Videos
        )
    }

    /// The kinds of things below OpenAI's `/v1` that it reads, changes and deletes by their ids; empty for what only
    /// answers.
    #[must_use]
    pub fn resources(self) -> &'static [&'static str] {
        match self {
            Self::Files => &["files"],
            Self::Batches => &["batches"],
            Self::Assistants => &["assistants", "threads"],
            Self::Videos => &["videos"],
            Self::Responses => &["responses"],
            _ => &[],
        }
    }

    /// The model stands in the requests of the operation, where they are JSON.
    #[must_use]
    pub fn names_model(self) -> bool {
        !matches!(self, Self::Files | Self::Batches | Self::Assistants)
    }

    /// OpenAI's path below `/v1`.
    #[must_use]
    pub fn openai_path(self) -> Option<&'static str> {
        Some(match self {
            Self::Chat => "chat/completions",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
            Self::CountTokens => "responses/input_tokens",
            Self::Models => "models",
            Self::Rerank => "rerank",
            Self::Files => "files",
            Self::Batches => "batches",
            Self::Assistants => "assistants",
            Self::Speech => "audio/speech",
            Self::Transcriptions => "audio/transcriptions",
            Self::Translations => "audio/translations",
            Self::Images => "images/generations",
            Self::ImageEdits => "images/edits",
            Self::Videos => "videos",
            Self::Realtime => "realtime",
        })
    }
}
