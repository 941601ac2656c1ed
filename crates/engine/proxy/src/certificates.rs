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
type Parsed = HashMap<Uuid, (Arc<gibbon_plan::Certificate>, Option<CertificatePair>)>;

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

    fn pair(&self, entity: &Arc<gibbon_plan::Certificate>) -> Option<CertificatePair> {
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((from, pair)) = parsed.get(&entity.id)
            && from == entity
        {
            return pair.clone();
        }
        let pair = server_pair(entity)
            .inspect_err(|cause| tracing::error!("certificate '{}' cannot be used: {cause}", entity.id))
            .ok();
        parsed.insert(entity.id, (Arc::clone(entity), pair.clone()));
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
        let plan = self.node.publisher.current();
        let pair = match plan.certificate_for(hello.sni.as_deref().unwrap_or("*")) {
            Some(entity) => self.pair(entity),
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
