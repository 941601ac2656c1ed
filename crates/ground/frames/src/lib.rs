//! Splitting byte streams into frames, and writing frames: server-sent events, AWS event stream,
//! gRPC messages, JSON lines and streamed JSON arrays.
//!
//! Every splitter is fed chunks as they come off the wire and hands out whole frames, however the
//! chunks were cut; what arrives in one chunk is lent without copying. Nothing here knows what a
//! frame means, opens a socket or reads a clock. Every buffer has a bound given by the caller: a
//! peer that never ends a line must cost a fixed amount of memory, not all of it.

pub mod aws;
mod carry;
pub mod grpc;
pub mod json_array;
pub mod lines;
pub mod sse;

/// Why a stream cannot be split any further. After an error the splitter refuses all further input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A line, an event or a message is larger than the limit its splitter was made with.
    #[error("{what} is longer than the limit of {limit} bytes")]
    TooLong {
        /// Which unit is too long.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// The bytes break the framing itself.
    #[error("broken {format}: {reason}")]
    Broken {
        /// The framing.
        format: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// A checksum does not match: the bytes were damaged, or are no event stream at all.
    #[error("event stream checksum of the {part} does not match")]
    Checksum {
        /// `prelude` or `message`.
        part: &'static str,
    },
    /// The body ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
}

/// Default bound of one frame: larger than any event a provider is known to send (single-line
/// events of a megabyte occur with inline images), small enough for thousands of streams.
pub const DEFAULT_LIMIT: usize = 8 * 1024 * 1024;
