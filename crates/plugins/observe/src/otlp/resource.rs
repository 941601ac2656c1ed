//! Who sends: attributes of the gateway, which settings may add to and change, also by values of the request.

use std::borrow::Cow;
use std::sync::OnceLock;

use gibbon_message::uri;
use gibbon_pdk::{Exchange, NodeFacts};
use indexmap::IndexMap;

use super::records::attribute;
use super::{Message, Value};

/// Attributes as the settings have them.
#[derive(Debug)]
pub struct Resource {
    attributes: Vec<(String, Vec<Piece>)>,
    depends: bool,
    /// Encoded once, if no value depends on the request.
    fixed: OnceLock<Vec<u8>>,
}

/// A piece of a value.
#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    Request(Scope, String),
}

/// Where in the request a value is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Header,
    Query,
    Capture,
}

impl Resource {
    pub fn new(attributes: Option<&IndexMap<String, String>>) -> Self {
        let attributes: Vec<_> =
            attributes.into_iter().flatten().map(|(name, value)| (name.clone(), pieces(value))).collect();
        let depends = attributes.iter().flat_map(|(_, value)| value).any(|piece| matches!(piece, Piece::Request(..)));
        Resource { attributes, depends, fixed: OnceLock::new() }
    }

    /// The encoded attributes for one exchange.
    pub fn of(&self, x: &Exchange, node: &NodeFacts) -> Cow<'_, [u8]> {
        if self.depends {
            return Cow::Owned(self.encode(x, node));
        }
        Cow::Borrowed(self.fixed.get_or_init(|| self.encode(x, node)))
    }

    fn encode(&self, x: &Exchange, node: &NodeFacts) -> Vec<u8> {
        let mut all: IndexMap<&str, String> = IndexMap::from_iter([
            ("service.name", "kong".to_owned()),
            ("service.instance.id", node.id.to_string()),
            ("service.version", node.kong_version.clone()),
        ]);
        for (name, value) in &self.attributes {
            all.insert(name, value.iter().map(|piece| piece.fill(x)).collect());
        }
        let mut out = Message::default();
        for (name, value) in &all {
            attribute(&mut out, 1, name, &Value::Text(value));
        }
        out.into_bytes()
    }
}

impl Piece {
    fn fill(&self, x: &Exchange) -> String {
        match self {
            Piece::Text(text) => text.clone(),
            Piece::Request(scope, name) => look_up(*scope, name, x).unwrap_or_default(),
        }
    }
}

fn look_up(scope: Scope, name: &str, x: &Exchange) -> Option<String> {
    match scope {
        Scope::Header => x.request.headers.get_str(name).map(str::to_owned),
        Scope::Query => uri::arguments(x.request.query()?)
            .find(|(argument, _)| **argument == *name.as_bytes())
            .and_then(|(_, value)| value.map(|value| String::from_utf8_lossy(&value).into_owned())),
        Scope::Capture => x.captures.iter().find(|(capture, _)| **capture == *name).map(|(_, value)| value.to_string()),
    }
}

/// Splits at `$(headers.x)`, `$(query_params.x)` and `$(uri_captures.x)`; the name may stand in `["…"]` too. What is
/// none of these stays as it is.
fn pieces(value: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some((before, behind)) = rest.split_once("$(") {
        let Some((expression, after)) = behind.split_once(')') else { break };
        match request_value(expression.trim()) {
            Some(piece) => {
                found.push(Piece::Text(before.to_owned()));
                found.push(piece);
            }
            None => found.push(Piece::Text(format!("{before}$({expression})"))),
        }
        rest = after;
    }
    found.push(Piece::Text(rest.to_owned()));
    found.retain(|piece| *piece != Piece::Text(String::new()));
    found
}

fn request_value(expression: &str) -> Option<Piece> {
    let scopes = [("headers", Scope::Header), ("query_params", Scope::Query), ("uri_captures", Scope::Capture)];
    let (name, scope) = scopes.into_iter().find(|(name, _)| expression.starts_with(name))?;
    let rest = expression.get(name.len()..)?;
    let key = match rest.strip_prefix('.') {
        Some(key) => key,
        None => rest.strip_prefix('[')?.strip_suffix(']')?.trim_matches(['"', '\'']),
    };
    (!key.is_empty()).then(|| Piece::Request(scope, key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_request_stand_in_dollar_brackets() {
        let x = gibbon_rig::request("GET /a?q=v%20w", &[("X-Tenant", "t1")]);
        let fill = |text: &str| -> String { pieces(text).iter().map(|piece| piece.fill(&x)).collect() };
        assert_eq!(fill("a-$(headers.x-tenant)-b"), "a-t1-b");
        assert_eq!(fill("$(headers[\"x-tenant\"])/$(query_params.q)"), "t1/v w");
        assert_eq!(fill("$(headers.none)|$(os.time)|$(open"), "|$(os.time)|$(open");
    }
}
