//! The upstream side: connections, the exchanges on them, and a pool that keeps them.
//!
//! Choosing where to connect, connecting, TLS and retrying are left to others; an error says what they
//! need to decide on a retry.

mod error;
mod exchange;
mod h1;
mod h2;
mod h2_pool;
mod pool;

pub use error::{ClientError, ClientErrorKind};
pub use exchange::{Answer, Reader, Timeouts, Writer};
pub use h1::Connection;
pub use h2::{H2Connection, H2Stream};
pub use h2_pool::{Attempt, H2Pool, Opening, Ticket};
pub use pool::{Pool, PoolSettings, Pooled};

/// Limits of what an upstream may send.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Bytes of an answer's head (`proxy_buffer_size`).
    pub max_head: usize,
    /// Header lines of an answer's head.
    pub max_headers: usize,
    /// Limits of a connection that speaks HTTP/2.
    pub http2: crate::H2Settings,
}

impl Default for ClientSettings {
    fn default() -> Self {
        ClientSettings { max_head: 64 * 1024, max_headers: 1000, http2: crate::H2Settings::default() }
    }
}
