//! What the gateway is: its version, settings, plugins, paths.

use std::collections::BTreeSet;

use gibbon_store::{Address, Query, Tags};
use serde_json::{Map, Value, json};

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
            Answer::ok((*row.document).clone())
        }
        Ok(_) => Answer::not_found(),
        Err(error) => failure::of_store(&error),
    }
}
