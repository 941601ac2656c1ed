//! Settings of ai-prompt-guard.

use gibbon_schema::{Field, Schema, checks, checks::EntityCheck};

use crate::config::LlmFormat;

/// Patterns, and which messages they are held against.
#[derive(Schema, Debug)]
#[schema(plugin_check = checks::at_least_one_of(&["config.allow_patterns", "config.deny_patterns"]))]
#[schema(plugin_check = all_roles_without_history())]
#[allow(dead_code, reason = "the category only describes the route type")]
pub struct Config {
    /// One of these must match, if there are any.
    #[schema(len_max = 10, elements(len_min = 1, len_max = 500))]
    pub allow_patterns: Option<Vec<String>>,
    /// None of these may match.
    #[schema(len_max = 10, elements(len_min = 1, len_max = 500))]
    pub deny_patterns: Option<Vec<String>>,
    /// Whether only the newest message is looked at, and all that was said before is let through.
    #[schema(default = false)]
    pub allow_all_conversation_history: bool,
    /// The longest request in bytes; longer ones get 413.
    #[schema(default = 1_048_576, gt = 0)]
    pub max_request_body_size: u64,
    /// Whether messages of all roles are looked at, not only the user's.
    #[schema(default = false)]
    pub match_all_roles: bool,
    /// What clients speak.
    #[schema(default = "openai")]
    pub llm_format: LlmFormat,
    /// What kind of content the route is for.
    #[schema(
        default = "text/generation",
        one_of(
            "text/generation",
            "text/embeddings",
            "audio/speech",
            "audio/transcription",
            "image/generation",
            "video/generation",
            "realtime/generation"
        )
    )]
    pub genai_category: String,
}

fn all_roles_without_history() -> EntityCheck {
    checks::conditional(
        "config.match_all_roles",
        Field::condition().eq(true),
        "config.allow_all_conversation_history",
        Field::condition().eq(false),
    )
}
