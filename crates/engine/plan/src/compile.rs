//! The plan compiler: a list of changes goes in, the next plan comes out, or the reason why not.
//!
//! It keeps what it needs to know between plans (which entity stands where) and touches only what a
//! list of changes names. Founding property: compiling changes one list after the other gives the same
//! plan, by fingerprint and by behaviour, as compiling the final state from scratch.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use gibbon_pdk::{Build, BuildError, Handler, Plugin, Protocols, Route, Service};
use gibbon_router::{Change as RouteChange, Flavor, RouteError, RouteSpec, Subsystem};
use serde_json::Value;
use smallvec::SmallVec;
use uuid::Uuid;

use crate::certificate::{AuthorityCertificate, Certificate};
use crate::chain::{Binding, Instance};
use crate::change::Change;
use crate::condition::Condition;
use crate::content::Content;
use crate::directory::{self, foreign, id_of, text};
use crate::entity;
use crate::plan::{Instances, Plan, Sni};
use crate::sharded::{Sharded, hash_of};
use crate::upstream::{Target, Upstream};

/// Plugins that are loaded, by name.
pub type Plugins = HashMap<Arc<str>, Plugin>;

/// Why a list of changes gives no plan; the plan before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    #[error("{entity} '{id}' is not valid: {cause}")]
    Entity { entity: String, id: Uuid, cause: String },
    #[error("route '{id}' cannot be compiled: {cause}")]
    Route { id: Uuid, cause: String },
    #[error(transparent)]
    Plugin(#[from] BuildError),
}

/// How handlers get the ports they are built with: everything of a [`Build`] that is not the plugin's
/// own, behind a closure so that the compiler needs to know no port.
pub trait Builder {
    /// Calls `plugin.build` with this node's ports.
    fn build(&self, plugin: &Plugin, config: &Value, scope: &BuildScope) -> Result<Arc<dyn Handler>, BuildError>;
}

/// The plugin's own part of a [`Build`].
#[derive(Clone, Copy, Debug)]
pub struct BuildScope {
    pub plugin_id: Uuid,
    pub workspace: Uuid,
    pub binding: Binding,
}

impl BuildScope {
    /// Fills the plugin's part into a build context.
    pub fn fill(&self, build: &mut Build<'_>) {
        build.plugin_id = self.plugin_id;
        build.workspace = self.workspace;
        build.route = self.binding.route;
        build.service = self.binding.service;
        build.consumer = self.binding.consumer;
        build.consumer_group = self.binding.group;
    }
}

/// A route as the compiler remembers it.
struct KnownRoute {
    spec: RouteSpec,
    route: Arc<Route>,
    subsystem: Subsystem,
    /// Whether it stands in the router (its service is enabled).
    routed: bool,
}

/// The state between plans.
pub struct Compiler {
    flavor: Flavor,
    plugins: Arc<Plugins>,
    plan: Plan,
    routes: HashMap<Uuid, KnownRoute>,
    routes_of_service: HashMap<Uuid, SmallVec<[Uuid; 2]>>,
    disabled_services: HashMap<Uuid, ()>,
    instances: HashMap<Uuid, Arc<Instance>>,
    targets: HashMap<Uuid, Vec<Target>>,
    upstream_documents: HashMap<Uuid, (Uuid, Arc<Value>)>,
    /// Under which key an upstream stands in the plan.
    upstream_keys: HashMap<Uuid, (Uuid, Box<str>)>,
}

/// Router changes collected over one list, per subsystem.
#[derive(Default)]
struct RouterChanges {
    http: Vec<RouteChange<Arc<Route>>>,
    stream: Vec<RouteChange<Arc<Route>>>,
}

impl RouterChanges {
    fn of(&mut self, subsystem: Subsystem) -> &mut Vec<RouteChange<Arc<Route>>> {
        match subsystem {
            Subsystem::Http => &mut self.http,
            Subsystem::Stream => &mut self.stream,
        }
    }
}

