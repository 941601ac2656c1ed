//! Upstreams and their targets: virtual hosts whose traffic is balanced over addresses.

use gibbon_schema::{
    Field, Kind, OnDelete, Record, Shorthand, Validator,
    checks::{self, EntityCheck, conditional},
    host::{HostKind, parse_host},
    typedefs,
};
use serde_json::{Map, Value, json};

use crate::{entity::EntityDef, target};

const HASH_SOURCES: [&str; 8] = ["none", "consumer", "ip", "header", "cookie", "path", "query_arg", "uri_capture"];

pub fn upstreams() -> EntityDef {
    let record = Record::new()
        .field("id", typedefs::id())
        .field("created_at", typedefs::auto_timestamp())
        .field("name", Field::string().required().unique().custom(Validator::new("upstream_name", check_name)))
        .field("updated_at", typedefs::auto_timestamp())
        .field(
            "algorithm",
            Field::string()
                .one_of(["consistent-hashing", "least-connections", "round-robin", "latency"])
                .also_one_of(["sticky-sessions"])
                .default("round-robin"),
        )
        .field("hash_on", Field::string().one_of(HASH_SOURCES).default("none"))
        .field("hash_fallback", Field::string().one_of(HASH_SOURCES).default("none"))
        .field("hash_on_header", typedefs::header_name())
        .field("hash_fallback_header", typedefs::header_name())
        .field("hash_on_cookie", typedefs::cookie_name())
        .field("hash_on_cookie_path", typedefs::path().default("/"))
        .field("hash_on_query_arg", Field::string().len_min(1))
        .field("hash_fallback_query_arg", Field::string().len_min(1))
        .field("hash_on_uri_capture", Field::string().len_min(1))
        .field("hash_fallback_uri_capture", Field::string().len_min(1))
        .field("slots", Field::integer().between(10, 65536).default(10000))
        .field("healthchecks", healthchecks())
        .field("tags", typedefs::tags())
        .field("host_header", typedefs::host_with_optional_port())
        .field("client_certificate", Field::foreign("certificates"))
        .field("use_srv_name", Field::boolean().default(false))
        .field("sticky_sessions_cookie", typedefs::cookie_name().since("3.11"))
        .field("sticky_sessions_cookie_path", typedefs::path().since("3.11"));
    let record = hash_checks(record)
        .shorthand(Shorthand::new("algorithm", Field::string(), |value, _| algorithm(value)))
        .shorthand(Shorthand::new("hash_on", Field::string(), hash_on));
    EntityDef::new("upstreams", record).endpoint_key("name")
}

pub fn targets() -> EntityDef {
    let record = Record::new()
        .field("id", typedefs::id())
        .field("created_at", typedefs::auto_timestamp_ms())
        .field("updated_at", typedefs::auto_timestamp_ms())
        .field("upstream", Field::foreign("upstreams").required().on_delete(OnDelete::Cascade))
        .field("target", Field::string().required().custom(Validator::new("target", target::check)))
        .field("weight", Field::integer().between(0, 65535).default(100))
        .field("tags", typedefs::tags())
        .field("failover", Field::boolean().since("3.12"));
    EntityDef::new("targets", record)
        .endpoint_key("target")
        .cache_key(&["upstream", "target"])
        .canonicalise(target::canonicalise)
}

fn check_name(value: &Value) -> Result<(), String> {
    let Some(name) = value.as_str() else { return Ok(()) };
    let why = match parse_host(name) {
        Err(_) => "must be a valid hostname",
        Ok(host) if host.kind != HostKind::Name => "no ip addresses allowed",
        Ok(host) if host.port.is_some() => "no port allowed",
        Ok(_) => return Ok(()),
    };
    Err(format!("Invalid name ('{name}'); {why}"))
}

/// A given algorithm that does not hash switches hashing off.
fn algorithm(value: &Value) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("algorithm".into(), value.clone());
    if matches!(value.as_str(), Some("least-connections" | "latency")) {
        fields.insert("hash_on".into(), Value::Null);
    }
    fields
}

/// A given hash source decides the algorithm, also against one given in the same breath; but for sticky sessions, which
/// never hash, so that what was read can be written back.
fn hash_on(value: &Value, document: &Map<String, Value>) -> Map<String, Value> {
    let sticky = document.get("algorithm").is_some_and(|algorithm| algorithm == "sticky-sessions");
    let algorithm = match value.as_str() {
        None => return Map::from_iter([("hash_on".to_owned(), Value::from("none"))]),
        Some("none") if sticky => "sticky-sessions",
        Some("none") => "round-robin",
        Some(_) => "consistent-hashing",
    };
    Map::from_iter([("hash_on".to_owned(), value.clone()), ("algorithm".to_owned(), algorithm.into())])
}

