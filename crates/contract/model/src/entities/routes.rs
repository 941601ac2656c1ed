//! Routes: which requests go to which service. What must and may be set depends on the protocols.

use std::sync::Arc;

use gibbon_message::uri;
use gibbon_schema::{
    Field, Record, Subschemas, Validator,
    checks::{self, EntityCheck, conditional, conditional_at_least_one_of},
    regex_syntax, typedefs, validators,
};
use serde_json::{Map, Value};

use super::identified;
use crate::{entity::EntityDef, registry::RegistryOptions};

/// Checks a route as the router will read it.
pub type ExpressionCheck = dyn Fn(&Map<String, Value>) -> Result<(), String> + Send + Sync;

/// How routes are written and matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouterFlavor {
    Traditional,
    #[default]
    TraditionalCompatible,
    Expressions,
}

/// 2^46 - 1
const MAX_PRIORITY: i64 = 70_368_744_177_663;

const EXPRESSION_SOURCES: &[&str] = &[
    "id",
    "protocols",
    "snis",
    "sources",
    "destinations",
    "methods",
    "hosts",
    "paths",
    "headers",
    "expression",
    "regex_priority",
    "priority",
];

pub fn routes(options: &RegistryOptions) -> EntityDef {
    let flavor = options.router_flavor;
    let mut record = identified()
        .field("name", typedefs::utf8_name())
        .field("protocols", protocols())
        .field("https_redirect_status_code", Field::integer().one_of([426, 301, 302, 307, 308]).required().default(426))
        .field("strip_path", Field::boolean().required().default(true))
        .field("preserve_host", Field::boolean().required().default(false))
        .field("request_buffering", Field::boolean().required().default(true))
        .field("response_buffering", Field::boolean().required().default(true))
        .field("tags", typedefs::tags())
        .field("service", Field::foreign("services"))
        .field("snis", Field::set(sni(flavor)))
        .field("sources", addresses())
        .field("destinations", addresses())
        .field("methods", Field::set(typedefs::http_method()))
        .field("hosts", hosts())
        .field("paths", paths())
        .field("headers", headers())
        .field("regex_priority", Field::integer().default(0))
        .field("path_handling", Field::string().one_of(["v0", "v1"]).default("v0"));
    if flavor == RouterFlavor::Expressions {
        record = record
            .field("expression", Field::string())
            .field("priority", Field::integer().between(0, MAX_PRIORITY).required().default(0));
    }
    record = record.check(snis_need_tls()).check(path_handling());
    if flavor != RouterFlavor::Traditional {
        record = record.check(expression(options.expression_check.clone()));
    }
    let families = Families::new(flavor);
    record = record.subschemas(Subschemas {
        key: "protocols".into(),
        error: None,
        lookup: Arc::new(move |protocol| families.of(protocol)),
    });
    EntityDef::new("routes", record).endpoint_key("name")
}

fn protocols() -> Field {
    Field::set(typedefs::protocol())
        .required()
        .len_min(1)
        .mutually_exclusive_subsets(&[
            &["http", "https"],
            &["tcp", "tls", "udp"],
            &["tls_passthrough"],
            &["grpc", "grpcs"],
        ])
        .default(vec![Value::from("http"), Value::from("https")])
}

/// Only the engines that read expressions know wildcards in server names.
fn sni(flavor: RouterFlavor) -> Field {
    match flavor {
        RouterFlavor::Traditional => typedefs::sni(),
        _ => typedefs::wildcard_sni(),
    }
}

fn addresses() -> Field {
    let address = Record::new()
        .field("ip", typedefs::ip_or_cidr())
        .field("port", typedefs::port())
        .check(checks::at_least_one_of(&["ip", "port"]));
    Field::set(Field::record(address))
}

fn hosts() -> Field {
    Field::array(typedefs::wildcard_host())
}

fn paths() -> Field {
    Field::array(
        Field::string()
            .match_none("//", "must not have empty segments")
            .match_any(["^/", "^~/"], "should start with: / (fixed path) or ~/ (regex path)")
            .custom(Validator::new("route_path", check_path)),
    )
}

/// Plain paths are compared with normalised ones, so they must be written that way; regexes must compile.
fn check_path(value: &Value) -> Result<(), String> {
    let Some(path) = value.as_str() else { return Ok(()) };
    if let Some(regex) = path.strip_prefix('~') {
        return regex_syntax::check(regex)
            .map_err(|complaint| format!("invalid regex: '{regex}' (PCRE returned: {complaint})"));
    }
    validators::percent_encoding(path)?;
    let normal = uri::normalize(path.as_bytes());
    if normal.as_ref() == path.as_bytes() {
        return Ok(());
    }
    Err(format!("non-normalized path, consider use '{}' instead", String::from_utf8_lossy(&normal)))
}

fn headers() -> Field {
    let key = typedefs::header_name().match_none(
        "^[Hh][Oo][Ss][Tt]$",
        "cannot contain 'host' header, which must be specified in the 'hosts' attribute",
    );
    Field::map(key, Field::array(Field::string()))
}

