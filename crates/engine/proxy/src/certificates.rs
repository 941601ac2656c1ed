//! Which certificate a client is shown: asked of the plan in force at each full handshake, parsed once
//! per entity and content.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gibbon_pdk::{CertificatePem, Phase};
use gibbon_plan::Plan;
use gibbon_tls::{Certificate, CertificatePair, CertificateSource, ClientHello};
use uuid::Uuid;

use crate::node::Node;

/// Parsed pairs by entity, with the entity they were parsed from.
#[derive(Default)]
struct Parsed {
    pairs: HashMap<Uuid, (Arc<gibbon_plan::Certificate>, Option<CertificatePair>)>,
    /// The plan under which it was last looked for pairs that nobody needs any more.
    swept: u64,
}

impl Parsed {
    /// Forgets what a plan no longer has, once per plan. Called before something is added, so the table never holds much
    /// more than one plan's certificates.
    fn sweep(&mut self, plan: &Plan, number: u64) {
        if std::mem::replace(&mut self.swept, number) != number {
            self.pairs
                .retain(|id, (from, _)| plan.certificate(*id).is_some_and(|now| Arc::ptr_eq(now, from) || now == from));
        }
    }
}

/// What plugins obtained, by server name, with the pair it was parsed to.
type Obtained = HashMap<Box<str>, (Arc<CertificatePem>, Option<CertificatePair>)>;

/// How many obtained certificates are kept parsed before parsing starts over.
const OBTAINED: usize = 10_000;

/// The plan's certificates, those that plugins obtained, and a default for all other names.
pub struct PlanCertificates {
    node: Arc<Node>,
    default: CertificatePair,
    parsed: Mutex<Parsed>,
    obtained: Mutex<Obtained>,
}

impl PlanCertificates {
    #[must_use]
    pub fn new(node: Arc<Node>, default: CertificatePair) -> Self {
        PlanCertificates { node, default, parsed: Mutex::default(), obtained: Mutex::default() }
    }

    fn pair(&self, plan: &Plan, number: u64, entity: &Arc<gibbon_plan::Certificate>) -> Option<CertificatePair> {
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((from, pair)) = parsed.pairs.get(&entity.id)
            && from == entity
        {
            return pair.clone();
        }
        let pair = server_pair(entity)
            .inspect_err(|cause| tracing::error!("certificate '{}' cannot be used: {cause}", entity.id))
            .ok();
        parsed.sweep(plan, number);
        parsed.pairs.insert(entity.id, (Arc::clone(entity), pair.clone()));
        pair
    }
}

impl PlanCertificates {
    /// What a plugin has for a name that no entity covers.
    fn by_plugin(&self, plan: &Plan, name: &str) -> Option<CertificatePair> {
        let mut asked = plan.global_instances(Phase::Certificate);
        let pem = asked.find_map(|instance| instance.handler.certificate_for(name))?;
        let mut obtained = self.obtained.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((from, pair)) = obtained.get(name)
            && *from == pem
        {
            return pair.clone();
        }
        let pair = Certificate::from_pem(pem.cert.as_bytes(), pem.key.as_bytes())
            .inspect_err(|cause| tracing::error!("the certificate obtained for '{name}' cannot be used: {cause}"))
            .ok()
            .map(|certificate| CertificatePair::new(certificate, None));
        if obtained.len() >= OBTAINED {
            obtained.clear();
        }
        obtained.insert(name.into(), (pem, pair.clone()));
        pair
    }
}

impl CertificateSource for PlanCertificates {
    fn certificate(&self, hello: &ClientHello) -> Option<Certificate> {
        let publisher = &self.node.publisher;
        let (number, plan) = (publisher.number(), publisher.current());
        let pair = match plan.certificate_for(hello.sni.as_deref().unwrap_or("*")) {
            Some(entity) => self.pair(&plan, number, entity),
            None => hello.sni.as_deref().and_then(|name| self.by_plugin(&plan, name)),
        };
        Some(pair.as_ref().unwrap_or(&self.default).choose(hello).clone())
    }
}

/// The pairs of a certificate entity.
fn server_pair(entity: &gibbon_plan::Certificate) -> Result<CertificatePair, String> {
    let parse =
        |cert: &str, key: &str| Certificate::from_pem(cert.as_bytes(), key.as_bytes()).map_err(|e| e.to_string());
    let second = match (&entity.cert_alt, &entity.key_alt) {
        (Some(cert), Some(key)) => Some(parse(cert, key)?),
        _ => None,
    };
    Ok(CertificatePair::new(parse(&entity.cert, &entity.key)?, second))
}

#[cfg(test)]
mod tests {
    use gibbon_router::Flavor;

    use super::*;

    #[test]
    fn what_a_plan_no_longer_has_is_forgotten_once_per_plan() {
        let none = Plan::empty(Flavor::TraditionalCompatible);
        let entity = |id| {
            let cert = gibbon_plan::Certificate { id, cert: "".into(), key: "".into(), cert_alt: None, key_alt: None };
            (id, (Arc::new(cert), None))
        };
        let mut parsed = Parsed::default();
        parsed.pairs.extend([entity(Uuid::from_u128(1)), entity(Uuid::from_u128(2))]);
        parsed.sweep(&none, 1);
        assert!(parsed.pairs.is_empty());
        parsed.pairs.extend([entity(Uuid::from_u128(3))]);
        parsed.sweep(&none, 1);
        assert_eq!(parsed.pairs.len(), 1, "not looked through again under the same plan");
    }
}
