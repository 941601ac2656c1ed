//! The words in which every floor speaks about an HTTP message: heads, headers, methods, URIs.
//!
//! It knows nothing of sockets, framing or Kong. Parsing bytes into these types and writing them
//! out again is left to `wires/http`; what a gateway does with a message is left to the engine.

pub mod date;
mod head;
mod headers;
mod method;
mod status;
pub mod uri;

pub use head::{RequestHead, ResponseHead, Scheme, Version};
pub use headers::{Headers, Span, is_token, write_escaped_value};
pub use method::Method;
pub use status::reason;
