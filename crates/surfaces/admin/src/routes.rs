//! Paths and the verbs they take: those of entities made from the registry, the others listed here.

use std::collections::HashMap;
use std::sync::Arc;

use gibbon_model::{EntityDef, Registry};
use http::Method;

/// An entity below another: `child` refers to `parent` with `field`.
#[derive(Clone, Debug)]
pub struct Family {
    pub parent: Arc<EntityDef>,
    pub child: Arc<EntityDef>,
    pub field: Box<str>,
}

/// What a path stands for.
#[derive(Clone, Debug)]
pub enum Action {
    Collection(Arc<EntityDef>),
    Entity(Arc<EntityDef>),
    /// Children of one parent.
    Nested(Family),
    NestedEntity(Family),
    /// The parent of one child.
    Parent(Family),
    Hand(Hand),
}

/// What is not made from the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    Root,
    Robots,
    Endpoints,
    Status,
    Ready,
    Dns,
    Metrics,
    Timers,
    Cache,
    CacheKey,
    Config,
    LogLevel,
    SetLogLevel,
    ClusterLogLevel,
    DataPlanes,
    ClusterStatus,
    Schema,
    PluginSchema,
    VaultSchema,
    FilterSchema,
    PartialSchema,
    ValidateSchema,
    ValidatePlugin,
    ValidateVault,
    OldPluginSchema,
    EnabledPlugins,
    Tags,
    Tag,
    Targets,
    AllTargets,
    Target,
    TargetHealthy,
    TargetUnhealthy,
    AddressHealthy,
    AddressUnhealthy,
    UpstreamHealth,
    Group,
    GroupMembers,
    GroupMember,
    ConsumerGroups,
    ConsumerGroup,
    PartialLinks,
    Workspaces,
    Workspace,
    WorkspaceMeta,
    UserRoles,
    UserPermissions,
    RolePermissions,
    RoleEndpoint,
    RoleEntity,
    GroupRoles,
    Admins,
    Admin,
    AdminRoles,
    AdminWorkspaces,
    AdminWorkspace,
    Register,
    AuditRequests,
    AuditObjects,
    HookSources,
    HookSource,
    HookPing,
    HookTest,
    OpenApi,
    Fips,
    LicenseReport,
    Keyring,
    KeyringGenerate,
    KeyringActivate,
    KeyringRemove,
    KeyringExport,
    KeyringImport,
    KeyringRecover,
    KeyringSync,
}

impl Hand {
    /// Whether it works within the workspace of the call, or shows everybody the same.
    fn is_of_a_workspace(self) -> bool {
        use Hand as H;
        match self {
            H::Root | H::Robots | H::Endpoints | H::Status | H::Ready | H::Dns | H::OpenApi | H::EnabledPlugins => true,
            H::Schema | H::PluginSchema | H::VaultSchema | H::FilterSchema | H::PartialSchema => true,
            H::ValidateSchema | H::ValidatePlugin | H::ValidateVault | H::OldPluginSchema => true,
            H::Tags | H::Tag | H::Targets | H::AllTargets | H::Target | H::TargetHealthy | H::TargetUnhealthy => true,
            H::AddressHealthy | H::AddressUnhealthy | H::UpstreamHealth => true,
            H::Group | H::GroupMembers | H::GroupMember | H::ConsumerGroups | H::ConsumerGroup => true,
            H::PartialLinks | H::UserRoles | H::UserPermissions | H::RolePermissions => true,
            H::RoleEndpoint | H::RoleEntity => true,
            H::Workspaces | H::Workspace | H::WorkspaceMeta | H::Metrics | H::Timers | H::Cache | H::CacheKey => false,
            H::Config | H::LogLevel | H::SetLogLevel | H::ClusterLogLevel | H::DataPlanes | H::ClusterStatus => false,
            H::GroupRoles | H::Admins | H::Admin | H::AdminRoles | H::AdminWorkspaces | H::Register => false,
            H::AdminWorkspace => false,
            H::AuditRequests | H::AuditObjects | H::HookSources | H::HookSource | H::HookPing | H::HookTest => false,
            H::Fips | H::LicenseReport => false,
            H::Keyring | H::KeyringGenerate | H::KeyringActivate | H::KeyringRemove => false,
            H::KeyringExport | H::KeyringImport | H::KeyringRecover | H::KeyringSync => false,
        }
    }
}

