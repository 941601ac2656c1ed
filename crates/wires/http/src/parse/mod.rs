//! Bytes to heads and chunks, without any input or output: each entry point takes a slice, so that it
//! can be tested and fuzzed alone.
//!
//! Tolerant where nginx is and no harm can follow (bare LF behind a head line, more than one space in a
//! request line, odd bytes in values), strict wherever two parsers could see two different messages.

mod chunked;
mod fields;
mod request;
mod response;
mod target;

pub use chunked::{ChunkError, Chunked, Piece};
pub use fields::{Spans, trailers};
pub(crate) use fields::{content_length, is_forbidden_in_trailers};
pub use request::{HeadLimits, RequestFraming, request_head};
pub use response::{ResponseError, ResponseFraming, response_head};
pub(crate) use target::{check_path, is_host};
