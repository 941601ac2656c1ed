//! The token endpoint (RFC 6749 3.2): codes, passwords, client secrets and refresh tokens become access tokens.

use std::time::Duration;

use gibbon_pdk::{Exchange, Fault, Host, Reply};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::client::{self, Claimed, Client};
use super::handler::OAuth2;
use super::parameters::{self, Parameters, Refusal};
use super::pkce;
use super::rows::{self, Grant, NewToken, Row};

/// How a client asks for a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GrantType {
    AuthorizationCode,
    ClientCredentials,
    Password,
    RefreshToken,
}

/// Why there is no token.
enum Failure {
    Refused(Refusal),
    Fault(Fault),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refused(refusal)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Fault(fault)
    }
}

type Token = Map<String, Value>;

/// Answers a request to the endpoint.
///
/// # Errors
/// When the store cannot be reached.
pub async fn answer(plugin: &OAuth2, x: &Exchange, host: &Host) -> Result<Reply, Fault> {
    let parameters = Parameters::of(x);
    let (status, mut body, challenged) = match decide(plugin, x, host, &parameters).await {
        Ok(token) => (200, token, false),
        Err(Failure::Refused(refusal)) => {
            (if refusal.challenged { 401 } else { 400 }, refusal.to_map(), refusal.challenged)
        }
        Err(Failure::Fault(fault)) => return Err(fault),
    };
    if let Some(state) = parameters.get("state") {
        body.insert("state".into(), state.clone());
    }
    let reply = parameters::answer(status, body);
    Ok(if challenged { reply.header("WWW-Authenticate", "Basic realm=\"OAuth2.0\"") } else { reply })
}

async fn decide(plugin: &OAuth2, x: &Exchange, host: &Host, parameters: &Parameters) -> Result<Token, Failure> {
    parameters::check_https(x, &plugin.config)?;
    let grant_type = grant_type(plugin, parameters).ok_or(Refusal::new("unsupported_grant_type", "Invalid grant_type"));
    // Of several faults the last one is told, as Kong does: first who the client is, then what it asks for. Who speaks
    // for itself alone is asked who it is after what it asks for.
    let claimed = Claimed::of(x, parameters, plugin.config.auth_header_name.as_deref().unwrap_or("authorization"));
    let found = claimed.client_id.as_deref().and_then(|id| Client::find(x, host, id));
    let speaks_for_itself = parameters.text("grant_type").as_deref() == Some("client_credentials");
    let Some(client) = found else {
        if speaks_for_itself {
            grant_type?;
            end_user_of_itself(plugin, parameters)?;
        }
        return Err(Refusal::invalid_client(claimed.by_header).into());
    };
    claimed.verify(&client, host).await?;
    if !speaks_for_itself {
        if client.redirect_uris.is_empty() {
            return Err(Refusal::invalid_client(claimed.by_header).into());
        }
        client::redirect_uri(parameters, &client)?;
    }
    let grant_type = grant_type?;
    let service = plugin.service_of(x)?;
    match grant_type {
        GrantType::AuthorizationCode => redeem_code(plugin, host, parameters, &client, service).await,
        GrantType::RefreshToken => refresh(plugin, host, parameters, &client, service).await,
        GrantType::Password => {
            let user = parameters::end_user(parameters, &plugin.config)?;
            let grant = grant_for(plugin, parameters, &client, service, Some(user))?;
            Ok(issue(plugin, host, &grant, true).await?)
        }
        GrantType::ClientCredentials => {
            let user = end_user_of_itself(plugin, parameters)?;
            let grant = grant_for(plugin, parameters, &client, service, user)?;
            Ok(issue(plugin, host, &grant, false).await?)
        }
    }
}

fn grant_type(plugin: &OAuth2, parameters: &Parameters) -> Option<GrantType> {
    match parameters.text("grant_type")?.as_ref() {
        "authorization_code" => Some(GrantType::AuthorizationCode),
        "refresh_token" => Some(GrantType::RefreshToken),
        "client_credentials" if plugin.config.enable_client_credentials => Some(GrantType::ClientCredentials),
        "password" if plugin.config.enable_password_grant => Some(GrantType::Password),
        _ => None,
    }
}

/// The end user that a client names with the client credentials grant; only who names one needs the provision key.
fn end_user_of_itself(plugin: &OAuth2, parameters: &Parameters) -> Result<Option<String>, Refusal> {
    match parameters.get("authenticated_userid") {
        None => Ok(None),
        Some(_) if !parameters.is_secret("provision_key", &plugin.config.provision_key) => {
            Err(Refusal::new("invalid_provision_key", "Invalid provision_key"))
        }
        Some(_) => Ok(parameters.text("authenticated_userid").map(Into::into)),
    }
}