const GET: &[Method] = &[Method::GET];
const PUT: &[Method] = &[Method::PUT];
const POST: &[Method] = &[Method::POST];
const GET_POST: &[Method] = &[Method::GET, Method::POST];
const ENTITY: &[Method] = &[Method::DELETE, Method::GET, Method::PATCH, Method::PUT];
const LIST: &[Method] = &[Method::DELETE, Method::GET, Method::POST];
const MEMBER: &[Method] = &[Method::DELETE, Method::GET];
/// What decK and the ingress controller use stands beside what the console uses.
const HEALTH: &[Method] = &[Method::POST, Method::PUT];

const BY_HAND: &[(&str, Hand, &[Method])] = &[
    ("/", Hand::Root, GET),
    ("/robots.txt", Hand::Robots, GET),
    ("/endpoints", Hand::Endpoints, GET),
    ("/status", Hand::Status, GET),
    ("/status/dns", Hand::Dns, GET),
    ("/metrics", Hand::Metrics, GET),
    ("/timers", Hand::Timers, GET),
    ("/cache", Hand::Cache, &[Method::DELETE]),
    ("/cache/{key}", Hand::CacheKey, &[Method::DELETE, Method::GET]),
    ("/config", Hand::Config, GET_POST),
    ("/debug/node/log-level", Hand::LogLevel, GET),
    ("/debug/node/log-level/{log_level}", Hand::SetLogLevel, PUT),
    ("/debug/cluster/log-level/{log_level}", Hand::ClusterLogLevel, PUT),
    ("/debug/cluster/control-planes-nodes/log-level/{log_level}", Hand::ClusterLogLevel, PUT),
    ("/clustering/data-planes", Hand::DataPlanes, GET),
    ("/clustering/status", Hand::ClusterStatus, GET),
    ("/schemas/{name}", Hand::Schema, GET),
    ("/schemas/plugins/{name}", Hand::PluginSchema, GET),
    ("/schemas/vaults/{name}", Hand::VaultSchema, GET),
    ("/schemas/filters/{name}", Hand::FilterSchema, GET),
    ("/schemas/partials/{name}", Hand::PartialSchema, GET),
    ("/schemas/{db_entity_name}/validate", Hand::ValidateSchema, POST),
    ("/schemas/plugins/validate", Hand::ValidatePlugin, POST),
    ("/schemas/vaults/validate", Hand::ValidateVault, POST),
    ("/plugins/schema/{name}", Hand::OldPluginSchema, GET),
    ("/plugins/enabled", Hand::EnabledPlugins, GET),
    ("/tags", Hand::Tags, GET),
    ("/tags/{tags}", Hand::Tag, GET),
    ("/upstreams/{upstreams}/health", Hand::UpstreamHealth, GET),
    ("/upstreams/{upstreams}/targets", Hand::Targets, GET_POST),
    ("/upstreams/{upstreams}/targets/all", Hand::AllTargets, GET),
    ("/upstreams/{upstreams}/targets/{targets}", Hand::Target, ENTITY),
    ("/upstreams/{upstreams}/targets/{targets}/healthy", Hand::TargetHealthy, HEALTH),
    ("/upstreams/{upstreams}/targets/{targets}/unhealthy", Hand::TargetUnhealthy, HEALTH),
    ("/upstreams/{upstreams}/targets/{targets}/{address}/healthy", Hand::AddressHealthy, HEALTH),
    ("/upstreams/{upstreams}/targets/{targets}/{address}/unhealthy", Hand::AddressUnhealthy, HEALTH),
    ("/consumer_groups/{consumer_groups}", Hand::Group, ENTITY),
    ("/consumer_groups/{consumer_groups}/consumers", Hand::GroupMembers, LIST),
    ("/consumer_groups/{consumer_groups}/consumers/{consumers}", Hand::GroupMember, MEMBER),
    ("/consumers/{consumers}/consumer_groups", Hand::ConsumerGroups, LIST),
    ("/consumers/{consumers}/consumer_groups/{consumer_groups}", Hand::ConsumerGroup, MEMBER),
    ("/partials/{partials}/links", Hand::PartialLinks, GET),
    ("/workspaces", Hand::Workspaces, GET_POST),
    ("/workspaces/{workspaces}", Hand::Workspace, ENTITY),
    ("/workspaces/{workspaces}/meta", Hand::WorkspaceMeta, GET),
    ("/kong", Hand::Root, GET),
    ("/openapi.json", Hand::OpenApi, GET),
    ("/rbac/users/{rbac_users}/roles", Hand::UserRoles, LIST),
    ("/rbac/users/{rbac_users}/permissions", Hand::UserPermissions, GET),
    ("/rbac/roles/{rbac_roles}/permissions", Hand::RolePermissions, GET),
    ("/rbac/roles/{rbac_roles}/endpoints/{workspace}/{endpoint...}", Hand::RoleEndpoint, ENTITY),
    ("/rbac/roles/{rbac_roles}/entities/{entity_id}", Hand::RoleEntity, ENTITY),
    ("/groups/{groups}/roles", Hand::GroupRoles, LIST),
    ("/admins", Hand::Admins, GET_POST),
    ("/admins/{admins}", Hand::Admin, ENTITY),
    ("/admins/{admins}/roles", Hand::AdminRoles, LIST),
    ("/admins/{admins}/workspaces", Hand::AdminWorkspaces, GET),
    ("/admins/{admins}/workspaces/{workspaces}", Hand::AdminWorkspace, &[Method::PATCH]),
    ("/admins/register", Hand::Register, POST),
    ("/audit/requests", Hand::AuditRequests, GET),
    ("/audit/objects", Hand::AuditObjects, GET),
    ("/event-hooks/sources", Hand::HookSources, GET),
    ("/event-hooks/sources/{source}", Hand::HookSource, GET),
    ("/event-hooks/{event_hooks}/ping", Hand::HookPing, GET_POST),
    ("/event-hooks/{event_hooks}/test", Hand::HookTest, POST),
    ("/fips-status", Hand::Fips, GET),
    ("/license/report", Hand::LicenseReport, GET),
    ("/keyring", Hand::Keyring, GET),
    ("/keyring/generate", Hand::KeyringGenerate, POST),
    ("/keyring/activate", Hand::KeyringActivate, POST),
    ("/keyring/remove", Hand::KeyringRemove, POST),
    ("/keyring/export", Hand::KeyringExport, POST),
    ("/keyring/import", Hand::KeyringImport, POST),
    ("/keyring/recover", Hand::KeyringRecover, POST),
    ("/keyring/vault/sync", Hand::KeyringSync, POST),
];

