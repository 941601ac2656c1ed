//! The level of the error log, which may change while running.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use gibbon_conf::LogLevel;

/// A shared level.
#[derive(Debug, Clone)]
pub struct LevelControl {
    level: Arc<AtomicU8>,
}

impl LevelControl {
    /// Starts at a level.
    #[must_use]
    pub fn new(level: LogLevel) -> Self {
        Self { level: Arc::new(AtomicU8::new(level as u8)) }
    }

    /// The level in force.
    #[must_use]
    pub fn get(&self) -> LogLevel {
        let stored = self.level.load(Ordering::Relaxed);
        LogLevel::ALL.into_iter().find(|level| *level as u8 == stored).unwrap_or(LogLevel::Notice)
    }

    /// Changes the level, from the next event on.
    pub fn set(&self, level: LogLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
        // Call sites remember whether anybody listens; they must ask again.
        tracing::callsite::rebuild_interest_cache();
    }

    /// Whether events of a level are written.
    #[must_use]
    pub fn writes(&self, level: LogLevel) -> bool {
        level as u8 >= self.level.load(Ordering::Relaxed)
    }
}
