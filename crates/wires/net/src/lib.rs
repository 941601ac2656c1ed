//! Sockets for a proxy: listeners that outlive a reload, accepting under limits, connecting with deadlines, byte
//! streams with or without TLS, the PROXY protocol, relaying, and UDP sessions.
//!
//! Everything runs on a worker's single-threaded runtime. What the bytes mean is left to others.

mod accept;
mod arrive;
mod bind;
mod connect;
mod counters;
mod datagram;
mod handover;
mod limit;
mod machine;
mod option;
mod pool;
mod proxy_protocol;
mod relay;
mod socket;
mod stream;
mod udp;

pub use accept::Listener;
pub use arrive::{TlsArrival, TlsGreeting, accept_tls, finish_tls, greet_tls, peek_client_hello};
pub use bind::{BindError, BoundSocket, Keepalive, ListenAddress, ListenSpec, SocketKind, bind};
pub use connect::{ConnectAddress, ConnectError, ConnectFailure, Connector, Target, TlsTarget};
pub use counters::{Counter, Counters, Totals as CounterTotals};
pub use handover::{HandOverError, Inherited, receive, receive_file, send, send_file};
pub use limit::{ConnectionLimits, Permit, Refusal};
pub use machine::{raise_descriptor_limit, worker_count};
pub use pool::{BufferPool, PooledBuffer};
pub use proxy_protocol::{
    HEADER_LIMIT, Parsed, ProxyAddresses, ProxyHeader, ProxyHeaderError, ProxyVersion, Transport, parse_proxy_header,
    read_proxy_header,
};
pub use relay::{RelayEnd, RelayLimits, Side, Totals, relay};
pub use socket::{DetachedSocket, PeerAddress, Socket};
pub use stream::Stream;
pub use udp::{UdpListener, UdpSessionLimits, UdpSessionTotals, UdpStart, UdpTarget};