/// Entities that go by the name of their kind as well as by their path.
const BY_KIND_TOO: &[&str] = &["rbac_users", "rbac_roles"];

/// Entities that stand below one of their parents only: links between two others.
const ONLY_BELOW: &[(&str, &str)] =
    &[("group_rbac_roles", "groups"), ("rbac_user_groups", "rbac_users"), ("rbac_user_roles", "rbac_users")];

/// Entities below a parent that are found by what they are about, and listed above.
const NOT_BY_ID_BELOW: &[&str] = &["rbac_role_endpoints", "rbac_role_entities", "rbac_user_roles"];

const STATUS: &[(&str, Hand, &[Method])] = &[
    ("/", Hand::Endpoints, GET),
    ("/status", Hand::Status, GET),
    ("/status/ready", Hand::Ready, GET_POST),
    ("/status/dns", Hand::Dns, GET),
    ("/metrics", Hand::Metrics, GET),
];

/// Also on the Status API where configuration is declarative.
const STATUS_DECLARATIVE: &[(&str, Hand, &[Method])] = &[
    ("/upstreams/{upstreams}/health", Hand::UpstreamHealth, GET),
    ("/upstreams/{upstreams}/targets", Hand::Targets, GET),
    ("/upstreams/{upstreams}/targets/all", Hand::AllTargets, GET),
    ("/upstreams/{upstreams}/targets/{targets}", Hand::Target, GET),
];

/// Entities whose paths are listed above.
const NOT_GENERATED: &[&str] = &["tags", "targets"];

#[derive(Clone, Debug)]
enum Part {
    Literal(Box<str>),
    Anything,
    /// One part or more, up to the end.
    Rest,
}

/// One path.
#[derive(Clone, Debug)]
pub struct Route {
    pub pattern: String,
    parts: Vec<Part>,
    pub action: Action,
    pub methods: Vec<Method>,
}

