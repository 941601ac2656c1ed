//! Settings of correlation-id.

use gibbon_schema::Schema;

/// Where the id stands and what it looks like.
#[derive(Schema, Debug)]
pub struct Config {
    /// The header that carries the id.
    #[schema(default = "Kong-Request-ID")]
    pub header_name: String,
    /// How an id is made when the client sent none.
    #[schema(required, default = "uuid#counter")]
    pub generator: Form,
    /// Whether the client sees the id too.
    #[schema(required, default = false)]
    pub echo_downstream: bool,
}

/// What an id is made of.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A random UUID per request.
    Uuid,
    /// A random UUID of the node, `#`, and a number that grows by one per request.
    #[schema(name = "uuid#counter")]
    UuidCounter,
    /// Address and port of the listener, process, connection, request and time, joined with `-`.
    Tracker,
}
