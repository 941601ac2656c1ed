//! Asking a model on the gateway's own behalf: the same in both transformers.

use gibbon_schema::{Field, Schema, checks, checks::EntityCheck, typedefs};

use super::Target;

/// The model, what it is told, and what of its answer counts.
#[derive(Schema, Debug)]
#[schema(plugin_check = chat_only())]
#[schema(plugin_check = checks::mutually_required(&["config.http_proxy_host", "config.http_proxy_port"]))]
#[schema(plugin_check = checks::mutually_required(&["config.https_proxy_host", "config.https_proxy_port"]))]
#[allow(dead_code, reason = "a proxy is refused whatever its port; what is not sent on needs no bound of its own")]
pub struct Advice {
    /// What the model is told to do.
    pub prompt: String,
    /// What of the answer counts, as a regular expression; the whole of it if unset.
    pub transformation_extract_pattern: Option<String>,
    /// Milliseconds to wait for the model.
    #[schema(required, default = 60000)]
    pub http_timeout: i64,
    /// Whether the provider's certificate is verified.
    #[schema(required, default = true)]
    pub https_verify: bool,
    /// The longest body in bytes; longer requests get 413.
    #[schema(default = 1_048_576, gt = 0)]
    pub max_request_body_size: u64,
    /// A proxy on the way to the provider: not available.
    #[schema(custom = typedefs::check_host)]
    pub http_proxy_host: Option<String>,
    /// Its port.
    #[schema(between(0, 65535))]
    pub http_proxy_port: Option<u16>,
    /// A proxy on the way to the provider over TLS: not available.
    #[schema(custom = typedefs::check_host)]
    pub https_proxy_host: Option<String>,
    /// Its port.
    #[schema(between(0, 65535))]
    pub https_proxy_port: Option<u16>,
    /// The model.
    #[schema(required)]
    pub llm: Target,
}

fn chat_only() -> EntityCheck {
    checks::conditional(
        "config.llm.route_type",
        Field::condition().not_one_of(["llm/v1/chat"]),
        "config.llm.route_type",
        Field::condition().eq("llm/v1/chat"),
    )
    .then_err("'config.llm.route_type' must be 'llm/v1/chat' for AI transformer plugins")
}
