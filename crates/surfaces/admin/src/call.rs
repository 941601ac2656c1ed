//! One call: what was asked, taken apart, and where it goes.

use std::collections::HashMap;
use std::sync::Arc;

use gibbon_message::uri;
use gibbon_model::DEFAULT_WORKSPACE_ID;
use gibbon_store::{Address, Documents, Row, StoreError};
use http::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use crate::answer::{Answer, Content};
use crate::body::Body;
use crate::rbac::{Action as Right, Identity};
use crate::routes::{Action, Hand, Route, RouteTable, segments};
use crate::{
    Admin, Surface, admins, audit, clustering, config, crud, debug, failure, groups, health, hooks, information,
    keyring, openapi, partials, rbac, schemas, status, tags, targets, workspaces,
};

/// Arguments behind the `?`. Of several with one name the last counts.
#[derive(Clone, Debug, Default)]
pub struct Arguments(HashMap<String, String>);

/// How many arguments are read; nobody needs more.
const MAX_ARGUMENTS: usize = 1000;

impl Arguments {
    /// # Errors
    /// The answer to one that is no text.
    fn parse(query: &str) -> Result<Self, Answer> {
        let mut arguments = HashMap::new();
        for (name, value) in uri::arguments(query.as_bytes()).take(MAX_ARGUMENTS) {
            let name = String::from_utf8_lossy(&name).into_owned();
            let Ok(value) = String::from_utf8(value.unwrap_or_default().into_owned()) else {
                let fault = "must only contain printable ascii (except `,` and `/`) or valid utf-8";
                return Err(failure::invalid_options(json!({ name: fault })));
            };
            arguments.insert(name, value);
        }
        Ok(Arguments(arguments))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether an argument is set to something that means yes.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("1" | "true" | "on" | "yes"))
    }
}

/// What was asked.
pub struct Call {
    pub surface: Surface,
    pub method: Method,
    pub workspace: Uuid,
    /// Values of the path's parameters.
    pub parameters: Vec<String>,
    pub arguments: Arguments,
    pub body: Body,
    /// Who calls, where that is asked.
    pub identity: Option<Arc<Identity>>,
    /// The path, without the workspace.
    pub path: Vec<String>,
}

impl Call {
    /// The caller's name, for messages.
    pub fn caller(&self) -> String {
        self.identity.as_ref().map(|identity| identity.name.clone()).unwrap_or_default()
    }

    /// Whether the caller may change what the path leads to in the default workspace, whatever the verb of the call.
    pub fn may_write(&self) -> bool {
        let allows =
            |who: &Arc<Identity>| !who.by_endpoint || who.may_call(DEFAULT_WORKSPACE, &self.path, Right::Update);
        self.identity.as_ref().is_none_or(allows)
    }

    /// Whether the caller may do that to an entity.
    pub fn may(&self, workspace: Uuid, id: Uuid, action: Right) -> bool {
        let allows = |who: &Arc<Identity>| !who.by_entity || who.permissions.allow_entity(workspace, id, action);
        self.identity.as_ref().is_none_or(allows)
    }

    /// # Errors
    /// The answer to a caller who may not do that to a row.
    pub fn demand(&self, row: &Row, action: Right) -> Result<(), Answer> {
        match self.may(row.workspace, row.id, action) {
            true => Ok(()),
            false => Err(rbac::forbidden(&self.caller(), action)),
        }
    }

    /// The parameter at that place of the path.
    pub fn parameter(&self, at: usize) -> &str {
        self.parameters.get(at).map_or("", String::as_str)
    }
}

/// The workspace of paths that name none.
pub const DEFAULT_WORKSPACE: &str = "default";

/// A request as it came, but for its body.
pub struct Request<'a> {
    pub method: Method,
    pub query: &'a str,
    pub identity: Option<Arc<Identity>>,
}

/// Where a request goes.
pub struct Destination {
    pub route: Route,
    parameters: Vec<String>,
    pub workspace: Uuid,
    pub workspace_name: String,
    /// The path, without the workspace.
    pub path: Vec<String>,
}

impl Destination {
    /// The workspace in which the right to the call must be held. What belongs to no workspace takes a right of the
    /// default one, whichever the path names; of itself a workspace may be told in its own.
    pub fn governed_by(&self, method: &Method) -> &str {
        let own = |name: &String| method == Method::GET && *name == self.workspace_name;
        match self.route.action {
            Action::Hand(Hand::Workspace | Hand::WorkspaceMeta) if self.parameters.first().is_some_and(own) => {
                &self.workspace_name
            }
            _ if self.route.is_global() => DEFAULT_WORKSPACE,
            _ => &self.workspace_name,
        }
    }
}

