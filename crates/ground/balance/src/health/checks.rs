//! The `healthchecks` record of an upstream, as far as deciding needs it. How a probe is sent (path, headers, TLS)
//! is the prober's business.

/// HTTP statuses 0..1024 as a set that answers in constant time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatusSet([u64; 16]);

impl StatusSet {
    /// Whether the status is in the set.
    pub fn contains(&self, status: u16) -> bool {
        self.0.get(usize::from(status / 64)).is_some_and(|word| word & (1 << (status % 64)) != 0)
    }
}

impl FromIterator<u16> for StatusSet {
    fn from_iter<I: IntoIterator<Item = u16>>(statuses: I) -> Self {
        let mut set = Self::default();
        for status in statuses {
            if let Some(word) = set.0.get_mut(usize::from(status / 64)) {
                *word |= 1 << (status % 64);
            }
        }
        set
    }
}

/// How many events of a kind it takes to change an address's health; 0 switches that counter off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Successes that make an unhealthy address healthy.
    pub successes: u8,
    /// Statuses of the unhealthy list.
    pub http_failures: u8,
    /// Refused, reset or otherwise failed connections.
    pub tcp_failures: u8,
    /// Connect and read timeouts.
    pub timeouts: u8,
}

/// What an active probe speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ProbeKind {
    /// Connecting is enough. Runs for stream upstreams only.
    Tcp,
    /// GET over clear text.
    #[default]
    Http,
    /// GET over TLS.
    Https,
    /// Treated as HTTP.
    Grpc,
    /// Treated as HTTPS.
    Grpcs,
}

impl ProbeKind {
    /// Whether probes of this kind run for the traffic in question: `tcp` for stream, all others for HTTP.
    pub fn runs_for(self, stream: bool) -> bool {
        (self == Self::Tcp) == stream
    }
}

/// `healthchecks.active`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ActiveChecks {
    /// What probes speak.
    pub kind: ProbeKind,
    /// Seconds between probes of healthy addresses; 0 for none.
    pub healthy_interval: f64,
    /// Seconds between probes of unhealthy addresses; 0 for none.
    pub unhealthy_interval: f64,
    /// Statuses that count as success.
    pub healthy_statuses: StatusSet,
    /// Statuses that count as failure.
    pub unhealthy_statuses: StatusSet,
    /// Thresholds.
    pub limits: Limits,
}

impl ActiveChecks {
    /// Whether any address is probed at all.
    pub fn is_on(&self) -> bool {
        self.healthy_interval > 0.0 || self.unhealthy_interval > 0.0
    }
}

/// `healthchecks.passive`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PassiveChecks {
    /// Statuses that count as success.
    pub healthy_statuses: StatusSet,
    /// Statuses that count as failure.
    pub unhealthy_statuses: StatusSet,
    /// Thresholds.
    pub limits: Limits,
}

impl PassiveChecks {
    /// Whether live traffic can make an address unhealthy.
    pub fn is_on(&self) -> bool {
        self.limits.http_failures > 0 || self.limits.tcp_failures > 0 || self.limits.timeouts > 0
    }
}

/// `healthchecks`, and the warm-up of recovered addresses.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HealthChecks {
    /// Probes.
    pub active: ActiveChecks,
    /// Live traffic.
    pub passive: PassiveChecks,
    /// The percentage of weight, 0..=100, that must be *exceeded* by the available part, or nobody gets traffic.
    pub threshold: f64,
    /// Milliseconds over which an address that recovered, or was added, grows to its full weight; 0 for at once.
    pub slow_start_ms: u64,
}

impl HealthChecks {
    /// Whether anything is checked. If not, all addresses take traffic and report `HEALTHCHECKS_OFF`.
    pub fn is_on(&self) -> bool {
        self.active.is_on() || self.passive.is_on()
    }
}

/// Who noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// A probe.
    Active,
    /// Live traffic.
    Passive,
}

/// What was noticed about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// An answer with this status. What is in neither list of statuses is ignored.
    Status(u16),
    /// An answer that was not HTTP: a failure of the HTTP kind.
    NotHttp,
    /// A connection that did not come about or broke.
    TcpFailure,
    /// No connection or no answer in time.
    Timeout,
    /// A connection came about, and nothing more was asked.
    Connected,
}

/// Which counter an outcome feeds, with its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Success(u8),
    Http(u8),
    Tcp(u8),
    Timeout(u8),
}

impl HealthChecks {
    pub(super) fn count(&self, source: Source, outcome: Outcome) -> Option<Count> {
        let (limits, healthy, unhealthy) = match source {
            Source::Active => (self.active.limits, &self.active.healthy_statuses, &self.active.unhealthy_statuses),
            Source::Passive => (self.passive.limits, &self.passive.healthy_statuses, &self.passive.unhealthy_statuses),
        };
        let count = match outcome {
            Outcome::Status(status) if healthy.contains(status) => Count::Success(limits.successes),
            Outcome::Status(status) if unhealthy.contains(status) => Count::Http(limits.http_failures),
            Outcome::Status(_) => return None,
            Outcome::NotHttp => Count::Http(limits.http_failures),
            Outcome::TcpFailure => Count::Tcp(limits.tcp_failures),
            Outcome::Timeout => Count::Timeout(limits.timeouts),
            Outcome::Connected => Count::Success(limits.successes),
        };
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_set_knows_its_members() {
        let set: StatusSet = [100, 200, 999, 5_000].into_iter().collect();
        assert!(set.contains(100) && set.contains(200) && set.contains(999));
        assert!(!set.contains(201) && !set.contains(5_000) && !set.contains(u16::MAX));
    }

    #[test]
    fn tcp_probes_run_for_streams_and_the_rest_for_http() {
        assert!(ProbeKind::Tcp.runs_for(true) && !ProbeKind::Tcp.runs_for(false));
        assert!(ProbeKind::Https.runs_for(false) && !ProbeKind::Grpc.runs_for(true));
    }

    #[test]
    fn passive_successes_alone_do_not_switch_checks_on() {
        let mut checks = HealthChecks::default();
        checks.passive.limits.successes = 5;
        assert!(!checks.is_on());
        checks.passive.limits.timeouts = 1;
        assert!(checks.is_on());
    }
}