impl Route {
    fn new(pattern: String, action: Action, methods: &[Method]) -> Self {
        let part = |text: &str| match text.starts_with('{') {
            true if text.ends_with("...}") => Part::Rest,
            true => Part::Anything,
            false => Part::Literal(text.into()),
        };
        Route { parts: segments(&pattern).map(part).collect(), pattern, action, methods: methods.to_vec() }
    }

    fn matches(&self, path: &[String]) -> bool {
        let long_enough = match self.parts.last() {
            Some(Part::Rest) => path.len() >= self.parts.len(),
            _ => path.len() == self.parts.len(),
        };
        long_enough
            && self.parts.iter().zip(path).all(|(part, segment)| match part {
                Part::Literal(text) => **text == *segment,
                Part::Anything | Part::Rest => true,
            })
    }

    fn parameters(&self, path: &[String]) -> Vec<String> {
        let parts = self.parts.iter().enumerate().zip(path);
        let value = |((at, part), segment): ((usize, &Part), &String)| match part {
            Part::Literal(_) => None,
            Part::Anything => Some(segment.clone()),
            Part::Rest => Some(path.get(at..).unwrap_or_default().join("/")),
        };
        parts.filter_map(value).collect()
    }

    /// Literal parts come before parameters, the leftmost deciding.
    fn rank(&self) -> Vec<bool> {
        self.parts.iter().map(|part| !matches!(part, Part::Literal(_))).collect()
    }

    /// Whether what the path leads to belongs to no workspace, so that the right to it cannot come from one.
    pub fn is_global(&self) -> bool {
        match &self.action {
            Action::Collection(def) | Action::Entity(def) => !def.workspaceable,
            Action::Nested(family) | Action::NestedEntity(family) | Action::Parent(family) => {
                !family.child.workspaceable || !family.parent.workspaceable
            }
            Action::Hand(hand) => !hand.is_of_a_workspace(),
        }
    }

    /// Whether the path takes that verb; HEAD goes wherever GET does.
    pub fn takes(&self, method: &Method) -> bool {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        self.methods.contains(method)
    }

    /// All verbs, sorted, as `Allow` lists them.
    pub fn allow(&self) -> String {
        let mut names: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        names.push("OPTIONS");
        if self.methods.contains(&Method::GET) {
            names.push("HEAD");
        }
        names.sort_unstable();
        names.join(", ")
    }
}

/// All paths of one interface.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    routes: Vec<Route>,
    by_first: HashMap<String, Vec<usize>>,
}

impl RouteTable {
    pub fn admin(registry: &Registry) -> Self {
        let by_hand =
            BY_HAND.iter().map(|(pattern, hand, methods)| Route::new((*pattern).into(), Action::Hand(*hand), methods));
        let mut routes: Vec<Route> = by_hand.collect();
        for route in generated(registry) {
            if !routes.iter().any(|known| known.pattern == route.pattern) {
                routes.push(route);
            }
        }
        Self::of(routes)
    }

    /// The Status API.
    pub fn status(declarative: bool) -> Self {
        let more = if declarative { STATUS_DECLARATIVE } else { &[] };
        let all = STATUS.iter().chain(more);
        Self::of(
            all.map(|(pattern, hand, methods)| Route::new((*pattern).into(), Action::Hand(*hand), methods)).collect(),
        )
    }

    fn of(mut routes: Vec<Route>) -> Self {
        routes.sort_by_cached_key(|route| (route.rank(), route.pattern.clone()));
        let mut by_first: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, route) in routes.iter().enumerate() {
            let first = segments(&route.pattern).next().unwrap_or_default();
            by_first.entry(first.to_owned()).or_default().push(at);
        }
        RouteTable { routes, by_first }
    }

    /// The route of a path, and the values of its parameters.
    pub fn find(&self, path: &[String]) -> Option<(&Route, Vec<String>)> {
        let first = path.first().map_or("", String::as_str);
        let candidates = self.by_first.get(first)?.iter().filter_map(|at| self.routes.get(*at));
        let found = candidates.into_iter().find(|route| route.matches(path))?;
        Some((found, found.parameters(path)))
    }

    /// All routes, the more specific ones first.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// Whether some path begins with that segment.
    pub fn begins(&self, first: &str) -> bool {
        !first.is_empty() && self.by_first.contains_key(first)
    }

    /// All paths, sorted, as `/endpoints` lists them.
    pub fn patterns(&self) -> Vec<&str> {
        let mut patterns: Vec<&str> = self.routes.iter().map(|route| route.pattern.as_str()).collect();
        patterns.sort_unstable();
        patterns
    }
}

