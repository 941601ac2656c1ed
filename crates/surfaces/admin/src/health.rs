//! Health of an upstream's targets: shown, and set by hand.

use std::net::IpAddr;

use gibbon_balance::{TargetReport, UpstreamReport, WeightReport};
use gibbon_store::Row;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::{Admin, HealthError, crud, targets};

pub async fn upstream(admin: &Admin, call: &Call) -> Answer {
    let Some(kinds) = targets::kinds(admin) else { return Answer::not_found() };
    let upstream = match crud::existing(admin, call, &kinds.upstreams, call.parameter(0)).await {
        Ok(upstream) => upstream,
        Err(answer) => return answer,
    };
    let report = admin.node.upstream(upstream.id).await;
    if call.arguments.flag("balancer_health") {
        return balancer(admin, &upstream, report);
    }
    let list = match targets::of_upstream(admin, call, &kinds, &upstream).await {
        Ok(list) => list,
        Err(answer) => return answer,
    };
    let with_health = list.into_iter().map(|target| of_target(target, report.as_ref())).collect();
    match targets::slice(call, &format!("/upstreams/{}/health", upstream.id), with_health) {
        Ok(page) => Answer::ok(with_node(admin, page)),
        Err(answer) => answer,
    }
}

fn with_node(admin: &Admin, mut page: Value) -> Value {
    if let Value::Object(fields) = &mut page {
        fields.insert("node_id".into(), admin.node.about().node_id.clone().into());
    }
    page
}

fn of_target(mut target: Value, report: Option<&UpstreamReport>) -> Value {
    let id = target.get("id").and_then(Value::as_str).map(ToOwned::to_owned);
    let found = report.and_then(|report| report.targets.iter().find(|t| Some(&t.id) == id.as_ref()));
    if let (Value::Object(fields), Some(report)) = (&mut target, found) {
        let addresses: Vec<Value> = report
            .addresses
            .iter()
            .map(|a| json!({ "ip": a.ip, "port": a.port, "weight": a.weight, "health": a.health.as_str() }))
            .collect();
        fields.insert("health".into(), report.health.as_str().into());
        fields.insert("data".into(), details(report, addresses));
    } else if let Value::Object(fields) = &mut target {
        fields.insert("health".into(), "HEALTHCHECKS_OFF".into());
    }
    target
}

fn details(report: &TargetReport, addresses: Vec<Value>) -> Value {
    json!({
        "host": report.host,
        "port": report.port,
        "dns": report.dns,
        "nodeWeight": report.node_weight,
        "weight": weight(report.weight),
        // An empty list is an empty table in Lua, which is written as an object.
        "addresses": if addresses.is_empty() { json!({}) } else { addresses.into() },
    })
}

fn weight(weight: WeightReport) -> Value {
    json!({ "total": weight.total, "available": weight.available, "unavailable": weight.unavailable })
}

fn balancer(admin: &Admin, upstream: &Row, report: Option<UpstreamReport>) -> Answer {
    let Some(report) = report else { return Answer::not_found() };
    let host = |target: &TargetReport| {
        let addresses = target.addresses.iter();
        let shown = addresses.map(|a| json!({ "ip": a.ip, "port": a.port, "weight": a.weight, "healthy": a.healthy }));
        details(target, shown.collect())
    };
    let hosts: Vec<Value> = report.targets.iter().map(host).collect();
    let health = if report.balancer_healthy { "HEALTHY" } else { "UNHEALTHY" };
    let data = json!({
        "id": upstream.id.to_string(),
        "health": report.health.as_str(),
        "balancer_health": health,
        "details": { "healthy": report.balancer_healthy, "weight": weight(report.weight), "hosts": hosts },
    });
    Answer::ok(with_node(admin, json!({ "data": data, "next": null })))
}

pub async fn set(admin: &Admin, call: &Call, healthy: bool) -> Answer {
    let Some(kinds) = targets::kinds(admin) else { return Answer::not_found() };
    let found = async {
        let upstream = crud::existing(admin, call, &kinds.upstreams, call.parameter(0)).await?;
        let target = targets::find(admin, &kinds, &upstream, call.parameter(1)).await?;
        Ok::<_, Answer>((upstream, target.ok_or_else(Answer::not_found)?))
    };
    let (upstream, target) = match found.await {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let address = match call.parameters.get(2).map(|text| address(text, &target)) {
        None => None,
        Some(Some(address)) => Some(address),
        Some(None) => return Answer::not_found(),
    };
    let name = upstream.document.get("name").and_then(Value::as_str).unwrap_or_default();
    match admin.node.set_health(upstream.id, target.id, address, healthy).await {
        Ok(()) => Answer::no_content(),
        Err(HealthError::NoBalancer) => Answer::bad(format!("Upstream {name} has no balancer")),
        Err(HealthError::NoChecks) => Answer::bad(format!("no healthchecker found for {name}")),
        Err(HealthError::NoTarget) => Answer::not_found(),
    }
}

/// An address of a target; without a port it has the target's.
fn address(text: &str, target: &Row) -> Option<(IpAddr, u16)> {
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Some((address.ip(), address.port()));
    }
    let ip = text.trim_matches(['[', ']']).parse().ok()?;
    let port = target.document.get("target")?.as_str()?.rsplit_once(':')?.1.parse().ok()?;
    Some((ip, port))
}
