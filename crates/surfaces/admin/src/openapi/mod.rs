//! `/openapi.json`: the Admin API described for tools. Every path, verb and schema is taken from the table of routes and
//! the registry, so that the description cannot say anything else than the product does; only what is not made from them
//! is told here, one line each.

mod schema;

use http::Method;
use serde_json::{Map, Value, json};

use crate::Admin;
use crate::answer::Answer;
use crate::routes::{Action, Hand, Route};

/// The whole description.
pub fn description(admin: &Admin) -> Answer {
    Answer::ok(describe(admin))
}

fn describe(admin: &Admin) -> Value {
    let mut paths = Map::new();
    for route in admin.routes.iter() {
        paths.insert(route.pattern.replace("...}", "}"), path(route));
    }
    let mut schemas = own_schemas();
    for def in admin.documents.registry.iter() {
        schemas.insert(def.name.to_string(), schema::answered(def));
        schemas.insert(format!("{}_sent", def.name), schema::sent(def, &[]));
        let key: Vec<&str> = def.endpoint_key.as_deref().into_iter().collect();
        schemas.insert(format!("{}_put", def.name), schema::sent(def, &key));
        schemas.insert(format!("{}_changed", def.name), schema::changed(def));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Admin API",
            "version": admin.node.about().version,
            "description": "Every path but the node's own may be prefixed with the name of a workspace.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "apiKey", "in": "header", "name": admin.guard.header_name() },
            },
        },
        "security": if admin.guard.is_on() { json!([{ "token": [] }]) } else { json!([]) },
    })
}

/// Schemas that no entity has.
fn own_schemas() -> Map<String, Value> {
    let mut schemas = Map::new();
    let error = json!({
        "type": "object",
        "properties": {
            "message": { "type": "string" }, "code": { "type": "integer" }, "name": { "type": "string" },
            "fields": {}, "options": {}, "flattened_errors": { "type": "array" }, "status": { "type": "integer" },
        },
        "required": ["message"],
        "additionalProperties": false,
    });
    schemas.insert("Error".into(), error);
    schemas
}

fn path(route: &Route) -> Value {
    let mut item = Map::new();
    let names = parameters(&route.pattern);
    if !names.is_empty() {
        let list = names.iter().map(|name| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
        });
        item.insert("parameters".into(), list.collect());
    }
    for method in &route.methods {
        item.insert(method.as_str().to_ascii_lowercase(), operation(route, method));
    }
    Value::Object(item)
}

fn parameters(pattern: &str) -> Vec<&str> {
    let parts = pattern.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    parts.map(|name| name.trim_end_matches("...")).collect()
}

fn operation(route: &Route, method: &Method) -> Value {
    let mut operation = Map::new();
    let words = route.pattern.replace(['/', '{', '}', '.', '-'], " ");
    let words: Vec<&str> = words.split_ascii_whitespace().collect();
    operation
        .insert("operationId".into(), format!("{}_{}", method.as_str().to_ascii_lowercase(), words.join("_")).into());
    if *method == Method::GET && lists(route).is_some() {
        operation.insert("parameters".into(), of_pages());
    }
    if let Some(body) = body(route, method) {
        operation.insert("requestBody".into(), json!({ "content": { "application/json": { "schema": body } } }));
    }
    operation.insert("responses".into(), responses(route, method));
    Value::Object(operation)
}

fn of_pages() -> Value {
    json!([
        { "name": "size", "in": "query", "schema": { "type": "integer", "minimum": 1, "maximum": 1000 } },
        { "name": "offset", "in": "query", "schema": { "type": "string" } },
        { "name": "tags", "in": "query", "schema": { "type": "string" } },
    ])
}

/// The kind a path lists, if it does.
fn lists(route: &Route) -> Option<&str> {
    match &route.action {
        Action::Collection(def) => Some(&def.name),
        Action::Nested(family) => Some(&family.child.name),
        Action::Hand(Hand::Targets | Hand::AllTargets) => Some("targets"),
        Action::Hand(Hand::Workspaces) => Some("workspaces"),
        Action::Hand(Hand::Admins) => Some("admins"),
        Action::Hand(Hand::AuditRequests) => Some("audit_requests"),
        Action::Hand(Hand::AuditObjects) => Some("audit_objects"),
        _ => None,
    }
}

