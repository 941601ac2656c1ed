//! Tokens, counted the same way whoever reports them.

/// Token counts of one call. `input` and `output` are the whole; the other fields say how much of
/// them was cached, reasoned or spoken. (Anthropic and Bedrock report cached tokens beside the
/// input; they are added in here, so that a sum never depends on the provider.)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, those read from and written to a cache included.
    pub input: u64,
    /// Answer tokens, reasoning included.
    pub output: u64,
    /// Of `input`: read from a cache.
    pub cache_read: u64,
    /// Of `input`: written to a cache.
    pub cache_write: u64,
    /// Of `cache_write`: kept for an hour (the rest for five minutes).
    pub cache_write_1h: u64,
    /// Of `output`: reasoning.
    pub reasoning: u64,
    /// Of `input`: audio.
    pub input_audio: u64,
    /// Of `output`: audio.
    pub output_audio: u64,
}

impl Usage {
    /// Input and output only.
    #[must_use]
    pub fn new(input: u64, output: u64) -> Self {
        Self { input, output, ..Self::default() }
    }

    /// Input and output together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// Input that was neither read from nor written to a cache.
    #[must_use]
    pub fn uncached_input(&self) -> u64 {
        self.input.saturating_sub(self.cache_read).saturating_sub(self.cache_write)
    }
}