impl Compiler {
    #[must_use]
    pub fn new(flavor: Flavor, plugins: Arc<Plugins>) -> Self {
        Compiler {
            flavor,
            plugins,
            plan: Plan::empty(flavor),
            routes: HashMap::new(),
            routes_of_service: HashMap::new(),
            disabled_services: HashMap::new(),
            instances: HashMap::new(),
            targets: HashMap::new(),
            upstream_documents: HashMap::new(),
            upstream_keys: HashMap::new(),
        }
    }

    /// A compiler for the same gateway that has compiled nothing yet; its plans go on counting.
    #[must_use]
    pub fn emptied(&self) -> Self {
        let mut empty = Compiler::new(self.flavor, Arc::clone(&self.plugins));
        empty.plan.version = self.plan.version;
        empty
    }

    /// Names the document that the next plan comes from.
    pub fn set_hash(&mut self, hash: Option<Arc<str>>) {
        self.plan.hash = hash;
    }

    /// The plan as it now is.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Applies a list of changes and gives the next plan.
    ///
    /// # Errors
    /// The first change that cannot be compiled; then everything stays as it was.
    pub fn apply(&mut self, changes: &[Change], builder: &dyn Builder) -> Result<Arc<Plan>, CompileError> {
        let mut router_changes = RouterChanges::default();
        for (number, change) in changes.iter().enumerate() {
            if let Err(error) = self.apply_one(change, builder, &mut router_changes) {
                self.undo(changes.get(..=number).unwrap_or(changes), builder);
                return Err(error);
            }
        }
        if let Err(error) = self.update_routers(router_changes) {
            self.undo(changes, builder);
            return Err(error);
        }
        self.plan.version += 1;
        Ok(Arc::new(self.plan.clone()))
    }

    /// Takes changes back, last first. The routers were not touched yet, so what is collected for them is dropped.
    /// What stood before compiled once and does so again.
    fn undo(&mut self, changes: &[Change], builder: &dyn Builder) {
        let mut dropped = RouterChanges::default();
        for change in changes.iter().rev() {
            if let Err(error) = self.apply_one(&change.inverse(), builder, &mut dropped) {
                tracing::error!("taking back a refused change failed: {error}");
            }
        }
    }

