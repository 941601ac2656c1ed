//! Which certificate a client is shown: asked of the plan in force at each full handshake, parsed once
//! per entity and content.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gibbon_tls::{Certificate, CertificatePair, CertificateSource, ClientHello};
use uuid::Uuid;

use crate::node::Node;

/// Parsed pairs by entity, with the entity they were parsed from.
type Parsed = HashMap<Uuid, (Arc<gibbon_plan::Certificate>, Option<CertificatePair>)>;

/// The plan's certificates, and a default for names that it does not know.
pub struct PlanCertificates {
    node: Arc<Node>,
    default: CertificatePair,
    parsed: Mutex<Parsed>,
}

impl PlanCertificates {
    #[must_use]
    pub fn new(node: Arc<Node>, default: CertificatePair) -> Self {
        PlanCertificates { node, default, parsed: Mutex::default() }
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

impl CertificateSource for PlanCertificates {
    fn certificate(&self, hello: &ClientHello) -> Option<Certificate> {
        let plan = self.node.publisher.current();
        let found = plan.certificate_for(hello.sni.as_deref().unwrap_or("*"));
        let pair = found.and_then(|entity| self.pair(entity));
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
