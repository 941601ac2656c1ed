//! Rules of ai-proxy.
