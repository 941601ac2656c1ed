//! Names of the DNS as the balancer wants them.

use std::net::IpAddr;
use std::sync::Arc;

use gibbon_balance::{DnsRecord, RecordKind, Resolution};
use gibbon_pdk::Fault;

use crate::balance::unresolved;

/// How soon a name that did not resolve is asked for again.
pub const RETRY_FAILED_MS: u64 = 30_000;

/// Why a name gave no address.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct NameError(String);

impl NameError {
    pub(crate) fn into_fault(self, host: &str) -> Fault {
        unresolved(host, &self.0)
    }
}

/// The records of a name.
#[derive(Debug, Clone)]
pub struct Answer {
    pub kind: RecordKind,
    pub records: Vec<DnsRecord>,
    pub ttl_ms: u64,
}

impl Answer {
    #[must_use]
    pub fn resolution(&self) -> Resolution {
        Resolution::Records(self.kind, self.records.clone())
    }

    /// The record for a turn.
    #[must_use]
    pub fn pick(&self, turn: usize) -> Option<&DnsRecord> {
        self.records.get(turn.checked_rem(self.records.len())?)
    }
}

/// The node's resolver.
#[derive(Default)]
pub struct Names {}

impl Names {
    #[must_use]
    pub fn cached(&self, _host: &str) -> Option<Arc<Answer>> {
        None
    }

    /// # Errors
    /// The resolver's text.
    pub async fn lookup(&self, host: &str) -> Result<Arc<Answer>, NameError> {
        let found = tokio::net::lookup_host((host, 0)).await.map_err(|e| NameError(e.to_string()))?;
        let ips: Vec<IpAddr> = found.map(|a| a.ip()).filter(IpAddr::is_ipv4).collect();
        if ips.is_empty() {
            return Err(NameError("dns server error: 3 name error".into()));
        }
        let record = |ip| DnsRecord { ip, port: 0, weight: 1, name: None };
        Ok(Arc::new(Answer { kind: RecordKind::A, records: ips.into_iter().map(record).collect(), ttl_ms: 30_000 }))
    }
}
