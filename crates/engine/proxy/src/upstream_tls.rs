//! TLS towards upstreams: from what a service, an upstream and the node say to a compiled client.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::HashMap;
use gibbon_pdk::{CertificatePem, Fault, FaultKind, Retry, Source, UpstreamTls};
use gibbon_plan::Plan;
use gibbon_tls::{Certificate, ClientTls, ClientTlsSettings, IpSubject, ServerName, TrustStore, Verify};
use uuid::Uuid;

use crate::node::Node;
use crate::settings::UpstreamSettings;

/// Profiles that a worker keeps compiled.
const MOST_COMPILED: usize = 4096;

/// What tells one TLS client from another; also part of the pool's key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsProfile {
    /// Name to verify and to send as SNI.
    pub name: Box<str>,
    pub verify: bool,
    pub depth: u8,
    pub authorities: Option<Vec<Uuid>>,
    pub identity: Option<Uuid>,
    /// What a plugin chose in place of these two.
    pub presented: Option<Arc<CertificatePem>>,
    pub trusted: Option<Arc<str>>,
    pub http2: bool,
}

/// Compiled clients of one worker under one plan.
#[derive(Default)]
pub struct UpstreamTlsTable {
    compiled: RefCell<HashMap<Rc<TlsProfile>, (ClientTls, ServerName)>>,
}

impl UpstreamTlsTable {
    /// The plan changed: certificates may have.
    pub fn forget(&self) {
        self.compiled.borrow_mut().clear();
    }

    /// The client for a profile, compiled on first use.
    ///
    /// # Errors
    /// 502 when a certificate of the profile is unknown or unusable.
    pub fn get(
        &self,
        profile: &Rc<TlsProfile>,
        plan: &Plan,
        node: &Node,
        settings: &UpstreamSettings,
    ) -> Result<(ClientTls, ServerName), Fault> {
        if let Some(known) = self.compiled.borrow().get(profile) {
            return Ok(known.clone());
        }
        let tls = node.client_tls.get(&compile(profile, plan, settings)?).map_err(|e| unusable(&e.to_string()))?;
        let name = ServerName::parse(&profile.name).ok_or_else(|| unusable("the upstream's name is no host name"))?;
        let mut compiled = self.compiled.borrow_mut();
        // A plugin that presents another certificate with every request must not fill the memory.
        if compiled.len() >= MOST_COMPILED {
            compiled.clear();
        }
        compiled.insert(Rc::clone(profile), (tls.clone(), name.clone()));
        Ok((tls, name))
    }
}

/// The profile of a try.
#[must_use]
pub fn profile(
    tls: &UpstreamTls,
    upstream_identity: Option<Uuid>,
    host: &str,
    http2: bool,
    settings: &UpstreamSettings,
) -> TlsProfile {
    TlsProfile {
        name: host.into(),
        verify: tls.verify.unwrap_or(settings.tls_verify),
        depth: tls.verify_depth.unwrap_or(settings.tls_verify_depth),
        authorities: tls.ca_certificates.as_ref().map(|ids| ids.to_vec()),
        identity: tls.client_certificate.or(upstream_identity),
        presented: tls.presented.clone(),
        trusted: tls.trusted.clone(),
        http2,
    }
}

fn compile(profile: &TlsProfile, plan: &Plan, settings: &UpstreamSettings) -> Result<ClientTlsSettings, Fault> {
    Ok(ClientTlsSettings {
        verify: if profile.verify { verification(profile, plan, settings)? } else { Verify::Off },
        identity: identity(profile, plan, settings)?,
        alpn: if profile.http2 { vec![b"h2".to_vec()] } else { Vec::new() },
        ..ClientTlsSettings::default()
    })
}

fn verification(profile: &TlsProfile, plan: &Plan, settings: &UpstreamSettings) -> Result<Verify, Fault> {
    let trust = match (&profile.trusted, &profile.authorities) {
        (Some(pem), _) => TrustStore::from_pem([("set_tls_verify_store", pem.as_bytes())]),
        (None, Some(ids)) => {
            let certs: Vec<&str> = ids.iter().filter_map(|id| plan.authority(*id)).map(|a| &*a.cert).collect();
            if certs.len() != ids.len() {
                return Err(unusable("a CA certificate of the service does not exist"));
            }
            TrustStore::from_pem(certs.iter().map(|pem| ("ca_certificates", pem.as_bytes())))
        }
        (None, None) => match &settings.trusted_authorities {
            Some(pem) => TrustStore::from_pem([("lua_ssl_trusted_certificate", pem.as_bytes())]),
            None => TrustStore::system(),
        },
    };
    let trust = trust.map_err(|e| unusable(&e.to_string()))?;
    Ok(Verify::On { trust, depth: u32::from(profile.depth), ip_subject: IpSubject::AsDnsName })
}

fn identity(profile: &TlsProfile, plan: &Plan, settings: &UpstreamSettings) -> Result<Option<Certificate>, Fault> {
    let (cert, key) = match (&profile.presented, profile.identity) {
        (Some(pair), _) => (pair.cert.clone(), pair.key.clone()),
        (None, Some(id)) => {
            let certificate = plan.certificate(id).ok_or_else(|| unusable("the client certificate does not exist"))?;
            (certificate.cert.to_string(), certificate.key.to_string())
        }
        (None, None) => match &settings.client_certificate {
            Some(pair) => pair.clone(),
            None => return Ok(None),
        },
    };
    Certificate::from_pem(cert.as_bytes(), key.as_bytes()).map(Some).map_err(|e| unusable(&e.to_string()))
}

fn unusable(cause: &str) -> Fault {
    Fault::new(FaultKind::TlsHandshake, Source::Ourselves, Retry::Never, format!("TLS to the upstream: {cause}"))
}
