//! What grpc-web and grpc-gateway have in common: definitions read from `.proto` files, messages in length-prefixed
//! frames, and their form in JSON.

mod definitions;
mod frames;
mod message;

pub use definitions::{Definitions, Proto};
pub use frames::{Frames, TRAILERS, frame};
pub use message::{decode_json, fields_of, read_json, write_json};

use gibbon_pdk::BodyLimit;

/// The longest message that is converted, in either direction: four times what gRPC libraries take unless told
/// otherwise. A converted message is in memory whole, so a client must not choose its size.
pub const LONGEST_MESSAGE: usize = 16 << 20;

/// Requests above it are refused while they are read.
pub const BODY_LIMIT: BodyLimit =
    BodyLimit { bytes: LONGEST_MESSAGE as u64, status: 413, message: "Payload too large" };

/// Whether an answer is one of gRPC; anything else (an error page of something in between) passes as it is.
pub fn is_grpc(content_type: Option<&str>) -> bool {
    content_type.is_some_and(|value| {
        value.get(..16).is_some_and(|start| start.eq_ignore_ascii_case("application/grpc"))
            && matches!(value.as_bytes().get(16), None | Some(b'+' | b';' | b' '))
    })
}
