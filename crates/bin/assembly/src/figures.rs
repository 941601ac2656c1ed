//! What the engine counts, as the document that exporters of metrics read.

use std::sync::Arc;

use gibbon_balance::{TargetReport, UpstreamReport};
use gibbon_lua::LuaHost;
use gibbon_ports::Snapshot;
use gibbon_proxy::Node;
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// Reads the node's figures whenever it is asked.
pub fn snapshot(node: &Arc<Node>, lua: &Arc<LuaHost>, control: &Handle) -> Snapshot {
    // The node holds plans, plans hold handlers, and handlers hold the figures: a strong handle would be a ring.
    let (node, lua, control) = (Arc::downgrade(node), Arc::downgrade(lua), control.clone());
    Box::new(move || {
        let (Some(node), Some(lua)) = (node.upgrade(), lua.upgrade()) else { return Value::Null };
        let accepted = node.sum(|worker| &worker.net.accepted);
        let active = node.sum(|worker| &worker.net.active);
        let refused = node.sum(|w| &w.net.refused_total) + node.sum(|w| &w.net.refused_per_address);
        let requests = node.sum(|worker| &worker.requests);
        json!({
            "connections": {
                "accepted": accepted,
                "handled": accepted.saturating_sub(refused),
                "active": active,
                "total": requests,
                "reading": 0,
                "writing": active,
                "waiting": 0,
            },
            "requests": requests,
            "panics": node.sum(|worker| &worker.panics),
            "workers": node.counters.len(),
            "timers": { "running": control.metrics().num_alive_tasks(), "pending": 0 },
            "upstreams": upstreams(&node),
            "dictionaries": dictionaries(&lua),
            "resident_bytes": gibbon_admin::resident_bytes(),
        })
    })
}

/// The shared dictionaries of Lua, in bytes.
fn dictionaries(lua: &LuaHost) -> Value {
    lua.dictionaries()
        .map(|(name, capacity, free)| (name, json!({ "capacity": capacity, "free_space": free })))
        .collect()
}

/// Every upstream with its targets' health; words as the Admin API has them.
fn upstreams(node: &Node) -> Value {
    let all = node.upstreams.all();
    let of = |live: &Arc<gibbon_proxy::Live>| {
        let report = UpstreamReport::of(&live.balancer, &live.health);
        json!({ "name": &*live.upstream.name, "targets": report.targets.iter().map(target).collect::<Vec<_>>() })
    };
    all.iter().map(of).collect()
}

fn target(report: &TargetReport) -> Value {
    let addresses = report.addresses.iter().map(
        |address| json!({ "address": format!("{}:{}", address.ip, address.port), "health": address.health.as_str() }),
    );
    json!({
        "target": format!("{}:{}", report.host, report.port),
        "health": report.health.as_str(),
        "addresses": addresses.collect::<Vec<_>>(),
    })
}