impl Admin {
    pub(crate) fn table(&self, surface: Surface) -> &RouteTable {
        match surface {
            Surface::Admin => &self.routes,
            Surface::Status => &self.status_routes,
        }
    }

    /// Where a path leads, and in which workspace; nothing if it leads nowhere.
    ///
    /// # Errors
    /// The answer where that cannot be found out.
    pub(crate) async fn destination(&self, surface: Surface, path: &str) -> Result<Option<Destination>, Answer> {
        // Read leniently, as below, it would name things that nobody can have meant.
        if std::str::from_utf8(&uri::decode(path.as_bytes(), false)).is_err() {
            return Err(Answer::bad("the path is not valid UTF-8"));
        }
        let segments: Vec<String> = segments(path).map(decoded).collect();
        let table = self.table(surface);
        let default = Uuid::parse_str(DEFAULT_WORKSPACE_ID).unwrap_or_default();
        if let Some((route, parameters)) = table.find(&segments) {
            let (route, workspace_name) = (route.clone(), DEFAULT_WORKSPACE.to_owned());
            let to = Destination { route, parameters, workspace: default, workspace_name, path: segments };
            return Ok(Some(to));
        }
        let parts = segments.split_first().filter(|_| surface == Surface::Admin);
        let below = parts.and_then(|(first, rest)| table.find(rest).map(|found| (first, rest, found)));
        let Some((first, rest, (route, parameters))) = below else { return Ok(None) };
        let (route, workspace_name, path) = (route.clone(), first.clone(), rest.to_vec());
        let found = workspace(&self.documents, first, default).await.map_err(|error| failure::of_store(&error))?;
        Ok(found.map(|workspace| Destination { route, parameters, workspace, workspace_name, path }))
    }

    /// Answers a request whose verb its path takes.
    pub(crate) async fn answer(&self, surface: Surface, request: &Request<'_>, to: Destination, body: Body) -> Answer {
        let arguments = match Arguments::parse(request.query) {
            Ok(arguments) => arguments,
            Err(answer) => return answer,
        };
        let call = Call {
            surface,
            method: if request.method == Method::HEAD { Method::GET } else { request.method.clone() },
            workspace: to.workspace,
            parameters: to.parameters,
            arguments,
            body,
            identity: request.identity.clone(),
            path: to.path,
        };
        match &to.route.action {
            Action::Collection(def) => crud::collection(self, &call, def, None).await,
            Action::Entity(def) => crud::entity(self, &call, def, call.parameter(0)).await,
            Action::Nested(family) => crud::nested(self, &call, family).await,
            Action::NestedEntity(family) => crud::nested_entity(self, &call, family).await,
            Action::Parent(family) => crud::parent(self, &call, family).await,
            Action::Hand(hand) => self.by_hand(&call, *hand).await,
        }
    }

