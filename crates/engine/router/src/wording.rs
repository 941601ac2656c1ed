//! A route of attributes written as an expression, as Kong does, for error texts.

use crate::conditions::HostPattern;
use crate::conditions::NamePattern;
use crate::pattern::compatible;
use crate::spec::{Address, Endpoint, Flavor, RouteSpec, Subsystem};

/// The expression that stands for the attributes of `spec`; its own if it has one.
pub(crate) fn expression_of(spec: &RouteSpec) -> String {
    if let Some(own) = &spec.expression {
        return own.clone();
    }
    let subsystem = spec.subsystem();
    let mut conjuncts = Vec::new();
    conjuncts.extend(snis(spec, subsystem));
    conjuncts.extend(endpoints("net.src", &spec.sources));
    conjuncts.extend(endpoints("net.dst", &spec.destinations));
    if subsystem == Subsystem::Http {
        conjuncts.extend(any_of(spec.methods.iter().map(|method| format!("http.method == {}", quoted(method)))));
        conjuncts.extend(any_of(spec.hosts.iter().map(|host| host_term(host))));
        conjuncts.extend(any_of(spec.paths.iter().map(|path| path_term(path))));
        conjuncts.extend(spec.headers.iter().map(|(name, values)| header_term(name, values)));
    }
    conjuncts.join(" && ")
}

fn any_of(terms: impl Iterator<Item = String>) -> Option<String> {
    let terms: Vec<String> = terms.collect();
    (!terms.is_empty()).then(|| format!("({})", terms.join(" || ")))
}

fn snis(spec: &RouteSpec, subsystem: Subsystem) -> Option<String> {
    let names = any_of(
        spec.snis.iter().map(|sni| name_term("tls.sni", &NamePattern::of_sni(Flavor::TraditionalCompatible, sni))),
    )?;
    let protocol = if subsystem == Subsystem::Http { "https" } else { "tls" };
    Some(format!("(net.protocol != {} || {names})", quoted(protocol)))
}

fn name_term(field: &str, name: &NamePattern) -> String {
    let (operator, text) = match name {
        NamePattern::Exact(text) => ("==", text),
        NamePattern::EndsWith(text) => ("=^", text),
        NamePattern::StartsWith(text) => ("^=", text),
    };
    format!("{field} {operator} {}", quoted(&String::from_utf8_lossy(text)))
}

fn host_term(host: &str) -> String {
    let pattern = HostPattern::new(Flavor::TraditionalCompatible, host);
    let term = name_term("http.host", &pattern.name);
    match pattern.port() {
        Some(port) => format!("({term} && net.dst.port == {port})"),
        None => term,
    }
}

fn path_term(path: &str) -> String {
    match path.strip_prefix('~') {
        Some(regex) => format!("http.path ~ {}", quoted(&compatible(regex))),
        None => format!("http.path ^= {}", quoted(path)),
    }
}

fn header_term(name: &str, values: &[String]) -> String {
    let field = format!("any(lower(http.headers.{}))", name.to_ascii_lowercase().replace('-', "_"));
    let terms: Vec<String> = values
        .iter()
        .map(|value| match value.strip_prefix("~*") {
            Some(regex) => format!("{field} ~ {}", quoted(&regex.to_ascii_lowercase())),
            None => format!("{field} == {}", quoted(&value.to_ascii_lowercase())),
        })
        .collect();
    format!("({})", terms.join(" || "))
}

fn endpoints(field: &str, endpoints: &[Endpoint]) -> Option<String> {
    any_of(endpoints.iter().map(|endpoint| {
        let address = endpoint.address.map(|address| match address {
            Address::Ip(ip) => format!("{field}.ip == {ip}"),
            Address::Network(net) => format!("{field}.ip in {net}"),
        });
        let port = endpoint.port.map(|port| format!("{field}.port == {port}"));
        match (address, port) {
            (Some(address), Some(port)) => format!("({address} && {port})"),
            (address, port) => address.or(port).unwrap_or_default(),
        }
    }))
}

/// A raw text, or an escaped one if the text contains what would end a raw one.
fn quoted(text: &str) -> String {
    if text.contains("\"#") {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        format!("r#\"{text}\"#")
    }
}
