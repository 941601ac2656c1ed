//! Upstreams with their targets, parsed for the balancer. Resolving names and building the balancer is
//! the proxy's part: answers of the DNS come and go without a new plan.

use std::sync::Arc;

use gibbon_balance::{ActiveChecks, Algorithm, HealthChecks, Limits, PassiveChecks, ProbeKind, StatusSet, TargetSpec};
use serde_json::Value;
use uuid::Uuid;

use crate::directory::{foreign, id_of, text};
use crate::entity::number;
use crate::sharded::hash_of;

/// A target of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub id: Uuid,
    pub spec: TargetSpec,
    /// Seconds since the epoch, with milliseconds; later targets of the same address replace earlier ones.
    pub created_at_ms: i64,
}

impl Target {
    pub(crate) fn from_document(document: &Value) -> Result<Target, String> {
        let id = id_of(document).ok_or("id is missing")?;
        let target = text(document, "target").ok_or("target is missing")?;
        let weight = number(document, "weight").unwrap_or(100) as u32;
        let failover = document.get("failover").and_then(Value::as_bool).unwrap_or(false);
        let spec = TargetSpec::parse(&id.to_string(), &target, weight, failover)
            .ok_or_else(|| format!("'{target}' is not of the form host:port"))?;
        let created = document.get("created_at").and_then(Value::as_f64).unwrap_or_default();
        Ok(Target { id, spec, created_at_ms: (created * 1000.0) as i64 })
    }
}

/// What a request is hashed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashSource {
    None,
    Consumer,
    Ip,
    Header(Box<str>),
    Cookie(Box<str>),
    Path,
    QueryArg(Box<str>),
    UriCapture(Box<str>),
}

/// How probes of active checks are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    pub kind: ProbeKind,
    pub path: Box<str>,
    pub timeout_ms: u64,
    pub concurrency: usize,
    pub sni: Option<Box<str>>,
    pub verify: bool,
    pub headers: Vec<(Box<str>, Vec<Box<str>>)>,
}

/// An upstream.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub id: Uuid,
    pub id_text: Box<str>,
    pub name: Box<str>,
    pub workspace: Uuid,
    pub algorithm: Algorithm,
    pub slots: u32,
    pub hash_on: HashSource,
    pub hash_fallback: HashSource,
    pub hash_on_cookie_path: Box<str>,
    pub sticky_cookie: Option<(Box<str>, Box<str>)>,
    pub host_header: Option<Box<str>>,
    pub use_srv_name: bool,
    pub client_certificate: Option<Uuid>,
    pub checks: HealthChecks,
    pub probe: Probe,
    /// In the order of their names, so that all nodes agree.
    pub targets: Arc<[Target]>,
    /// Hash of all of the above: what a balancer was built from.
    pub content: u64,
}

impl Upstream {
    pub(crate) fn from_document(document: &Value, workspace: Uuid, targets: &[Target]) -> Result<Upstream, String> {
        let id = id_of(document).ok_or("id is missing")?;
        let name = text(document, "name").ok_or("name is missing")?;
        let algorithm = text(document, "algorithm").unwrap_or_else(|| "round-robin".into());
        let targets = latest_of_each(targets);
        let described: Vec<_> = targets.iter().map(|t| format!("{:?}", t.spec)).collect();
        let content = hash_of(&(document.to_string(), described));
        let checks = document.get("healthchecks").unwrap_or(&Value::Null);
        Ok(Upstream {
            id,
            id_text: id.to_string().into(),
            name,
            workspace,
            algorithm: Algorithm::from_name(&algorithm).ok_or_else(|| format!("unknown algorithm '{algorithm}'"))?,
            slots: number(document, "slots").unwrap_or(10_000) as u32,
            hash_on: hash_source(document, "hash_on"),
            hash_fallback: hash_source(document, "hash_fallback"),
            hash_on_cookie_path: text(document, "hash_on_cookie_path").unwrap_or_else(|| "/".into()),
            sticky_cookie: text(document, "sticky_sessions_cookie")
                .map(|cookie| (cookie, text(document, "sticky_sessions_cookie_path").unwrap_or_else(|| "/".into()))),
            host_header: text(document, "host_header"),
            use_srv_name: document.get("use_srv_name").and_then(Value::as_bool).unwrap_or(false),
            client_certificate: foreign(document, "client_certificate"),
            checks: health_checks(checks, document),
            probe: probe(checks.get("active").unwrap_or(&Value::Null)),
            targets: targets.into(),
            content,
        })
    }
}

/// Of several targets with one address, the one made last counts.
fn latest_of_each(targets: &[Target]) -> Vec<Target> {
    let mut sorted = targets.to_vec();
    let key = |t: &Target| (t.spec.host.clone(), t.spec.port);
    sorted.sort_by(|a, b| key(a).cmp(&key(b)).then(b.created_at_ms.cmp(&a.created_at_ms)).then(b.id.cmp(&a.id)));
    sorted.dedup_by(|later, kept| key(later) == key(kept));
    sorted
}