/// The parts of a path; slashes at either end count for nothing.
pub(crate) fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

fn generated(registry: &Registry) -> Vec<Route> {
    let mut routes = Vec::new();
    let served = |def: &EntityDef| def.generated_api && !NOT_GENERATED.contains(&&*def.name);
    for def in registry.iter().filter(|def| served(def)) {
        let (path, name) = (&def.admin_path, &def.name);
        routes.push(Route::new(format!("/{path}"), Action::Collection(Arc::clone(def)), GET_POST));
        routes.push(Route::new(format!("/{path}/{{{name}}}"), Action::Entity(Arc::clone(def)), ENTITY));
        if BY_KIND_TOO.contains(&name.as_ref()) {
            routes.push(Route::new(format!("/{name}"), Action::Collection(Arc::clone(def)), GET_POST));
            routes.push(Route::new(format!("/{name}/{{{name}}}"), Action::Entity(Arc::clone(def)), ENTITY));
        }
        for (field, foreign) in def.foreign_fields() {
            let Some(parent) = registry.get(&foreign.entity).filter(|parent| served(parent)) else { continue };
            let family = Family { parent: Arc::clone(parent), child: Arc::clone(def), field: field.into() };
            let nested = format!("/{}/{{{}}}/{}", parent.admin_path, parent.name, def.nested_path);
            routes.push(Route::new(format!("/{path}/{{{name}}}/{field}"), Action::Parent(family.clone()), ENTITY));
            let elsewhere = |(link, only): &(&str, &str)| link == name && *only != parent.name;
            if ONLY_BELOW.iter().any(elsewhere) {
                continue;
            }
            if !NOT_BY_ID_BELOW.contains(&name.as_ref()) {
                routes.push(Route::new(format!("{nested}/{{{name}}}"), Action::NestedEntity(family.clone()), ENTITY));
            }
            routes.push(Route::new(nested, Action::Nested(family), GET_POST));
        }
    }
    routes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use gibbon_model::RegistryOptions;

    use super::*;

    fn table() -> RouteTable {
        RouteTable::admin(&Registry::new(&RegistryOptions::default()))
    }

    fn pattern(path: &str) -> Option<String> {
        let path: Vec<String> = segments(path).map(ToOwned::to_owned).collect();
        table().find(&path).map(|(route, _)| route.pattern.clone())
    }

    #[test]
    fn a_path_of_words_wins_over_one_with_parameters() {
        assert_eq!(pattern("/plugins/enabled").unwrap(), "/plugins/enabled");
        assert_eq!(pattern("/plugins/x").unwrap(), "/plugins/{plugins}");
        assert_eq!(pattern("/schemas/plugins/validate").unwrap(), "/schemas/plugins/validate");
        assert_eq!(pattern("/schemas/routes/validate").unwrap(), "/schemas/{db_entity_name}/validate");
        assert_eq!(pattern("/upstreams/u/targets/all").unwrap(), "/upstreams/{upstreams}/targets/all");
    }

    #[test]
    fn a_slash_at_the_end_changes_nothing() {
        assert_eq!(pattern("/services/").unwrap(), "/services");
    }

    #[test]
    fn targets_are_reached_below_their_upstream_only() {
        assert_eq!(pattern("/targets"), None);
        assert_eq!(pattern("/upstreams/u/targets/t").unwrap(), "/upstreams/{upstreams}/targets/{targets}");
    }

    #[test]
    fn every_path_of_an_entity_exists() {
        for path in [
            "/consumers/c/key-auth",
            "/key-auths/k/consumer",
            "/certificates/c/upstreams",
            "/key-sets/s/keys/k",
            "/keys/k/set",
        ] {
            assert!(pattern(path).is_some(), "{path}");
        }
    }

    #[test]
    fn the_verbs_of_a_path_are_listed_sorted() {
        let path = ["services".to_owned()];
        assert_eq!(table().find(&path).unwrap().0.allow(), "GET, HEAD, OPTIONS, POST");
    }
}
