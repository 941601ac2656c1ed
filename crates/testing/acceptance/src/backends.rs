//! The demo backends, running for as long as a test does.

use anyhow::Result;
use gibbon_demo::{Addresses, Demo, Ports};
use tokio::runtime::Runtime;

/// Running backends with the runtime they run on.
pub struct Backends {
    // Dropped before the runtime it lives on.
    demo: Demo,
    _runtime: Runtime,
}

impl Backends {
    /// Starts all of them.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start() -> Result<Self> {
        let runtime = Runtime::new()?;
        let demo = runtime.block_on(Demo::start(Ports::default()))?;
        Ok(Self { demo, _runtime: runtime })
    }

    /// Where they listen.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.demo.addresses()
    }

    /// A configuration with the addresses that examples use (`127.0.0.1:9001` REST, `9002` SSE, `9003` WebSocket,
    /// `9004` gRPC) replaced by the real ones.
    #[must_use]
    pub fn fill(&self, configuration: &str) -> String {
        let at = self.addresses();
        let places = [("9001", at.rest), ("9002", at.sse), ("9003", at.websocket), ("9004", at.grpc)];
        places.iter().fold(configuration.to_owned(), |text, (port, address)| {
            let text = text.replace(&format!("127.0.0.1:{port}"), &address.to_string());
            text.replace(&format!("port: {port}"), &format!("port: {}", address.port()))
        })
    }
}