/// What each hash source needs, and which may not be combined.
fn hash_checks(record: Record) -> Record {
    let needs = |when: &'static str, source: &'static str, field: &'static str| -> EntityCheck {
        conditional(when, Field::condition().matches(source), field, Field::condition().required())
    };
    let fallback = |source: &'static str, allowed: &[&str]| -> EntityCheck {
        let allowed = Field::condition().one_of(allowed.iter().copied());
        conditional("hash_on", Field::condition().matches(source), "hash_fallback", allowed)
    };
    record
        .check(needs("hash_on", "^header$", "hash_on_header"))
        .check(needs("hash_fallback", "^header$", "hash_fallback_header"))
        .check(needs("hash_on", "^cookie$", "hash_on_cookie"))
        .check(needs("hash_fallback", "^cookie$", "hash_on_cookie"))
        .check(fallback("^none$", &["none"]))
        .check(fallback("^cookie$", &["none"]))
        .check(fallback("^consumer$", &["none", "ip", "header", "cookie", "path", "query_arg", "uri_capture"]))
        .check(fallback("^ip$", &["none", "consumer", "header", "cookie", "path", "query_arg", "uri_capture"]))
        .check(fallback("^path$", &["none", "consumer", "header", "cookie", "query_arg", "ip", "uri_capture"]))
        .check(checks::distinct(&["hash_on_header", "hash_fallback_header"]))
        .check(needs("hash_on", "^query_arg$", "hash_on_query_arg"))
        .check(needs("hash_fallback", "^query_arg$", "hash_fallback_query_arg"))
        .check(checks::distinct(&["hash_on_query_arg", "hash_fallback_query_arg"]))
        .check(needs("hash_on", "^uri_capture$", "hash_on_uri_capture"))
        .check(needs("hash_fallback", "^uri_capture$", "hash_fallback_uri_capture"))
        .check(checks::distinct(&["hash_on_uri_capture", "hash_fallback_uri_capture"]))
}

fn healthchecks() -> Field {
    // The published default of the whole does not mention the threshold.
    let mut field =
        defaulted(Record::new().field("active", defaulted(active())).field("passive", defaulted(passive())));
    if let Kind::Record(record) = &mut field.kind {
        record.fields.push(("threshold".into(), Field::number().between(0, 100).default(0)));
    }
    field
}

fn active() -> Record {
    let unhealthy = Record::new()
        .field("tcp_failures", counter())
        .field("timeouts", counter())
        .field("http_failures", counter())
        .field("http_statuses", statuses(&[429, 404, 500, 501, 502, 503, 504, 505]))
        .field("interval", seconds().default(0));
    let healthy = Record::new()
        .field("http_statuses", statuses(&[200, 302]))
        .field("interval", seconds().default(0))
        .field("successes", counter());
    Record::new()
        .field("unhealthy", defaulted(unhealthy))
        .field("timeout", seconds().default(1))
        .field("type", check_type())
        .field("http_path", typedefs::path().default("/"))
        .field("https_sni", typedefs::sni().optional())
        .field("https_verify_certificate", Field::boolean().required().default(true))
        .field("headers", Field::map(typedefs::header_name(), Field::array(Field::string())).optional())
        .field("healthy", defaulted(healthy))
        .field("concurrency", Field::integer().between(1, 2_147_483_648_i64).default(10))
}

fn passive() -> Record {
    let success = [200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308];
    let healthy = Record::new().field("successes", counter()).field("http_statuses", statuses(&success));
    let unhealthy = Record::new()
        .field("http_statuses", statuses(&[429, 500, 503]))
        .field("tcp_failures", counter())
        .field("timeouts", counter())
        .field("http_failures", counter());
    Record::new()
        .field("type", check_type())
        .field("healthy", defaulted(healthy))
        .field("unhealthy", defaulted(unhealthy))
}

/// Ends a run of checks of one outcome; 0 switches the outcome off.
fn counter() -> Field {
    Field::integer().between(0, 255).default(0)
}

fn seconds() -> Field {
    Field::number().between(0, 65535)
}

fn statuses(default: &[i64]) -> Field {
    Field::array(Field::integer().between(100, 999)).default(json!(default))
}

fn check_type() -> Field {
    Field::string().one_of(["tcp", "http", "https", "grpc", "grpcs"]).default("http")
}

/// A record whose default is that of its fields; it is published, so that clients can compare.
fn defaulted(record: Record) -> Field {
    let default: Map<String, Value> =
        record.fields.iter().filter_map(|(name, field)| Some((name.to_string(), field.default.clone()?))).collect();
    Field::record(record).default(Value::Object(default))
}
