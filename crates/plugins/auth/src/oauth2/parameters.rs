//! Parameters of a request to an endpoint, and its refusals.

use std::borrow::Cow;

use gibbon_message::{Method, Scheme};
use gibbon_pdk::{Exchange, Reply};
use serde_json::{Map, Value, json};

use super::config::Config;
use crate::arguments::{self, BodyArguments};
use crate::identity;

/// Parameters in query and body; the body's win.
pub struct Parameters(Map<String, Value>);

impl Parameters {
    /// Whether the body may hold parameters, so that it must be read first.
    #[must_use]
    pub fn in_body(x: &Exchange) -> bool {
        matches!(x.request.method, Method::Post | Method::Put | Method::Patch)
    }

    #[must_use]
    pub fn of(x: &Exchange) -> Parameters {
        let mut all = arguments::query(x);
        if Self::in_body(x) {
            all.extend(BodyArguments::of(x).into_map());
        }
        Parameters(all)
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// The value, if it is a text or a number.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.get(name)? {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        }
    }

    /// Whether the value is this secret.
    #[must_use]
    pub fn is_secret(&self, name: &str, secret: &str) -> bool {
        self.text(name).is_some_and(|given| identity::equal_in_constant_time(given.as_bytes(), secret.as_bytes()))
    }
}

/// Why an endpoint refuses: the error's name (RFC 6749 5.2 and Kong's own) and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub error: &'static str,
    pub description: Cow<'static, str>,
    /// The client authenticated by header, so it is challenged (RFC 6749 5.2).
    pub challenged: bool,
}

impl Refusal {
    pub fn new(error: &'static str, description: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { error, description: description.into(), challenged: false }
    }

    #[must_use]
    pub fn invalid_client(challenged: bool) -> Refusal {
        Refusal { challenged, ..Refusal::new("invalid_client", "Invalid client authentication") }
    }

    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("error".into(), self.error.into());
        map.insert("error_description".into(), self.description.clone().into());
        map
    }
}

/// The answer of an endpoint; it must not be kept by anybody (RFC 6749 5.1).
#[must_use]
pub fn answer(status: u16, body: Map<String, Value>) -> Reply {
    Reply::json(status, Value::Object(body)).header("cache-control", "no-store").header("pragma", "no-cache")
}

/// Whether the request came over TLS, or, where the configuration says so, over TLS to a trusted peer.
///
/// # Errors
/// Why it counts as insecure.
pub fn check_https(x: &Exchange, config: &Config) -> Result<(), Refusal> {
    if x.client.scheme == Scheme::Https {
        return Ok(());
    }
    if config.accept_http_if_already_terminated && x.client.trusted {
        let mut sent = x.request.headers.get_all("x-forwarded-proto");
        match (sent.next(), sent.next()) {
            (Some(_), Some(_)) => {
                return Err(Refusal::new("access_denied", "Only one X-Forwarded-Proto header allowed"));
            }
            (Some(proto), None) if proto.eq_ignore_ascii_case(b"https") => return Ok(()),
            _ => {}
        }
    }
    Err(Refusal::new("access_denied", "You must use HTTPS"))
}

/// The scopes asked for, each known, separated by single spaces.
///
/// # Errors
/// A scope that is unknown or missing.
pub fn scope(parameters: &Parameters, config: &Config) -> Result<Option<String>, Refusal> {
    let refused = |description: String| Err(Refusal::new("invalid_scope", description));
    match (parameters.get("scope"), &config.scopes) {
        (Some(Value::String(asked)), Some(known)) => {
            if let Some(unknown) = asked.split_whitespace().find(|scope| !known.iter().any(|k| k == scope)) {
                return refused(format!("\"{unknown}\" is an invalid scope"));
            }
            let scopes: Vec<&str> = asked.split_whitespace().collect();
            Ok((!scopes.is_empty()).then(|| scopes.join(" ")))
        }
        (Some(_), Some(_)) => refused("scope must be a string".to_owned()),
        (None, _) if config.mandatory_scope => refused("You must specify a scope".to_owned()),
        _ => Ok(None),
    }
}

/// The end user that an application speaks for.
///
/// # Errors
/// When the application does not show that it may, or names nobody.
pub fn end_user(parameters: &Parameters, config: &Config) -> Result<String, Refusal> {
    if !parameters.is_secret("provision_key", &config.provision_key) {
        return Err(Refusal::new("invalid_provision_key", "Invalid provision_key"));
    }
    let user = parameters.text("authenticated_userid").filter(|user| !user.trim().is_empty());
    let missing = || Refusal::new("invalid_authenticated_userid", "Missing authenticated_userid parameter");
    user.map(Cow::into_owned).ok_or_else(missing)
}

/// The answer to a method that an endpoint does not know.
#[must_use]
pub fn wrong_method(x: &Exchange, endpoint: &str, realm: Option<&str>) -> Reply {
    let description = format!("The HTTP method {} is invalid for the {endpoint} endpoint", x.request.method.as_str());
    let body = json!({"error": "invalid_method", "error_description": description});
    Reply::json(405, body).header("WWW-Authenticate", bearer("invalid_method", &description, realm))
}

/// A challenge with an error (RFC 6750 3).
#[must_use]
pub fn bearer(error: &str, description: &str, realm: Option<&str>) -> String {
    let realm = realm.map(|realm| format!("realm=\"{realm}\", ")).unwrap_or_default();
    format!("Bearer {realm}error=\"{error}\", error_description=\"{description}\"")
}
