//! Rules of ai-rate-limiting-advanced.