fn hash_source(document: &Value, field: &str) -> HashSource {
    let named = |suffix: &str| text(document, &format!("{field}_{suffix}")).unwrap_or_default();
    match document.get(field).and_then(Value::as_str) {
        Some("consumer") => HashSource::Consumer,
        Some("ip") => HashSource::Ip,
        Some("header") => HashSource::Header(named("header")),
        // A cookie never falls back, so there is one name for both.
        Some("cookie") => HashSource::Cookie(text(document, "hash_on_cookie").unwrap_or_default()),
        Some("path") => HashSource::Path,
        Some("query_arg") => HashSource::QueryArg(named("query_arg")),
        Some("uri_capture") => HashSource::UriCapture(named("uri_capture")),
        _ => HashSource::None,
    }
}

fn health_checks(checks: &Value, document: &Value) -> HealthChecks {
    let none = Value::Null;
    let (active, passive) = (checks.get("active").unwrap_or(&none), checks.get("passive").unwrap_or(&none));
    HealthChecks {
        active: ActiveChecks {
            kind: probe_kind(active),
            healthy_interval: seconds(active, "healthy"),
            unhealthy_interval: seconds(active, "unhealthy"),
            healthy_statuses: statuses(active, "healthy"),
            unhealthy_statuses: statuses(active, "unhealthy"),
            limits: limits(active),
        },
        passive: PassiveChecks {
            healthy_statuses: statuses(passive, "healthy"),
            unhealthy_statuses: statuses(passive, "unhealthy"),
            limits: limits(passive),
        },
        threshold: checks.get("threshold").and_then(Value::as_f64).unwrap_or(0.0),
        slow_start_ms: document.get("slow_start").and_then(Value::as_f64).map_or(0, |s| (s * 1000.0) as u64),
    }
}

fn side<'a>(checks: &'a Value, side: &str, field: &str) -> Option<&'a Value> {
    checks.get(side).and_then(|s| s.get(field))
}

fn seconds(checks: &Value, which: &str) -> f64 {
    side(checks, which, "interval").and_then(Value::as_f64).unwrap_or(0.0)
}

fn statuses(checks: &Value, which: &str) -> StatusSet {
    let list = side(checks, which, "http_statuses").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_u64).filter_map(|s| u16::try_from(s).ok()).collect()
}

fn limits(checks: &Value) -> Limits {
    let limit = |which, field| side(checks, which, field).and_then(Value::as_u64).unwrap_or(0).min(255) as u8;
    Limits {
        successes: limit("healthy", "successes"),
        http_failures: limit("unhealthy", "http_failures"),
        tcp_failures: limit("unhealthy", "tcp_failures"),
        timeouts: limit("unhealthy", "timeouts"),
    }
}

fn probe_kind(active: &Value) -> ProbeKind {
    match active.get("type").and_then(Value::as_str) {
        Some("tcp") => ProbeKind::Tcp,
        Some("https") => ProbeKind::Https,
        Some("grpc") => ProbeKind::Grpc,
        Some("grpcs") => ProbeKind::Grpcs,
        _ => ProbeKind::Http,
    }
}

fn probe(active: &Value) -> Probe {
    let strings = |v: &Value| v.as_array().into_iter().flatten().filter_map(Value::as_str).map(Box::from).collect();
    let headers = active.get("headers").and_then(Value::as_object);
    Probe {
        kind: probe_kind(active),
        path: text(active, "http_path").unwrap_or_else(|| "/".into()),
        timeout_ms: active.get("timeout").and_then(Value::as_f64).map_or(1000, |s| (s * 1000.0) as u64),
        concurrency: number(active, "concurrency").unwrap_or(10) as usize,
        sni: text(active, "https_sni"),
        verify: active.get("https_verify_certificate").and_then(Value::as_bool).unwrap_or(true),
        headers: headers.into_iter().flatten().map(|(name, values)| (name.as_str().into(), strings(values))).collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn target(id: u8, address: &str, created_at: f64) -> Target {
        let id = Uuid::from_bytes([id; 16]).to_string();
        Target::from_document(&json!({"id": id, "target": address, "created_at": created_at})).unwrap()
    }

    #[test]
    fn the_target_made_last_replaces_earlier_ones_of_its_address() {
        let all = [target(1, "a.test:80", 1.0), target(2, "a.test:80", 2.5), target(3, "a.test:81", 0.0)];
        let kept: Vec<_> = latest_of_each(&all).iter().map(|t| t.id).collect();
        assert_eq!(kept, [Uuid::from_bytes([2; 16]), Uuid::from_bytes([3; 16])]);
    }

    #[test]
    fn an_upstream_is_read_with_its_checks() {
        let document = json!({
            "id": Uuid::nil().to_string(), "name": "u", "hash_on": "header", "hash_on_header": "X-A", "algorithm": "consistent-hashing",
            "healthchecks": {"threshold": 20, "passive": {"unhealthy": {"http_statuses": [500], "http_failures": 2}}}
        });
        let upstream = Upstream::from_document(&document, Uuid::nil(), &[]).unwrap();
        assert_eq!(upstream.hash_on, HashSource::Header("X-A".into()));
        assert_eq!(upstream.checks.threshold, 20.0);
        assert!(upstream.checks.passive.unhealthy_statuses.contains(500));
        assert_eq!(upstream.checks.passive.limits.http_failures, 2);
        assert!(upstream.checks.is_on());
    }
}