    fn apply_one(
        &mut self,
        change: &Change,
        builder: &dyn Builder,
        out: &mut RouterChanges,
    ) -> Result<(), CompileError> {
        self.fold_content(change);
        match &*change.entity {
            "services" => self.change_service(change, out),
            "routes" => self.change_route(change, out),
            "plugins" => self.change_plugin(change, builder),
            "upstreams" => self.change_upstream(change),
            "targets" => self.change_target(change),
            "certificates" => self.change_certificate(change),
            "snis" => self.change_sni(change),
            "ca_certificates" => self.change_authority(change),
            entity if directory::holds(entity) => {
                let (before, after) = (change.before.as_deref(), change.after.as_deref());
                self.plan.directories.apply(entity, change.workspace, before, after);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Keeps the sum of the hashes of all entities, whatever the order in which they came.
    fn fold_content(&mut self, change: &Change) {
        let hash = |v: &Arc<Value>| hash_of(&(&*change.entity, change.workspace, Content(v)));
        let removed = change.before.as_ref().map_or(0, hash);
        let added = change.after.as_ref().map_or(0, hash);
        self.plan.content = self.plan.content.wrapping_sub(removed).wrapping_add(added);
    }

    fn change_service(&mut self, change: &Change, out: &mut RouterChanges) -> Result<(), CompileError> {
        let id = change.id;
        self.plan.services.remove(hash_of(&id), |s| s.id == id);
        let was_disabled = self.disabled_services.remove(&id).is_some();
        if let Some(document) = &change.after {
            let service = entity::service(document, change.workspace).map_err(|cause| invalid(change, cause))?;
            self.plan.services.insert(hash_of(&id), Arc::new(service), |s: &Arc<Service>| hash_of(&s.id));
            if document.get("enabled") == Some(&Value::Bool(false)) {
                self.disabled_services.insert(id, ());
            }
        }
        // A service may have a great many routes; most changes of it are none of theirs.
        if was_disabled != self.disabled_services.contains_key(&id) {
            for route in self.routes_of_service.get(&id).cloned().unwrap_or_default() {
                self.route_or_unroute(route, out);
            }
        }
        Ok(())
    }

    /// Brings the router in line with whether the route's service is enabled.
    fn route_or_unroute(&mut self, id: Uuid, out: &mut RouterChanges) {
        let Some(known) = self.routes.get_mut(&id) else { return };
        let wanted = known.route.service.is_none_or(|s| !self.disabled_services.contains_key(&s));
        if wanted == known.routed {
            return;
        }
        known.routed = wanted;
        let list = out.of(known.subsystem);
        list.push(if wanted {
            RouteChange::Put(known.spec.clone(), Arc::clone(&known.route))
        } else {
            RouteChange::Remove(id)
        });
    }

    fn change_route(&mut self, change: &Change, out: &mut RouterChanges) -> Result<(), CompileError> {
        let id = change.id;
        if let Some(old) = self.routes.remove(&id) {
            if old.routed {
                out.of(old.subsystem).push(RouteChange::Remove(id));
            }
            if let Some(list) = old.route.service.and_then(|s| self.routes_of_service.get_mut(&s)) {
                list.retain(|r| *r != id);
            }
        }
        let Some(document) = &change.after else { return Ok(()) };
        let route = Arc::new(entity::route(document, change.workspace).map_err(|cause| invalid(change, cause))?);
        let spec = entity::route_spec(document).map_err(|cause| invalid(change, cause))?;
        let subsystem = entity::subsystem(route.protocols);
        if let Some(service) = route.service {
            self.routes_of_service.entry(service).or_default().push(id);
        }
        self.routes.insert(id, KnownRoute { spec, route, subsystem, routed: false });
        self.route_or_unroute(id, out);
        Ok(())
    }

    fn update_routers(&mut self, changes: RouterChanges) -> Result<(), CompileError> {
        let http = match changes.http.is_empty() {
            true => None,
            false => Some(self.plan.http.updated(changes.http).map_err(|errors| refused(&errors))?),
        };
        if !changes.stream.is_empty() {
            self.plan.stream = self.plan.stream.updated(changes.stream).map_err(|errors| refused(&errors))?;
        }
        if let Some(http) = http {
            self.plan.http = http;
        }
        Ok(())
    }

    fn change_plugin(&mut self, change: &Change, builder: &dyn Builder) -> Result<(), CompileError> {
        let old = self.instances.remove(&change.id);
        if let Some(old) = &old {
            self.unlist(old);
            self.plan.tracers -= usize::from(old.handler.traces());
        }
        let Some(document) = &change.after else { return Ok(()) };
        if document.get("enabled") == Some(&Value::Bool(false)) {
            return Ok(());
        }
        let instance = self.instance(change, document, old.as_ref(), builder)?;
        self.list(&instance);
        self.plan.tracers += usize::from(instance.handler.traces());
        self.instances.insert(change.id, instance);
        Ok(())
    }

    /// Builds an instance; one of equal content keeps its handler, and with it the handler's state.
    fn instance(
        &self,
        change: &Change,
        document: &Value,
        old: Option<&Arc<Instance>>,
        builder: &dyn Builder,
    ) -> Result<Arc<Instance>, CompileError> {
        let name = text(document, "name").unwrap_or_default();
        let plugin = self.plugins.get(&*name).ok_or_else(|| {
            invalid(change, format!("plugin '{name}' not enabled; add it to the 'plugins' configuration property"))
        })?;
        let binding = binding_of(document);
        let content = hash_of(&(document.get("config").map(Value::to_string), binding, &*name));
        let handler = match old.filter(|o| o.content == content) {
            Some(same) => Arc::clone(&same.handler),
            None => {
                let scope = BuildScope { plugin_id: change.id, workspace: change.workspace, binding };
                builder.build(plugin, document.get("config").unwrap_or(&Value::Null), &scope)?
            }
        };
        Ok(Arc::new(Instance {
            id: change.id,
            name: Arc::clone(&plugin.name),
            priority: plugin.priority,
            phases: plugin.phases.without(handler.idle_phases()),
            protocols: protocols_of(document, plugin.protocols),
            binding,
            workspace: change.workspace,
            handler,
            before: ordering(document, "before"),
            after: ordering(document, "after"),
            condition: condition(document).map_err(|cause| invalid(change, format!("condition: {cause}")))?,
            content,
        }))
    }

    fn list(&mut self, instance: &Arc<Instance>) {
        let with = |list: Option<&Instances>| -> Instances {
            list.into_iter().flat_map(|l| l.iter()).chain([instance]).cloned().collect()
        };
        match (instance.binding.route, instance.binding.service) {
            (Some(route), _) => replace(&mut self.plan.by_route, route, with),
            (None, Some(service)) => replace(&mut self.plan.by_service, service, with),
            (None, None) => self.plan.global = Some(with(self.plan.global.as_ref())),
        }
    }

    fn unlist(&mut self, instance: &Arc<Instance>) {
        let without = |list: Option<&Instances>| -> Instances {
            list.into_iter().flat_map(|l| l.iter()).filter(|i| i.id != instance.id).cloned().collect()
        };
        match (instance.binding.route, instance.binding.service) {
            (Some(route), _) => replace(&mut self.plan.by_route, route, without),
            (None, Some(service)) => replace(&mut self.plan.by_service, service, without),
            (None, None) => self.plan.global = Some(without(self.plan.global.as_ref())).filter(|l| !l.is_empty()),
        }
    }

    fn change_upstream(&mut self, change: &Change) -> Result<(), CompileError> {
        match &change.after {
            Some(document) => self.upstream_documents.insert(change.id, (change.workspace, Arc::clone(document))),
            None => self.upstream_documents.remove(&change.id),
        };
        self.rebuild_upstream(change.id).map_err(|cause| invalid(change, cause))
    }

    fn change_target(&mut self, change: &Change) -> Result<(), CompileError> {
        let of = |document: &Arc<Value>| foreign(document, "upstream");
        let touched: SmallVec<[Uuid; 2]> =
            [change.before.as_ref().and_then(of), change.after.as_ref().and_then(of)].into_iter().flatten().collect();
        for upstream in &touched {
            self.targets.entry(*upstream).or_default().retain(|t| t.id != change.id);
        }
        if let Some(document) = &change.after
            && let Some(upstream) = of(document)
        {
            let target = Target::from_document(document).map_err(|cause| invalid(change, cause))?;
            self.targets.entry(upstream).or_default().push(target);
        }
        for upstream in touched {
            self.rebuild_upstream(upstream).map_err(|cause| invalid(change, cause))?;
        }
        Ok(())
    }

    fn rebuild_upstream(&mut self, id: Uuid) -> Result<(), String> {
        if let Some((workspace, name)) = self.upstream_keys.remove(&id) {
            self.plan.upstreams.remove(hash_of(&(workspace, &*name)), |u| u.id == id);
        }
        let Some((workspace, document)) = self.upstream_documents.get(&id) else { return Ok(()) };
        let targets = self.targets.get(&id).map(Vec::as_slice).unwrap_or_default();
        let upstream = Upstream::from_document(document, *workspace, targets)?;
        let hash = hash_of(&(*workspace, &*upstream.name));
        self.upstream_keys.insert(id, (*workspace, upstream.name.clone()));
        self.plan.upstreams.insert(hash, Arc::new(upstream), |u| hash_of(&(u.workspace, &*u.name)));
        Ok(())
    }

    fn change_certificate(&mut self, change: &Change) -> Result<(), CompileError> {
        let id = change.id;
        self.plan.certificates.remove(hash_of(&id), |c| c.id == id);
        let Some(document) = &change.after else { return Ok(()) };
        let required =
            |field: &str| text(document, field).ok_or_else(|| invalid(change, format!("{field} is missing")));
        let certificate = Certificate {
            id,
            cert: required("cert")?,
            key: required("key")?,
            cert_alt: text(document, "cert_alt"),
            key_alt: text(document, "key_alt"),
        };
        self.plan.certificates.insert(hash_of(&id), Arc::new(certificate), |c| hash_of(&c.id));
        Ok(())
    }

    fn change_sni(&mut self, change: &Change) -> Result<(), CompileError> {
        let parse = |document: &Value| {
            let name = text(document, "name")?.to_ascii_lowercase();
            Some(Sni { name: name.into(), certificate: foreign(document, "certificate")? })
        };
        if let Some(old) = change.before.as_deref().and_then(parse) {
            self.plan.snis.remove(hash_of(&*old.name), |s| s.name == old.name);
        }
        if let Some(new) = change.after.as_deref().and_then(parse) {
            self.plan.snis.insert(hash_of(&*new.name), new, |s| hash_of(&*s.name));
        }
        Ok(())
    }

    fn change_authority(&mut self, change: &Change) -> Result<(), CompileError> {
        let id = change.id;
        self.plan.authorities.remove(hash_of(&id), |c| c.id == id);
        if let Some(cert) = change.after.as_deref().and_then(|d| text(d, "cert")) {
            let authority = Arc::new(AuthorityCertificate { id, cert });
            self.plan.authorities.insert(hash_of(&id), authority, |c| hash_of(&c.id));
        }
        Ok(())
    }
}

fn replace(table: &mut Sharded<(Uuid, Instances)>, id: Uuid, make: impl FnOnce(Option<&Instances>) -> Instances) {
    let old = table.remove(hash_of(&id), |(i, _)| *i == id);
    let list = make(old.as_ref().map(|(_, list)| list));
    if !list.is_empty() {
        table.insert(hash_of(&id), (id, list), |(i, _)| hash_of(i));
    }
}

fn invalid(change: &Change, cause: impl Into<String>) -> CompileError {
    CompileError::Entity { entity: change.entity.to_string(), id: change.id, cause: cause.into() }
}

fn refused(errors: &[RouteError]) -> CompileError {
    match errors.first() {
        Some(error) => CompileError::Route { id: error.route, cause: error.message.clone() },
        None => CompileError::Route { id: Uuid::nil(), cause: "the router gave no reason".into() },
    }
}

/// What a plugin document is bound to.
#[must_use]
pub fn binding_of(document: &Value) -> Binding {
    Binding {
        route: foreign(document, "route"),
        service: foreign(document, "service"),
        consumer: foreign(document, "consumer"),
        group: foreign(document, "consumer_group"),
    }
}

fn protocols_of(document: &Value, default: Protocols) -> Protocols {
    match document.get("protocols").and_then(Value::as_array) {
        Some(list) => entity::protocols(list),
        None => default,
    }
}

fn condition(document: &Value) -> Result<Option<Condition>, String> {
    text(document, "condition").map(|text| Condition::new(&text)).transpose()
}

fn ordering(document: &Value, side: &str) -> Box<[Box<str>]> {
    let list = document.get("ordering").and_then(|o| o.get(side)).and_then(|s| s.get("access"));
    let names = list.and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).map(Box::from).collect()
}

/// Sorts the entities of a complete configuration so that whatever is referred to comes first.
#[must_use]
pub fn in_order_of_reference(mut changes: Vec<Change>) -> Vec<Change> {
    const FIRST: [&str; 10] = [
        "ca_certificates",
        "certificates",
        "snis",
        "upstreams",
        "targets",
        "services",
        "routes",
        "consumers",
        "consumer_groups",
        "plugins",
    ];
    let place = |c: &Change| FIRST.iter().position(|e| *e == &*c.entity).unwrap_or(FIRST.len());
    changes.sort_by_key(place);
    changes
}

/// The id of a document, for callers that make changes of documents.
#[must_use]
pub fn document_id(document: &Value) -> Option<Uuid> {
    id_of(document)
}
