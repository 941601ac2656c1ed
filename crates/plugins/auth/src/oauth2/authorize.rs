//! The authorization endpoint (RFC 6749 3.1). It is called by the application that the end user has agreed with, never
//! by a browser: the answer says where the application must send the browser.

use gibbon_message::uri;
use gibbon_pdk::{Exchange, Fault, Host, Reply};
use serde_json::{Map, Value, json};

use super::client::{self, Client};
use super::grants;
use super::handler::OAuth2;
use super::parameters::{self, Parameters, Refusal};
use super::pkce;
use super::rows::{self, Grant};

/// What the application gets: parameters for the redirect URI, in the query or behind the `#`.
struct Outcome {
    parameters: Map<String, Value>,
    redirect_uri: Option<String>,
    in_fragment: bool,
    status: u16,
}

/// Answers a request to the endpoint.
///
/// # Errors
/// When the store cannot be reached.
pub async fn answer(plugin: &OAuth2, x: &Exchange, host: &Host) -> Result<Reply, Fault> {
    let parameters = Parameters::of(x);
    let mut outcome = decide(plugin, x, host, &parameters).await?;
    if let Some(state) = parameters.get("state") {
        outcome.parameters.insert("state".into(), state.clone());
    }
    let mut body = outcome.parameters;
    if let Some(target) = &outcome.redirect_uri {
        let target = with_parameters(target, &body, outcome.in_fragment);
        body = Map::from_iter([("redirect_uri".to_owned(), json!(target))]);
    }
    Ok(parameters::answer(outcome.status, body))
}

fn refused(refusal: &Refusal, redirect_uri: Option<String>) -> Outcome {
    Outcome { parameters: refusal.to_map(), redirect_uri, in_fragment: false, status: 400 }
}

async fn decide(plugin: &OAuth2, x: &Exchange, host: &Host, parameters: &Parameters) -> Result<Outcome, Fault> {
    let config = &plugin.config;
    let user = match parameters::check_https(x, config).and_then(|()| parameters::end_user(parameters, config)) {
        Ok(user) => user,
        Err(refusal) => return Ok(refused(&refusal, None)),
    };
    // Of several faults the last one is told, as Kong does.
    let response_type = parameters.text("response_type");
    let is_code = response_type.as_deref() == Some("code") && config.enable_authorization_code;
    let is_token = response_type.as_deref() == Some("token") && config.enable_implicit_grant;
    let mut fault = None;
    if !is_code && !is_token {
        fault = Some(Refusal::new("unsupported_response_type", "Invalid response_type"));
    }
    let mut note = |refusal| {
        fault = Some(refusal);
        None
    };
    let scope = parameters::scope(parameters, config).unwrap_or_else(&mut note);
    let client = parameters.text("client_id").and_then(|id| Client::find(x, host, &id));
    let registered = client.as_ref().filter(|client| !client.redirect_uris.is_empty());
    let redirect_uri = match registered {
        None => note(Refusal::invalid_client(false)),
        Some(client) => match client::redirect_uri(parameters, client) {
            Ok(uri) => Some(uri),
            Err(refusal) => {
                note(refusal);
                client.redirect_uris.first().cloned()
            }
        },
    };
    let challenge = pkce::challenge(parameters, config, client.as_ref()).unwrap_or_else(&mut note);
    let client = match (fault, client) {
        (None, Some(client)) => client,
        (fault, _) => return Ok(refused(&fault.unwrap_or_else(|| Refusal::invalid_client(false)), redirect_uri)),
    };
    let grant =
        Grant { service: plugin.service_of(x)?, client: client.credential.id, authenticated_userid: Some(user), scope };
    let parameters = if is_code {
        let code = rows::add_code(host, &grant, challenge.as_deref(), plugin.id).await?;
        Map::from_iter([("code".to_owned(), json!(code))])
    } else {
        grants::issue(plugin, host, &grant, false).await?
    };
    Ok(Outcome { parameters, redirect_uri, in_fragment: is_token, status: 200 })
}

/// The URI with parameters added to its query, or in its fragment: sorted by name, as Kong writes them.
fn with_parameters(target: &str, more: &Map<String, Value>, in_fragment: bool) -> String {
    let (rest, fragment) = target.split_once('#').map_or((target, None), |(rest, fragment)| (rest, Some(fragment)));
    let (base, query) = rest.split_once('?').map_or((rest, None), |(base, query)| (base, Some(query)));
    let present = if in_fragment { fragment } else { query };
    let mut all: Vec<(String, String)> = uri::arguments(present.unwrap_or_default().as_bytes())
        .map(|(name, value)| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(&name), value.map(|v| text(&v)).unwrap_or_default())
        })
        .filter(|(name, _)| !more.contains_key(name))
        .collect();
    all.extend(
        more.iter()
            .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))),
    );
    all.sort();
    let encoded: Vec<String> =
        all.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    let encoded = encoded.join("&");
    let query = query.filter(|_| in_fragment).map(|query| format!("?{query}"));
    match in_fragment {
        true => format!("{base}{}#{encoded}", query.unwrap_or_default()),
        false => format!("{base}?{encoded}{}", fragment.map(|f| format!("#{f}")).unwrap_or_default()),
    }
}

/// Everything but the unreserved characters of RFC 3986 2.3 as `%XX`.
fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_added_to_what_the_uri_has() {
        let more = Map::from_iter([("code".to_owned(), json!("c&d")), ("state".to_owned(), json!("x y"))]);
        let added = |target: &str, fragment| with_parameters(target, &more, fragment);
        assert_eq!(added("http://a.test/cb", false), "http://a.test/cb?code=c%26d&state=x%20y");
        assert_eq!(added("http://a.test/cb?z=1&state=old", false), "http://a.test/cb?code=c%26d&state=x%20y&z=1");
        assert_eq!(added("http://a.test/cb?z=1", true), "http://a.test/cb?z=1#code=c%26d&state=x%20y");
    }
}