    async fn by_hand(&self, call: &Call, hand: Hand) -> Answer {
        match hand {
            Hand::Root => information::root(self).await,
            Hand::Robots => robots(),
            Hand::Endpoints => information::endpoints(self, call.surface),
            Hand::EnabledPlugins => information::enabled_plugins(self),
            Hand::Timers => information::timers(self),
            Hand::Cache => Answer::no_content(),
            Hand::CacheKey => information::cached(self, call).await,
            Hand::Status => status::status(self, call).await,
            Hand::Ready => status::ready(self, call).await,
            Hand::Dns => status::dns(self),
            Hand::Metrics => status::metrics(self),
            Hand::Config => config::config(self, call).await,
            Hand::LogLevel => debug::log_level(self),
            Hand::SetLogLevel => debug::set_log_level(self, call),
            Hand::ClusterLogLevel => debug::set_cluster_log_level(self, call),
            Hand::DataPlanes => clustering::data_planes(),
            Hand::ClusterStatus => clustering::status(),
            Hand::Schema => schemas::entity(self, call.parameter(0)),
            Hand::PluginSchema => schemas::subschema(self, "plugins", call.parameter(0)),
            Hand::VaultSchema => schemas::subschema(self, "vaults", call.parameter(0)),
            Hand::FilterSchema => schemas::filter(call.parameter(0)),
            Hand::PartialSchema => schemas::subschema(self, "partials", call.parameter(0)),
            Hand::ValidateSchema => schemas::validate(self, call, call.parameter(0)),
            Hand::ValidatePlugin => schemas::validate(self, call, "plugins"),
            Hand::ValidateVault => schemas::validate(self, call, "vaults"),
            Hand::OldPluginSchema => schemas::old_plugin(self, call.parameter(0)),
            Hand::Tags => tags::all(self, call).await,
            Hand::Tag => tags::one(self, call).await,
            Hand::Targets => targets::collection(self, call).await,
            Hand::AllTargets => targets::all(self, call).await,
            Hand::Target => targets::entity(self, call).await,
            Hand::Group => groups::group(self, call).await,
            Hand::GroupMembers => groups::members(self, call, true).await,
            Hand::GroupMember => groups::member(self, call, true).await,
            Hand::ConsumerGroups => groups::members(self, call, false).await,
            Hand::ConsumerGroup => groups::member(self, call, false).await,
            Hand::PartialLinks => partials::links(self, call).await,
            Hand::Workspaces => workspaces::collection(self, call).await,
            Hand::Workspace => workspaces::entity(self, call).await,
            Hand::WorkspaceMeta => workspaces::meta(self, call).await,
            Hand::UserRoles => rbac::paths::user_roles(self, call).await,
            Hand::UserPermissions => rbac::paths::user_permissions(self, call).await,
            Hand::RolePermissions => rbac::paths::role_permissions(self, call).await,
            Hand::RoleEndpoint => rbac::paths::endpoint(self, call).await,
            Hand::RoleEntity => rbac::paths::entity(self, call).await,
            Hand::GroupRoles => rbac::paths::group_roles(self, call).await,
            Hand::Admins => admins::collection(self, call).await,
            Hand::Admin => admins::entity(self, call).await,
            Hand::AdminRoles => admins::roles(self, call).await,
            Hand::AdminWorkspaces => admins::workspaces(self, call).await,
            Hand::AdminWorkspace => admins::belong(self, call).await,
            Hand::Register => admins::register(self, call).await,
            Hand::AuditRequests => audit::list(self, call, "audit_requests").await,
            Hand::AuditObjects => audit::list(self, call, "audit_objects").await,
            Hand::HookSources => hooks::sources(self),
            Hand::HookSource => hooks::source(self, call.parameter(0)),
            Hand::HookPing => hooks::ping(self, call).await,
            Hand::HookTest => hooks::test(self, call).await,
            Hand::OpenApi => openapi::description(self),
            Hand::Fips => information::fips(self),
            Hand::LicenseReport => information::license_report(self).await,
            Hand::Keyring => keyring::show(self),
            Hand::KeyringGenerate => keyring::generate(self).await,
            Hand::KeyringActivate => keyring::activate(self, call).await,
            Hand::KeyringRemove => keyring::remove(self, call).await,
            Hand::KeyringExport => keyring::export(self),
            Hand::KeyringImport => keyring::import(self, call).await,
            Hand::KeyringRecover => keyring::recover(self, call).await,
            Hand::KeyringSync => keyring::sync(self),
            Hand::UpstreamHealth => health::upstream(self, call).await,
            Hand::TargetHealthy | Hand::AddressHealthy => health::set(self, call, true).await,
            Hand::TargetUnhealthy | Hand::AddressUnhealthy => health::set(self, call, false).await,
        }
    }
}

pub(crate) fn decoded(segment: &str) -> String {
    String::from_utf8_lossy(&uri::decode(segment.as_bytes(), false)).into_owned()
}

async fn workspace(documents: &Documents, name: &str, default: Uuid) -> Result<Option<Uuid>, StoreError> {
    if name == DEFAULT_WORKSPACE {
        return Ok(Some(default));
    }
    let Some(def) = documents.registry.get("workspaces") else { return Ok(None) };
    let address = Address::Key { field: "name".into(), value: name.into() };
    Ok(documents.find(def, Uuid::nil(), &address).await?.map(|row| row.id))
}

fn robots() -> Answer {
    let text = "User-agent: *\nDisallow: /\n".to_owned();
    Answer { status: StatusCode::OK, content: Content::Text { media_type: "text/plain", text }, headers: Vec::new() }
}
