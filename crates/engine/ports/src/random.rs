//! Randomness from the system's generator.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use gibbon_pdk::Random;

/// The process's generator; safe to share.
pub struct SystemRandomness(SystemRandom);

impl Default for SystemRandomness {
    fn default() -> Self {
        SystemRandomness(SystemRandom::new())
    }
}

impl Random for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        // It fails only if the kernel refuses; a secret of zeros would be worse than no process.
        if self.0.fill(bytes).is_err() {
            tracing::error!("the system gives no randomness; stopping before a guessable secret is made");
            std::process::abort();
        }
    }
}
