//! Backends to look at the gateway with: a REST echo, an SSE ticker, a WebSocket echo, a gRPC echo and two providers of
//! language models, each on a loopback port, and the declarative configuration that puts the gateway in front of them.
//!
//! They exist so that the first start of a fresh checkout serves something. They are no part of the request path and
//! know nothing of the gateway but the configuration format; the binary decides when to start them.

mod configuration;
mod grpc;
mod llm;
mod rest;
mod serve;
mod sse;
mod websocket;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use configuration::{declarative, instructions};
pub use grpc::PROTO;

/// Which ports to listen on; 0 asks the system for a free one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// REST echo.
    pub rest: u16,
    /// Server-sent events.
    pub sse: u16,
    /// WebSocket echo.
    pub websocket: u16,
    /// gRPC echo, HTTP/2 without TLS.
    pub grpc: u16,
    /// The two providers of language models.
    pub llm: u16,
}

/// Where the backends listen.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// REST echo.
    pub rest: SocketAddr,
    /// Server-sent events.
    pub sse: SocketAddr,
    /// WebSocket echo.
    pub websocket: SocketAddr,
    /// gRPC echo, HTTP/2 without TLS.
    pub grpc: SocketAddr,
    /// The two providers of language models, `/openai` and `/anthropic`.
    pub llm: SocketAddr,
}

/// Why the backends could not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The port of a backend is taken or not ours to bind.
    #[error(
        "the demo backend {name} cannot listen on 127.0.0.1:{port}: {cause}; give another port, or 0 for a free one"
    )]
    Bind {
        /// Which backend.
        name: &'static str,
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        cause: std::io::Error,
    },
}

/// The running backends; they end when this is dropped.
#[derive(Debug)]
pub struct Demo {
    addresses: Addresses,
    _servers: JoinSet<()>,
}

impl Demo {
    /// Binds all ports and starts serving on the current tokio runtime.
    ///
    /// # Errors
    /// When a port cannot be bound; none of the backends runs then.
    pub async fn start(ports: Ports) -> Result<Self, DemoError> {
        let (rest, rest_address) = bind("REST", ports.rest).await?;
        let (sse, sse_address) = bind("SSE", ports.sse).await?;
        let (websocket, websocket_address) = bind("WebSocket", ports.websocket).await?;
        let (grpc, grpc_address) = bind("gRPC", ports.grpc).await?;
        let (llm, llm_address) = bind("LLM", ports.llm).await?;
        let mut servers = JoinSet::new();
        servers.spawn(serve::http(rest, rest::answer));
        servers.spawn(serve::http(sse, sse::answer));
        servers.spawn(serve::http(websocket, websocket::answer));
        servers.spawn(serve::http(grpc, grpc::answer));
        let asked = Arc::default();
        servers.spawn(serve::http(llm, move |request| llm::answer(request, Arc::clone(&asked))));
        let addresses = Addresses {
            rest: rest_address,
            sse: sse_address,
            websocket: websocket_address,
            grpc: grpc_address,
            llm: llm_address,
        };
        Ok(Self { addresses, _servers: servers })
    }

    /// Where they listen.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }
}

async fn bind(name: &'static str, port: u16) -> Result<(TcpListener, SocketAddr), DemoError> {
    let failed = |cause| DemoError::Bind { name, port, cause };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
