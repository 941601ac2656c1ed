//! Counters of a worker's sockets. Each worker writes its own, so that no cache line is shared while serving;
//! anybody may read them and add several workers' together.

use std::sync::atomic::{AtomicU64, Ordering};

use gibbon_tls::HandshakeFailure;

/// A number that one thread writes and any thread may read. Adding is a plain load and store, no locked
/// instruction: two writers would lose counts, never more than that.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    pub fn subtract(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).saturating_sub(amount), Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One worker's counters.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections taken from a listener, refused ones included.
    pub accepted: Counter,
    /// Connections open now.
    pub active: Counter,
    /// Connections closed at once because too many were open, in all or from one address.
    pub refused_total: Counter,
    pub refused_per_address: Counter,
    /// Failures of `accept` itself, mostly for want of descriptors.
    pub accept_errors: Counter,
    /// PROXY protocol headers that were wrong, incomplete or late.
    pub proxy_header_errors: Counter,
    /// TLS handshakes finished, and how many of them resumed a session.
    pub tls_handshakes: Counter,
    pub tls_resumed: Counter,
    /// Handshakes that failed, by [`HandshakeFailure::index`].
    tls_failures: [Counter; HandshakeFailure::ALL.len()],
    /// Plain text sent to a TLS listener.
    pub plain_on_tls: Counter,
}

impl Counters {
    pub fn tls_failed(&self, failure: HandshakeFailure) {
        if let Some(counter) = self.tls_failures.get(failure.index()) {
            counter.add(1);
        }
    }

    /// The numbers as they are now.
    pub fn totals(&self) -> Totals {
        let mut tls_failures = [0; HandshakeFailure::ALL.len()];
        for (total, counter) in tls_failures.iter_mut().zip(&self.tls_failures) {
            *total = counter.get();
        }
        Totals {
            accepted: self.accepted.get(),
            active: self.active.get(),
            refused_total: self.refused_total.get(),
            refused_per_address: self.refused_per_address.get(),
            accept_errors: self.accept_errors.get(),
            proxy_header_errors: self.proxy_header_errors.get(),
            tls_handshakes: self.tls_handshakes.get(),
            tls_resumed: self.tls_resumed.get(),
            tls_failures,
            plain_on_tls: self.plain_on_tls.get(),
        }
    }
}

/// Counters read, of one worker or of several added together. Fields as in [`Counters`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub accepted: u64,
    pub active: u64,
    pub refused_total: u64,
    pub refused_per_address: u64,
    pub accept_errors: u64,
    pub proxy_header_errors: u64,
    pub tls_handshakes: u64,
    pub tls_resumed: u64,
    /// In the order of [`HandshakeFailure::ALL`].
    pub tls_failures: [u64; HandshakeFailure::ALL.len()],
    pub plain_on_tls: u64,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.active += other.active;
        self.refused_total += other.refused_total;
        self.refused_per_address += other.refused_per_address;
        self.accept_errors += other.accept_errors;
        self.proxy_header_errors += other.proxy_header_errors;
        self.tls_handshakes += other.tls_handshakes;
        self.tls_resumed += other.tls_resumed;
        for (total, more) in self.tls_failures.iter_mut().zip(other.tls_failures) {
            *total += more;
        }
        self.plain_on_tls += other.plain_on_tls;
    }
}
