//! Rules of ai-proxy-advanced.
