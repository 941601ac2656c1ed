//! What a message is made of.

use super::Extra;
use crate::dialect::Dialect;
use serde_json::Value;

/// A kind of content. Requests name the kinds they want back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Modality {
    /// Plain text.
    Text,
    /// A picture.
    Image,
    /// Sound.
    Audio,
    /// Moving pictures.
    Video,
    /// A document, such as a PDF.
    File,
}

/// One piece of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The content.
    pub kind: PartKind,
    /// The prompt up to and including this part should be cached by the provider.
    pub cache: Option<CacheMarker>,
    /// Fields the core does not know.
    pub extra: Extra,
}

impl Part {
    /// A part without marker or extra fields.
    #[must_use]
    pub fn new(kind: PartKind) -> Self {
        Self { kind, cache: None, extra: Extra::default() }
    }

    /// A text part.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(PartKind::Text { text: text.into() })
    }

    /// The text of a text part.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            PartKind::Text { text } => Some(text),
            _ => None,
        }
    }

    /// Neither marker nor extra fields: writable as a bare string where a dialect allows one.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.cache.is_none() && self.extra.is_empty()
    }
}

/// The content of a [`Part`].
#[derive(Debug, Clone, PartialEq)]
pub enum PartKind {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// An image, sound, video or document.
    Media(Media),
    /// The model asks for a tool to be run.
    ToolCall {
        /// Pairs the call with its result. Empty when the source has no ids.
        id: String,
        /// The tool.
        name: String,
        /// The arguments as JSON text; empty stands for no arguments.
        arguments: String,
        /// An opaque signature that must come back with the call (Gemini's thought signature).
        signature: Option<String>,
    },
    /// What a tool answered.
    ToolResult {
        /// The call this answers.
        call_id: String,
        /// The tool, where the source names it.
        name: Option<String>,
        /// The answer.
        content: Vec<Part>,
        /// The tool failed.
        is_error: bool,
    },
    /// The model's reasoning.
    Reasoning {
        /// The text, empty when only the signature is shown.
        text: String,
        /// The signature that proves the text when it is sent back; opaque.
        signature: Option<String>,
        /// Encrypted reasoning, shown to nobody; opaque.
        redacted: Option<String>,
    },
    /// The model refuses, in words.
    Refusal {
        /// The words.
        text: String,
    },
    /// A part only its own dialect understands, kept whole.
    Unknown {
        /// The dialect it came from.
        dialect: Dialect,
        /// The part as it came.
        value: Value,
    },
}

/// Binary content and where it lies.
#[derive(Debug, Clone, PartialEq)]
pub struct Media {
    /// What it is.
    pub modality: Modality,
    /// Where it lies.
    pub source: Source,
    /// A file name or title, if it has one.
    pub name: Option<String>,
    /// How closely to look, in OpenAI's words (`low`, `high`, `auto`): a hint.
    pub detail: Option<String>,
}

/// Where binary content lies.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// In the message itself.
    Data {
        /// MIME type, such as `image/png`.
        mime: String,
        /// The bytes in base64. Kept encoded: every dialect wants it so.
        base64: String,
    },
    /// At an address the provider fetches.
    Url {
        /// The address.
        url: String,
        /// MIME type, where the source gives one.
        mime: Option<String>,
    },
    /// Uploaded to the provider before.
    FileId(String),
    /// A document given as text.
    Text(String),
}

/// A request to cache the prompt up to here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheMarker {
    /// How long, in the source's words (`5m`, `1h`).
    pub ttl: Option<String>,
}
