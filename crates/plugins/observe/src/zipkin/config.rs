//! Settings of zipkin.

use gibbon_schema::{Field, Schema, typedefs};
use serde_json::{Value, json};

use crate::propagation::{B3Propagation, HEADER_TYPES, plain_header_type};
use crate::queue_settings::Queue;

/// Where spans are sent, what they say, and which exchanges have any.
#[derive(Schema, Debug)]
pub struct Config {
    /// What the gateway is called.
    #[schema(required, default = "kong")]
    pub local_service_name: String,
    /// The URL that takes spans; without one, only headers are passed on.
    #[schema(typedef = typedefs::url())]
    pub http_endpoint: Option<String>,
    /// The share of traces that is sampled, where the caller did not decide.
    #[schema(default = 0.001, between(0, 1))]
    pub sample_ratio: f64,
    /// What a peer without a name is called.
    pub default_service_name: Option<String>,
    /// Whether spans name the credential.
    #[schema(required, default = true)]
    pub include_credential: bool,
    /// Bytes of ids of traces that begin here.
    #[schema(required, default = 16, one_of(8, 16))]
    pub traceid_byte_count: usize,
    /// Replaced by `propagation`.
    #[schema(typedef = header_type())]
    pub header_type: String,
    /// Replaced by `propagation.default_format`.
    #[schema(typedef = default_header_type())]
    pub default_header_type: String,
    /// The request header whose pairs become tags.
    #[schema(required, default = "Zipkin-Tags")]
    pub tags_header: String,
    /// Tags of every exchange.
    #[schema(custom = names_differ)]
    pub static_tags: Option<Vec<StaticTag>>,
    /// What spans are named after.
    #[schema(required, default = "method")]
    pub http_span_name: SpanName,
    /// Milliseconds to connect.
    #[schema(default = 2000, between(0, 2_147_483_646))]
    pub connect_timeout: u32,
    /// Milliseconds to send.
    #[schema(default = 5000, between(0, 2_147_483_646))]
    pub send_timeout: u32,
    /// Milliseconds to wait for the answer.
    #[schema(default = 5000, between(0, 2_147_483_646))]
    pub read_timeout: u32,
    /// The answer's header that shows the trace's id.
    pub http_response_header_for_traceid: Option<String>,
    /// How spans tell how long phases took.
    #[schema(required, default = "annotations")]
    pub phase_duration_flavor: Flavor,
    /// How spans wait.
    pub queue: Queue,
    /// How trace headers are read and written.
    #[schema(default = json!({"default_format": "b3"}))]
    pub propagation: B3Propagation,
}

/// A tag of every exchange.
#[derive(Schema, Debug)]
pub struct StaticTag {
    /// None that the plugin sets itself.
    #[schema(not_one_of(
        "error",
        "http.method",
        "http.path",
        "http.status_code",
        "kong.balancer.state",
        "kong.balancer.try",
        "kong.consumer",
        "kong.credential",
        "kong.node.id",
        "kong.route",
        "kong.service",
        "lc",
        "peer.hostname"
    ))]
    pub name: String,
    /// What it says.
    pub value: String,
}

#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanName {
    Method,
    MethodPath,
}

#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    Annotations,
    Tags,
}

fn header_type() -> Field {
    plain_header_type("zipkin", "header_type", "propagation options", "preserve").required().one_of(HEADER_TYPES)
}

fn default_header_type() -> Field {
    let field = plain_header_type("zipkin", "default_header_type", "propagation.default_format", "b3");
    let formats = HEADER_TYPES.into_iter().filter(|name| !matches!(*name, "preserve" | "ignore"));
    field.required().one_of(formats)
}

fn names_differ(tags: &Value) -> Result<(), String> {
    let names: Vec<&str> = tags.as_array().into_iter().flatten().filter_map(|tag| tag.get("name")?.as_str()).collect();
    match names.iter().enumerate().find(|(at, name)| names.iter().take(*at).any(|earlier| earlier == *name)) {
        Some((_, name)) => Err(format!("repeated tags are not allowed: {name}")),
        None => Ok(()),
    }
}