fn grant_for(
    plugin: &OAuth2,
    parameters: &Parameters,
    client: &Client,
    service: Option<Uuid>,
    authenticated_userid: Option<String>,
) -> Result<Grant, Refusal> {
    let scope = parameters::scope(parameters, &plugin.config)?;
    Ok(Grant { workspace: client.workspace, service, client: client.credential.id, authenticated_userid, scope })
}

/// Whether a code or token was made for this service, or for all where that is enough.
fn is_for(row: &Row, service: Option<Uuid>) -> bool {
    service.is_none() || row.foreign("service") == service
}

async fn redeem_code(
    plugin: &OAuth2,
    host: &Host,
    parameters: &Parameters,
    client: &Client,
    service: Option<Uuid>,
) -> Result<Token, Failure> {
    let invalid = || Refusal::new("invalid_request", "Invalid code");
    let code = parameters.text("code").ok_or_else(invalid)?;
    let row = rows::code(&*host.store, client.workspace, &code).await?.ok_or_else(invalid)?;
    if !is_for(&row, service) || row.foreign("credential") != Some(client.credential.id) {
        return Err(invalid().into());
    }
    if row.text("challenge_method").is_some() || pkce::is_required(&plugin.config, client) {
        pkce::verify(parameters, row.text("challenge"))?;
    }
    if plugin.config.global_credentials && row.foreign("plugin").is_some_and(|id| id != plugin.id) {
        return Err(invalid().into());
    }
    // The code is gone before the token is there: if anything fails the user asks anew.
    if !rows::use_code(&*host.store, &row).await? {
        return Err(invalid().into());
    }
    let grant = grant_of(&row, client, service);
    Ok(issue(plugin, host, &grant, true).await?)
}

fn grant_of(row: &Row, client: &Client, service: Option<Uuid>) -> Grant {
    Grant {
        workspace: client.workspace,
        service,
        client: client.credential.id,
        authenticated_userid: row.text("authenticated_userid").map(str::to_owned),
        scope: row.text("scope").map(str::to_owned),
    }
}

async fn refresh(
    plugin: &OAuth2,
    host: &Host,
    parameters: &Parameters,
    client: &Client,
    service: Option<Uuid>,
) -> Result<Token, Failure> {
    let invalid = || Refusal::new("invalid_request", "Invalid refresh_token");
    let refresh_token = parameters.text("refresh_token").ok_or_else(invalid)?;
    let row = rows::by_refresh_token(&*host.store, client.workspace, &refresh_token).await?.ok_or_else(invalid)?;
    if !is_for(&row, service) {
        return Err(invalid().into());
    }
    if row.foreign("credential") != Some(client.credential.id) {
        return Err(Refusal::invalid_client(false).into());
    }
    let known = plugin.config.scopes.as_deref().unwrap_or_default();
    if row.text("scope").is_some_and(|all| all.split_whitespace().any(|scope| !known.iter().any(|k| k == scope))) {
        return Err(Refusal::new("invalid_scope", "Scope mismatch").into());
    }
    if plugin.config.reuse_refresh_token {
        let mut new = new_token(plugin, host, false);
        rows::renew_token(host, client.workspace, &row, &new).await?;
        new.refresh_token = row.text("refresh_token").map(str::to_owned);
        return Ok(shown(&new));
    }
    let is_used_up = !plugin.config.persistent_refresh_token.unwrap_or(false);
    if is_used_up && !rows::use_token(&*host.store, &row).await? {
        return Err(invalid().into());
    }
    let grant = grant_of(&row, client, service);
    Ok(issue(plugin, host, &grant, true).await?)
}

fn new_token(plugin: &OAuth2, host: &Host, with_refresh_token: bool) -> NewToken {
    let expires_in = plugin.config.token_expiration.max(0.0) as u64;
    let refresh_ttl = plugin.config.refresh_token_ttl.max(0.0) as u64;
    let lasts = expires_in > 0;
    NewToken {
        access_token: rows::secret(&*host.random),
        refresh_token: (with_refresh_token && lasts).then(|| rows::secret(&*host.random)),
        expires_in,
        ttl: (lasts && refresh_ttl > 0).then(|| Duration::from_secs(refresh_ttl)),
    }
}

/// Keeps a new token and gives what the client is told of it.
///
/// # Errors
/// When the store cannot be reached.
pub async fn issue(plugin: &OAuth2, host: &Host, grant: &Grant, with_refresh_token: bool) -> Result<Token, Fault> {
    let new = new_token(plugin, host, with_refresh_token);
    rows::add_token(host, grant, &new).await?;
    Ok(shown(&new))
}

fn shown(new: &NewToken) -> Token {
    let mut token = Token::new();
    token.insert("access_token".into(), json!(new.access_token));
    if new.expires_in > 0 {
        token.insert("expires_in".into(), json!(new.expires_in));
    }
    if let Some(refresh_token) = &new.refresh_token {
        token.insert("refresh_token".into(), json!(refresh_token));
    }
    token.insert("token_type".into(), json!("bearer"));
    token
}