fn snis_need_tls() -> EntityCheck {
    let no_tls = Field::string().not_one_of(["grpcs", "https", "tls", "tls_passthrough"]);
    conditional("protocols", Field::elements_condition(no_tls), "snis", Field::condition().len_eq(0))
        .then_err("'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'")
}

/// Never refuses: the older way of joining paths is only discouraged. It is here because clients see it published.
fn path_handling() -> EntityCheck {
    checks::custom("path_handling", &["path_handling"], |_| Ok::<(), String>(()))
}

fn expression(check: Option<Arc<ExpressionCheck>>) -> EntityCheck {
    checks::custom("router_expression", EXPRESSION_SOURCES, move |route| match &check {
        Some(check) => check(route),
        None => Ok(()),
    })
    .run_with_missing_fields()
}

/// What each family of protocols asks for and forbids.
struct Families {
    http: Arc<Record>,
    grpc: Arc<Record>,
    stream: Arc<Record>,
}

impl Families {
    fn new(flavor: RouterFlavor) -> Self {
        let expressions = flavor == RouterFlavor::Expressions;
        Families {
            http: Arc::new(http_family(expressions)),
            grpc: Arc::new(grpc_family(expressions)),
            stream: Arc::new(stream_family(expressions)),
        }
    }

    fn of(&self, protocol: &str) -> Option<Arc<Record>> {
        match protocol {
            "http" | "https" => Some(Arc::clone(&self.http)),
            "grpc" | "grpcs" => Some(Arc::clone(&self.grpc)),
            "tcp" | "tls" | "udp" | "tls_passthrough" => Some(Arc::clone(&self.stream)),
            _ => None,
        }
    }
}

/// The fields of a list, and `expression` where that exists.
fn one_of(fields: &[&'static str], expressions: bool) -> Vec<&'static str> {
    let more = expressions.then_some("expression");
    fields.iter().copied().chain(more).collect()
}

fn http_family(expressions: bool) -> Record {
    let forbidden = "when 'protocols' is 'http' or 'https'";
    Record::new()
        .field("sources", closed(addresses(), "sources", forbidden))
        .field("destinations", closed(addresses(), "destinations", forbidden))
        .check(
            conditional_at_least_one_of(
                "protocols",
                Field::condition().contains("https"),
                &one_of(&["methods", "hosts", "headers", "paths", "snis"], expressions),
                "must set one of %s when 'protocols' is 'https'",
            )
            .otherwise(
                Field::condition().contains("http"),
                &one_of(&["methods", "hosts", "headers", "paths"], expressions),
                "must set one of %s when 'protocols' is 'http'",
            ),
        )
}

fn grpc_family(expressions: bool) -> Record {
    let forbidden = "when 'protocols' is 'grpc' or 'grpcs'";
    let strip_path = Field::boolean()
        .required()
        .default(false)
        .ne(true)
        .err("cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'");
    Record::new()
        .field("strip_path", strip_path)
        .field("methods", closed(Field::set(typedefs::http_method()), "methods", forbidden))
        .field("sources", closed(addresses(), "sources", forbidden))
        .field("destinations", closed(addresses(), "destinations", forbidden))
        .check(
            conditional_at_least_one_of(
                "protocols",
                Field::condition().contains("grpcs"),
                &one_of(&["hosts", "headers", "paths", "snis"], expressions),
                "must set one of %s when 'protocols' is 'grpcs'",
            )
            .otherwise(
                Field::condition().contains("grpc"),
                &one_of(&["hosts", "headers", "paths"], expressions),
                "must set one of %s when 'protocols' is 'grpc'",
            ),
        )
}

fn stream_family(expressions: bool) -> Record {
    let forbidden = "when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'";
    let header_map = Field::map(typedefs::header_name(), Field::array(Field::string()));
    Record::new()
        .field("methods", closed(Field::set(typedefs::http_method()), "methods", forbidden))
        .field("hosts", closed(hosts(), "hosts", forbidden))
        .field("paths", closed(paths(), "paths", forbidden))
        .field("headers", closed(header_map, "headers", forbidden))
        .check(conditional_at_least_one_of(
            "protocols",
            Field::elements_condition(Field::string().one_of(["tcp", "tls", "udp"])),
            &one_of(&["sources", "destinations", "snis"], expressions),
            "must set one of %s when 'protocols' is 'tcp', 'tls' or 'udp'",
        ))
        .check(conditional_at_least_one_of(
            "protocols",
            Field::elements_condition(Field::string().one_of(["tls_passthrough"])),
            &one_of(&["snis"], expressions),
            if expressions {
                "must set one of %s when 'protocols' is 'tls_passthrough'"
            } else {
                "must set snis when 'protocols' is 'tls_passthrough'"
            },
        ))
}

fn closed(field: Field, name: &str, when: &str) -> Field {
    field.eq_null().err(format!("cannot set '{name}' {when}"))
}
