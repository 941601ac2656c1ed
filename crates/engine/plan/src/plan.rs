//! The plan: everything the request path needs to know of the configuration, immutable.
//!
//! It holds entities ready for use and small persistent tables; joining them (route with service,
//! chain and upstream) is done by a worker when it first meets a route under a plan, so that a change
//! costs in proportion to itself and never to the configuration.

use std::sync::Arc;

use gibbon_pdk::{Phase, Route, Service};
use gibbon_router::{Flavor, Router, Subsystem};
use uuid::Uuid;

use crate::certificate::{AuthorityCertificate, Certificate};
use crate::chain::{Chain, Instance, Place};
use crate::directory::Directories;
use crate::sharded::{Sharded, hash_of};
use crate::upstream::Upstream;

/// Configurations of plugins under one scope.
pub type Instances = Arc<[Arc<Instance>]>;

/// A name of a certificate.
#[derive(Clone, Debug)]
pub struct Sni {
    /// Lower case; may start or end with a wildcard label.
    pub name: Arc<str>,
    pub certificate: Uuid,
}

/// One version of the configuration.
#[derive(Clone)]
pub struct Plan {
    /// Grows by one with every change.
    pub version: u64,
    /// Of the declarative document that is in force (32 hexadecimal digits), where there is one.
    pub hash: Option<Arc<str>>,
    pub http: Router<Arc<Route>>,
    pub stream: Router<Arc<Route>>,
    pub directories: Directories,
    pub(crate) services: Sharded<Arc<Service>>,
    pub(crate) upstreams: Sharded<Arc<Upstream>>,
    pub(crate) global: Option<Instances>,
    pub(crate) by_route: Sharded<(Uuid, Instances)>,
    pub(crate) by_service: Sharded<(Uuid, Instances)>,
    pub(crate) snis: Sharded<Sni>,
    pub(crate) certificates: Sharded<Arc<Certificate>>,
    pub(crate) authorities: Sharded<Arc<AuthorityCertificate>>,
    /// How many configurations of tracing plugins there are.
    pub(crate) tracers: usize,
    /// Sum of the hashes of everything above: equal configurations have equal ones.
    pub(crate) content: u64,
}

impl Plan {
    /// A plan without any entity.
    #[must_use]
    pub fn empty(flavor: Flavor) -> Plan {
        Plan {
            version: 0,
            hash: None,
            http: Router::empty(flavor, Subsystem::Http),
            stream: Router::empty(flavor, Subsystem::Stream),
            directories: Directories::default(),
            services: Sharded::default(),
            upstreams: Sharded::default(),
            global: None,
            by_route: Sharded::default(),
            by_service: Sharded::default(),
            snis: Sharded::default(),
            certificates: Sharded::default(),
            authorities: Sharded::default(),
            tracers: 0,
            content: 0,
        }
    }

    /// Equal for plans that answer every request alike, however they came about.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.content ^ self.http.fingerprint().rotate_left(1) ^ self.stream.fingerprint().rotate_left(2)
    }

    #[must_use]
    pub fn service(&self, id: Uuid) -> Option<&Arc<Service>> {
        self.services.find(hash_of(&id), |s| s.id == id)
    }

    /// The upstream that a host name stands for.
    #[must_use]
    pub fn upstream(&self, workspace: Uuid, name: &str) -> Option<&Arc<Upstream>> {
        self.upstreams.find(hash_of(&(workspace, name)), |u| u.workspace == workspace && &*u.name == name)
    }

    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.iter()
    }

    /// The certificate for a server name: the exact name, then a leading wildcard, then a trailing
    /// one, then `*`.
    #[must_use]
    pub fn certificate_for(&self, server_name: &str) -> Option<&Arc<Certificate>> {
        let leading = server_name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let trailing = server_name.rsplit_once('.').map(|(rest, _)| format!("{rest}.*"));
        let names = [Some(server_name), leading.as_deref(), trailing.as_deref(), Some("*")];
        let sni = names.into_iter().flatten().find_map(|name| self.snis.find(hash_of(name), |s| &*s.name == name))?;
        self.certificate(sni.certificate)
    }

    #[must_use]
    pub fn certificate(&self, id: Uuid) -> Option<&Arc<Certificate>> {
        self.certificates.find(hash_of(&id), |c| c.id == id)
    }

    #[must_use]
    pub fn authority(&self, id: Uuid) -> Option<&Arc<AuthorityCertificate>> {
        self.authorities.find(hash_of(&id), |c| c.id == id)
    }

    /// What decides the chain of a route: equal keys have equal chains under one plan.
    #[must_use]
    pub fn chain_key(&self, route: Option<Uuid>, service: Option<Uuid>) -> (Option<Uuid>, Option<Uuid>) {
        let has_own =
            |table: &Sharded<(Uuid, Instances)>, id: &Uuid| table.find(hash_of(id), |(i, _)| i == id).is_some();
        (route.filter(|id| has_own(&self.by_route, id)), service.filter(|id| has_own(&self.by_service, id)))
    }

    /// Compiles the chain for a route and service. Configurations bound to both lie under the route.
    #[must_use]
    pub fn compile_chain(&self, place: Place, route: Option<Uuid>, service: Option<Uuid>) -> Chain {
        let own = |table: &Sharded<(Uuid, Instances)>, id: Option<Uuid>| {
            id.and_then(|id| table.find(hash_of(&id), |(i, _)| *i == id)).map(|(_, list)| Arc::clone(list))
        };
        let lists = [self.global.clone(), own(&self.by_service, service), own(&self.by_route, route)];
        let fits =
            |i: &&Arc<Instance>| i.runs_in(place) && (i.binding.service.is_none() || i.binding.service == service);
        Chain::compile(lists.iter().flatten().flat_map(|list| list.iter()).filter(fits))
    }

    /// Whether any plugin traces: without one, exchanges record nothing for tracing.
    #[must_use]
    pub fn traces(&self) -> bool {
        self.tracers > 0
    }

    /// Global configurations that take part in a phase.
    pub fn global_instances(&self, phase: Phase) -> impl Iterator<Item = &Arc<Instance>> {
        self.global.iter().flat_map(|list| list.iter()).filter(move |instance| instance.phases.contains(phase))
    }

    /// The chain where no route is known.
    #[must_use]
    pub fn global_chain(&self) -> Chain {
        self.compile_chain(Place::without_route(), None, None)
    }
}
