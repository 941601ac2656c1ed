//! What the gateway is: its version, settings, plugins, paths.

use std::collections::{BTreeMap, BTreeSet};

use gibbon_store::{Address, Query, Rows, StoreError, Tags};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::Call;
use crate::{Admin, Surface, failure};

/// More plugins than this are not looked through for the names in use.
const MOST: usize = 100_000;

pub async fn root(admin: &Admin) -> Answer {
    let about = admin.node.about();
    let enabled = match enabled_in_cluster(admin).await {
        Ok(enabled) => enabled,
        Err(answer) => return answer,
    };
    let available: Map<String, Value> = about
        .plugins
        .iter()
        .map(|plugin| (plugin.name.clone(), json!({ "version": plugin.version, "priority": plugin.priority })))
        .collect();
    let pid = std::process::id();
    Answer::ok(json!({
        "tagline": "Welcome to kong",
        "version": about.version,
        "edition": "community",
        "hostname": about.hostname,
        "node_id": about.node_id,
        "timers": { "running": 0, "pending": 0 },
        "plugins": { "available_on_server": available, "enabled_in_cluster": enabled },
        "lua_version": "LuaJIT 2.1.0",
        "configuration": about.configuration,
        "pids": { "master": pid, "workers": vec![pid; about.workers] },
    }))
}

/// Names of the plugins that are configured somewhere.
async fn enabled_in_cluster(admin: &Admin) -> Result<BTreeSet<String>, Answer> {
    let query = Query {
        entity: "plugins".into(),
        workspace: None,
        parent: None,
        tags: Tags::Whatever,
        after: None,
        limit: MOST,
    };
    let rows =
        admin.documents.conductor.read(move |rows| rows.page(&query)).await.map_err(|e| failure::of_store(&e))?;
    let enabled = rows.iter().filter(|row| row.document.get("enabled") != Some(&Value::Bool(false)));
    Ok(enabled.filter_map(|row| row.document.get("name")?.as_str().map(ToOwned::to_owned)).collect())
}

pub fn endpoints(admin: &Admin, surface: Surface) -> Answer {
    Answer::ok(json!({ "data": admin.table(surface).patterns() }))
}

pub fn enabled_plugins(admin: &Admin) -> Answer {
    let names: Vec<&str> = admin.node.about().plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    Answer::ok(json!({ "enabled_plugins": names }))
}

/// Timers are tasks here, and nobody counts them; the shape is what dashboards read.
pub fn timers(admin: &Admin) -> Answer {
    Answer::ok(json!({
        "worker": { "id": 0, "count": admin.node.about().workers },
        "stats": {
            "flamegraph": { "running": "", "elapsed_time": "", "pending": "" },
            "sys": { "running": 0, "pending": 0, "waiting": 0, "total": 0, "runs": 0 },
            "timers": {},
        },
    }))
}

/// An entity by its cache key, e.g. `services:<id>:::::<workspace>` or `keyauth_credentials:<key>:::::<workspace>`.
/// Nothing here can be stale, so that what Kong would have cached is read.
pub async fn cached(admin: &Admin, call: &Call) -> Answer {
    if call.method == http::Method::DELETE {
        return Answer::no_content();
    }
    let key = call.parameter(0);
    let mut parts = key.split(':');
    let (Some(kind), Some(first)) = (parts.next(), parts.next()) else { return Answer::not_found() };
    let Some(def) = admin.documents.registry.get(kind) else { return Answer::not_found() };
    let address = match (def.cache_key.as_slice(), Address::parse(def, first)) {
        ([field], _) => Address::Key { field: field.as_ref().into(), value: first.into() },
        ([], Some(address)) => address,
        _ => return Answer::not_found(),
    };
    match admin.documents.find(def, call.workspace, &address).await {
        Ok(Some(row)) if def.cache_key_of(&row.fields(), &row.workspace.to_string()) == key => {
            if let Err(answer) = call.demand(&row, crate::rbac::Action::Read) {
                return answer;
            }
            Answer::ok(Value::Object(def.present(row.fields())))
        }
        Ok(_) => Answer::not_found(),
        Err(error) => failure::of_store(&error),
    }
}

/// No module is a validated one; see the setting `fips`.
pub fn fips(admin: &Admin) -> Answer {
    Answer::ok(json!({ "active": false, "version": admin.node.about().version }))
}

/// Counts of what is configured. There is no licence to report on: nothing is locked without one.
pub async fn license_report(admin: &Admin) -> Answer {
    let kinds = ["services", "routes", "consumers", "plugins", "workspaces", "rbac_users"];
    let counts = admin.documents.conductor.read(move |rows| count(rows, &kinds, None)).await;
    let counts = match counts {
        Ok(counts) => counts,
        Err(error) => return failure::of_store(&error),
    };
    let of = |kind: &str| counts.get(kind).copied().unwrap_or(0);
    let kind = if admin.documents.conductor.is_declarative() { "dbless" } else { "traditional" };
    Answer::ok(json!({
        "kong_version": admin.node.about().version,
        "services_count": of("services"),
        "routes_count": of("routes"),
        "consumers_count": of("consumers"),
        "plugins_count": { "tiers": { "free": {}, "enterprise": {}, "custom": {} }, "unique_route_lambdas": 0 },
        "workspaces_count": of("workspaces") + 1,
        "rbac_users": of("rbac_users"),
        "counters": { "total_requests": admin.node.connections().requests, "buckets": [] },
        "deployment_info": { "type": kind },
    }))
}

/// How many entities of these kinds there are, in one workspace or in all.
pub fn count(
    rows: &mut dyn Rows,
    kinds: &[&str],
    workspace: Option<Uuid>,
) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut counts = BTreeMap::new();
    for kind in kinds {
        let mut query =
            Query { entity: (*kind).into(), workspace, parent: None, tags: Tags::Whatever, after: None, limit: 5_000 };
        let mut number = 0;
        loop {
            let page = rows.page(&query)?;
            let Some(last) = page.last() else { break };
            query.after = Some(last.id);
            number += page.len() as u64;
        }
        counts.insert((*kind).to_owned(), number);
    }
    Ok(counts)
}
