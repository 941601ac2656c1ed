//! The access step of `oauth2`: its endpoints, and the check of tokens on everything else.

use gibbon_message::Method;
use gibbon_pdk::{Build, Exchange, Fault, Flow, Handler, Host, Reply, Step};
use serde_json::json;
use uuid::Uuid;

use super::client::CLIENTS;
use super::config::Config;
use super::parameters::{self, Parameters};
use super::rows::{self, Row};
use super::{authorize, grants};
use crate::arguments::{self, BodyArguments, Found};
use crate::identity::{self, Anonymous, Caller, Denied, Identifier};

const SCOPE: &str = "X-Authenticated-Scope";
const USER: &str = "X-Authenticated-UserId";
const INVALID: &str = "The access token is invalid or has expired";

pub struct OAuth2 {
    pub config: Config,
    /// Of the plugin entity: codes are good for the plugin that gave them.
    pub id: Uuid,
    anonymous: Anonymous,
    header: String,
    challenge: Box<str>,
}

/// The two endpoints.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Authorize,
    Token,
}

/// Where a token was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    Parameter,
}

impl OAuth2 {
    pub fn new(mut config: Config, build: &Build<'_>) -> Self {
        OAuth2 {
            id: build.plugin_id,
            anonymous: Anonymous::new(config.anonymous.take()),
            header: config.auth_header_name.clone().unwrap_or_else(|| "authorization".into()),
            challenge: identity::challenge("Bearer", config.realm.as_deref()),
            config,
        }
    }

    /// The service that tokens are good for; `None` where they are good for all.
    ///
    /// # Errors
    /// When there is no service: such a token would be good everywhere.
    pub fn service_of(&self, x: &Exchange) -> Result<Option<Uuid>, Fault> {
        match x.service() {
            _ if self.config.global_credentials => Ok(None),
            Some(service) => Ok(Some(service.id)),
            None => Err(Fault::plugin("tokens need a service to be good for, or global_credentials")),
        }
    }

    fn endpoint(x: &Exchange) -> Option<Endpoint> {
        let path = x.request.path();
        let path = path.strip_suffix(b"/").unwrap_or(path);
        if path.ends_with(b"/oauth2/token") {
            return Some(Endpoint::Token);
        }
        path.ends_with(b"/oauth2/authorize").then_some(Endpoint::Authorize)
    }

    fn serve<'a>(&'a self, endpoint: Endpoint, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        let name = if endpoint == Endpoint::Token { "token" } else { "authorization" };
        if x.request.method != Method::Post {
            return Step::reply(parameters::wrong_method(x, name, self.config.realm.as_deref()));
        }
        if x.body.is_unread() {
            return Flow::ReadBody.into();
        }
        Step::Later(Box::pin(async move {
            let answer = match endpoint {
                Endpoint::Token => grants::answer(self, x, host).await,
                Endpoint::Authorize => authorize::answer(self, x, host).await,
            };
            answer.map_or_else(Flow::from, Flow::from)
        }))
    }

    /// The token of a request. A header of another shape is taken whole; nothing is known of such tokens.
    fn find(&self, x: &Exchange) -> Option<(String, Place)> {
        if let Some(value) = x.request.headers.get(&self.header) {
            let value = String::from_utf8_lossy(value);
            let words: Vec<&str> = value.split_whitespace().collect();
            return match words.as_slice() {
                [scheme, token] if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") => {
                    Some(((*token).to_owned(), Place::Header))
                }
                _ => Some((value.into_owned(), Place::Parameter)),
            };
        }
        let parameters = Parameters::of(x);
        let token = parameters.get("access_token")?.as_str()?.to_owned();
        Some((token, Place::Parameter))
    }

    /// Whether the body must be read to know the token.
    fn needs_body(&self, x: &Exchange) -> bool {
        let with_arguments = x.media_type().is_some_and(|media| BodyArguments::are_in(&media));
        x.body.is_unread() && Parameters::in_body(x) && with_arguments && !x.request.headers.contains(&self.header)
    }

    fn hide(&self, x: &mut Exchange, place: Place) {
        if place == Place::Header {
            x.request.headers.remove(&self.header);
            return;
        }
        arguments::remove_from_query(x, "access_token");
        let body = BodyArguments::of(x);
        if body.get("access_token") != Found::Nothing {
            body.remove_from(x, "access_token");
        }
    }

    fn missing(&self) -> Denied {
        let body = json!({"error": "invalid_request", "error_description": "The access token is missing"});
        Reply::json(401, body).header("WWW-Authenticate", &*self.challenge).into()
    }

    fn invalid(&self, description: &'static str) -> Reply {
        let body = json!({"error": "invalid_token", "error_description": description});
        let challenge = parameters::bearer("invalid_token", INVALID, self.config.realm.as_deref());
        Reply::json(401, body).header("WWW-Authenticate", challenge)
    }

    /// Lets a resource be used, or not.
    async fn admit(&self, x: &mut Exchange, host: &Host) -> Flow {
        let found = self.find(x);
        if let Some((_, place)) = &found
            && self.config.hide_credentials
        {
            self.hide(x, *place);
        }
        let token = match found.filter(|(token, _)| !token.is_empty()) {
            None => Err(self.missing()),
            Some((token, _)) => self.look_up(x, host, &token).await,
        };
        let (verdict, token) = match token {
            Ok(Checked::Known(caller, token)) => (Ok(caller), Some(token)),
            // The configuration is at fault rather than the caller: it does not become anonymous.
            Ok(Checked::Global) => {
                let why =
                    "The access token is global, but the current plugin is configured without 'global_credentials'";
                return self.invalid(why).into();
            }
            Err(denied) => (Err(denied), None),
        };
        let flow = self.anonymous.conclude(x, host, verdict, Identifier::Key);
        if let (Some(token), Flow::Next) = (token, &flow) {
            for (header, field) in [(SCOPE, "scope"), (USER, "authenticated_userid")] {
                if let Some(value) = token.text(field) {
                    x.request.headers.set(header, value);
                }
            }
        }
        flow
    }

    async fn look_up(&self, x: &Exchange, host: &Host, token: &str) -> Result<Checked, Denied> {
        let invalid = || Denied::from(self.invalid(INVALID));
        let row = rows::by_access_token(&*host.store, x.workspace, token).await?.ok_or_else(invalid)?;
        let service = row.foreign("service");
        if service.is_none() && !self.config.global_credentials {
            return Ok(Checked::Global);
        }
        let is_elsewhere = service.is_some() && service != x.service().map(|s| s.id);
        if is_elsewhere || row.is_expired(host.clock.wall()) {
            return Err(invalid());
        }
        let credential = row.foreign("credential").and_then(|id| host.directory.credential_by_id(CLIENTS, id));
        let caller = Caller::of(credential.ok_or_else(invalid)?, host)?;
        Ok(Checked::Known(caller, row))
    }
}

/// What a token was found to be.
enum Checked {
    Known(Caller, Row),
    /// Good for all services, while this one asks for a token of its own.
    Global,
}

impl Handler for OAuth2 {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        if let Some(endpoint) = Self::endpoint(x) {
            return self.serve(endpoint, x, host);
        }
        x.request.headers.remove(SCOPE);
        x.request.headers.remove(USER);
        if self.anonymous.steps_aside(x) {
            return Step::NEXT;
        }
        if self.needs_body(x) {
            return Flow::ReadBody.into();
        }
        Step::Later(Box::pin(self.admit(x, host)))
    }
}
