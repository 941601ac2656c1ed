//! Names of the DNS as the balancer wants them; the resolver itself is `wires/dns`.

use std::net::IpAddr;
use std::sync::Arc;

use gibbon_balance::Resolution;
use gibbon_dns::{Answer, DnsError, Resolver};
use gibbon_pdk::{Fault, FaultKind, Retry, Source};

use crate::balance::unresolved;

/// How soon a name that did not resolve is asked for again.
pub const RETRY_FAILED_MS: u64 = 30_000;

/// The node's resolver.
pub struct Names {
    resolver: Resolver,
}

/// One address of a name: SRV records bring a port of their own, others 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    pub ip: IpAddr,
    pub port: u16,
}

impl Names {
    #[must_use]
    pub fn new(resolver: Resolver) -> Self {
        Names { resolver }
    }

    /// The resolver, for its figures.
    #[must_use]
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// The next address of a name, and whether the cache knew; waits only if it did not. Errors are 503 when the name
    /// does not exist or is empty, 500 with the resolver's text otherwise.
    pub async fn next(&self, host: &str) -> (Result<Named, Fault>, bool) {
        match self.resolver.cached(host) {
            Some(outcome) => (named(host, outcome), true),
            None => (named(host, self.resolver.lookup(host).await), false),
        }
    }

    /// All addresses of a name for a balancer, and in how many milliseconds to ask again.
    pub async fn resolution(&self, host: &str) -> (Resolution, u64) {
        let outcome: Result<Arc<Answer>, DnsError> = self.resolver.lookup(host).await;
        match outcome {
            Ok(answer) => (answer.to_resolution(), answer.expires_at.saturating_sub(self.resolver.now_ms())),
            Err(error) => (Resolution::Failed(error.to_string()), RETRY_FAILED_MS),
        }
    }
}

fn named(host: &str, outcome: Result<Arc<Answer>, DnsError>) -> Result<Named, Fault> {
    let answer = outcome.map_err(|error| fault(host, &error))?;
    let record = answer.next().ok_or_else(|| unresolved(host, "no addresses"))?;
    Ok(Named { ip: record.ip, port: record.port })
}

fn fault(host: &str, error: &DnsError) -> Fault {
    if error.is_not_found() {
        return unresolved(host, &error.to_string());
    }
    let cause = format!("name resolution of '{host}' failed: {error}");
    Fault::new(FaultKind::Internal, Source::Ourselves, Retry::Never, cause).with_message(error.to_string())
}
