//! Automatic values of entities, from the system's clock and its source of randomness.

use aws_lc_rs::rand;
use gibbon_schema::Sources;
use uuid::Uuid;

use crate::conductor::now;

/// Letters and digits of secrets.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const SECRET_LENGTH: usize = 32;

/// The clock as it was when it was made, so that all times of one write are the same, and real randomness.
#[derive(Clone, Copy, Debug)]
pub struct SystemSources {
    now: f64,
}

impl SystemSources {
    pub fn new() -> Self {
        SystemSources { now: now() }
    }

    /// The time it gives.
    pub fn time(&self) -> f64 {
        self.now
    }
}

impl Default for SystemSources {
    fn default() -> Self {
        Self::new()
    }
}

impl Sources for SystemSources {
    fn now(&mut self) -> f64 {
        self.now
    }

    fn uuid(&mut self) -> String {
        Uuid::new_v4().to_string()
    }

    fn secret(&mut self) -> String {
        let mut secret = String::with_capacity(SECRET_LENGTH);
        while secret.len() < SECRET_LENGTH {
            let mut bytes = [0u8; 2 * SECRET_LENGTH];
            if rand::fill(&mut bytes).is_err() {
                // The system's randomness is gone: identifiers come from it as well, and fail loudly.
                return Uuid::new_v4().simple().to_string();
            }
            // Bytes above the last whole multiple of the alphabet would favour its first letters.
            let fair =
                bytes.iter().filter(|byte| **byte < 248).filter_map(|byte| ALPHABET.get(usize::from(*byte) % 62));
            secret.extend(fair.take(SECRET_LENGTH - secret.len()).map(|byte| char::from(*byte)));
        }
        secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_32_letters_and_digits_and_differ() {
        let mut sources = SystemSources::new();
        let (one, two) = (sources.secret(), sources.secret());
        assert!(one.len() == 32 && one.bytes().all(|b| b.is_ascii_alphanumeric()), "{one}");
        assert_ne!(one, two);
    }
}