/// The kind of which a path shows one.
fn shows(route: &Route) -> Option<&str> {
    match &route.action {
        Action::Entity(def) => Some(&def.name),
        Action::NestedEntity(family) => Some(&family.child.name),
        Action::Parent(family) => Some(&family.parent.name),
        Action::Hand(Hand::Target) => Some("targets"),
        Action::Hand(Hand::Workspace) => Some("workspaces"),
        Action::Hand(Hand::Admin) => Some("admins"),
        Action::Hand(Hand::RoleEndpoint) => Some("rbac_role_endpoints"),
        Action::Hand(Hand::RoleEntity) => Some("rbac_role_entities"),
        _ => None,
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn body(route: &Route, method: &Method) -> Option<Value> {
    match (*method == Method::POST, *method == Method::PUT, *method == Method::PATCH) {
        (true, ..) => Some(match lists(route) {
            Some(kind) if is_nested(route) => reference(&format!("{kind}_changed")),
            Some(kind) => reference(&format!("{kind}_sent")),
            None => json!({ "type": "object" }),
        }),
        (_, true, _) | (_, _, true) => Some(match shows(route) {
            Some(kind) if *method == Method::PUT && !is_nested(route) => reference(&format!("{kind}_put")),
            Some(kind) => reference(&format!("{kind}_changed")),
            None => json!({ "type": "object" }),
        }),
        _ => None,
    }
}

fn is_nested(route: &Route) -> bool {
    !matches!(route.action, Action::Collection(_) | Action::Entity(_))
}

/// What an answer of success looks like, and its status.
fn success(route: &Route, method: &Method) -> Vec<(u16, Option<Value>)> {
    let anything = || json!({ "type": "object" });
    if let Action::Hand(hand) = route.action
        && let Some(answers) = by_hand(hand, method)
    {
        return answers;
    }
    match (method.as_str(), lists(route), shows(route)) {
        ("DELETE", ..) => vec![(204, None)],
        ("POST", Some(kind), _) => vec![(201, Some(reference(kind)))],
        ("GET", Some(kind), _) => vec![(200, Some(page_of(reference(kind))))],
        (_, _, Some(kind)) => vec![(200, Some(reference(kind)))],
        ("POST", ..) => vec![(200, Some(anything())), (201, Some(anything()))],
        _ => vec![(200, Some(anything()))],
    }
}

fn page_of(entity: Value) -> Value {
    json!({
        "type": "object",
        "properties": {
            "data": { "type": "array", "items": entity },
            "next": { "type": ["string", "null"] },
            "offset": { "type": "string" },
        },
        "required": ["data", "next"],
        "additionalProperties": false,
    })
}

/// Answers of the paths that are irregular.
fn by_hand(hand: Hand, method: &Method) -> Option<Vec<(u16, Option<Value>)>> {
    let object = || Some(json!({ "type": "object" }));
    let data = || Some(json!({ "type": "object", "required": ["data"] }));
    let message = || Some(reference("Error"));
    Some(match (hand, method.as_str()) {
        (Hand::Robots | Hand::Metrics, _) => vec![(200, None)],
        (Hand::Config, "POST") => vec![(201, object()), (304, None)],
        (Hand::TargetHealthy | Hand::TargetUnhealthy | Hand::AddressHealthy | Hand::AddressUnhealthy, _) => {
            vec![(204, None)]
        }
        (Hand::LogLevel | Hand::SetLogLevel | Hand::ClusterLogLevel, _) => vec![(200, message())],
        (Hand::ValidateSchema | Hand::ValidatePlugin | Hand::ValidateVault, _) => vec![(200, message())],
        (Hand::Group, "GET") => vec![(200, object())],
        (Hand::Group, "DELETE") => vec![(204, None)],
        (Hand::Group, _) => vec![(200, Some(reference("consumer_groups")))],
        (Hand::GroupMember | Hand::ConsumerGroup, "GET") => vec![(200, object())],
        (Hand::Endpoints | Hand::Tags | Hand::Tag | Hand::HookSources | Hand::HookSource, _) => vec![(200, data())],
        (Hand::UserRoles | Hand::AdminRoles | Hand::GroupRoles, "POST") => vec![(201, object())],
        (Hand::Admins, "POST") => vec![(200, object())],
        (Hand::Register, _) => vec![(201, None)],
        (Hand::HookTest | Hand::HookPing, _) => vec![(200, object())],
        (Hand::Dns, _) => vec![(200, object())],
        _ => return None,
    })
}

/// Statuses that say why not. Each path may answer the common ones; a few have one of their own.
fn refusals(route: &Route, method: &Method) -> Vec<u16> {
    let mut statuses = vec![400, 401, 403, 404, 405, 503];
    if matches!(method.as_str(), "POST" | "PUT" | "PATCH") {
        statuses.extend([409, 413]);
    }
    match route.action {
        Action::Hand(Hand::Dns) => statuses.push(501),
        Action::Hand(Hand::Config) => statuses.push(429),
        Action::Hand(Hand::HookPing | Hand::HookTest) => statuses.push(502),
        _ if *method == Method::DELETE => statuses.push(409),
        _ => {}
    }
    statuses
}

fn responses(route: &Route, method: &Method) -> Value {
    let mut responses = Map::new();
    for (status, schema) in success(route, method) {
        let mut response = json!({ "description": "Done" });
        if let (Value::Object(response), Some(schema)) = (&mut response, schema) {
            response.insert("content".into(), json!({ "application/json": { "schema": schema } }));
        }
        responses.insert(status.to_string(), response);
    }
    for status in refusals(route, method) {
        let content = json!({ "application/json": { "schema": reference("Error") } });
        responses.entry(status.to_string()).or_insert_with(|| json!({ "description": "Refused", "content": content }));
    }
    if matches!(method.as_str(), "POST" | "PUT" | "PATCH") {
        responses.insert("415".into(), json!({ "description": "A type of body that is not read here" }));
    }
    Value::Object(responses)
}
