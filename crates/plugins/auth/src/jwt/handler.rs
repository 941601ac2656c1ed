//! The access step of `jwt`.

use std::borrow::Cow;

use gibbon_pdk::{Credential, CredentialKind, Exchange, Fault, Handler, Host, Reply, SharedValues, Step};
use serde_json::{Map, Value, json};

use super::algorithm::{self, Algorithm, Family};
use super::config::{Claim, Config};
use super::token::{Token, decode_base64url};
use crate::authorization::after_scheme;
use crate::identity::{self, Anonymous, Caller, Denied, Identifier};
use crate::{arguments, cookies};

const SECRETS: CredentialKind = CredentialKind("jwt_secrets");

/// Where Lua plugins find the token in `kong.ctx.shared`.
const TOKEN_FOR_LUA: &str = "authenticated_jwt_token";

pub struct Jwt {
    uri_param_names: Vec<String>,
    cookie_names: Vec<String>,
    header_names: Vec<String>,
    key_claim: String,
    secret_is_base64: bool,
    claims: Vec<Claim>,
    maximum_expiration: f64,
    run_on_preflight: bool,
    anonymous: Anonymous,
    /// Of a request without token.
    challenge: Box<str>,
    /// Of a request whose token is not accepted.
    invalid_token: Box<str>,
}

impl Jwt {
    pub fn new(config: Config) -> Self {
        let names = |set: &gibbon_schema::Set<String>| set.iter().cloned().collect();
        let realm = config.realm.as_deref();
        Jwt {
            uri_param_names: names(&config.uri_param_names),
            cookie_names: names(&config.cookie_names),
            header_names: names(&config.header_names),
            key_claim: config.key_claim_name.unwrap_or_else(|| "iss".into()),
            secret_is_base64: config.secret_is_base64,
            claims: config.claims_to_verify.iter().copied().collect(),
            maximum_expiration: config.maximum_expiration.unwrap_or(0.0),
            run_on_preflight: config.run_on_preflight,
            anonymous: Anonymous::new(config.anonymous),
            challenge: identity::challenge("Bearer", realm),
            invalid_token: match realm {
                Some(realm) => format!("Bearer realm=\"{realm}\", error=\"invalid_token\"").into(),
                None => "Bearer error=\"invalid_token\"".into(),
            },
        }
    }

    fn authenticate(&self, x: &mut Exchange, host: &Host) -> Result<Caller, Denied> {
        let (text, caller) = self.authenticated(x, host)?;
        if let Some(shared) = x.slots.get_or_default::<SharedValues>() {
            shared.0.push((TOKEN_FOR_LUA, text));
        }
        Ok(caller)
    }

    /// The token that was accepted, and whose it is.
    fn authenticated(&self, x: &Exchange, host: &Host) -> Result<(Box<str>, Caller), Denied> {
        let text = self.find(x)?;
        let token = Token::decode(&text).map_err(|fault| self.refused(&format!("Bad token; {fault}")))?;
        let key = self.key_of(&token)?;
        let found = host.directory.credential(x.workspace, SECRETS, &key);
        let credential =
            found.ok_or_else(|| self.refused(&format!("No credentials found for given '{}'", self.key_claim)))?;
        self.verify(&token, &credential)?;
        self.check_claims(&token.claims, host.clock.wall_ns())?;
        let Some(consumer) = credential.consumer.and_then(|id| host.directory.consumer(id)) else {
            let message = format!("Could not find consumer for '{}={key}'", self.key_claim);
            return Err(Reply::message(401, &message).into());
        };
        Ok((text.into(), Caller { consumer: Some(consumer), credential }))
    }

    /// The one token of the request, wherever it stands; it may stand in several places.
    fn find<'a>(&'a self, x: &'a Exchange) -> Result<Cow<'a, str>, Denied> {
        let mut found: Option<Cow<'a, str>> = None;
        let in_query = self.uri_param_names.iter().flat_map(|name| arguments::all_in_query(x, name)).map(into_text);
        let in_cookies = self.cookie_names.iter().filter_map(|name| cookies::get(x, name)).map(Cow::Borrowed);
        let in_headers = self.header_names.iter().filter_map(|name| x.request.headers.get_str(name));
        let in_headers = in_headers.filter_map(|value| after_scheme(value, "bearer", false)).map(Cow::Borrowed);
        for token in in_query.chain(in_cookies).chain(in_headers).filter(|token| !token.is_empty()) {
            match &found {
                Some(first) if *first != token => return Err(self.refused("Multiple tokens provided")),
                _ => found = Some(token),
            }
        }
        found.ok_or_else(|| Reply::message(401, "Unauthorized").header("WWW-Authenticate", &*self.challenge).into())
    }

    /// What the token says its credential is.
    fn key_of(&self, token: &Token<'_>) -> Result<String, Denied> {
        let name = &self.key_claim;
        let named = |fields: &Map<String, Value>| fields.get(name).filter(|v| !v.is_null()).cloned();
        match named(&token.claims).or_else(|| named(&token.header)) {
            None | Some(Value::Bool(false)) => Err(self.refused(&format!("No mandatory '{name}' in claims"))),
            Some(Value::String(key)) if key.is_empty() => Err(self.refused(&format!("Invalid '{name}' in claims"))),
            Some(Value::String(key)) => Ok(key),
            Some(other) => Ok(other.to_string()),
        }
    }

    fn verify(&self, token: &Token<'_>, credential: &Credential) -> Result<(), Denied> {
        let named = credential.field("algorithm").unwrap_or("HS256");
        let Some(algorithm) = Algorithm::parse(named).filter(|a| a.name == token.algorithm.name) else {
            return Err(self.refused("Invalid algorithm"));
        };
        let no_key = || self.refused("Invalid key/secret");
        let message = token.signed.as_bytes();
        let is_valid = match algorithm.family {
            Family::Secret(algorithm) => {
                let secret = self.secret_of(credential).ok_or_else(no_key)?;
                algorithm::verify_with_secret(algorithm, &secret, message, &token.signature)
            }
            Family::PublicKey(algorithm) => {
                let pem = credential.field("rsa_public_key").ok_or_else(no_key)?;
                let key = algorithm::public_key(algorithm, pem)
                    .map_err(|why| Fault::plugin(format!("rsa_public_key of credential {} {why}", credential.id)))?;
                key.verify_sig(message, &token.signature).is_ok()
            }
        };
        if is_valid { Ok(()) } else { Err(self.refused("Invalid signature")) }
    }

    fn secret_of<'a>(&self, credential: &'a Credential) -> Option<Cow<'a, [u8]>> {
        let secret = credential.field("secret")?;
        if self.secret_is_base64 {
            return decode_base64url(secret).map(Cow::Owned);
        }
        Some(Cow::Borrowed(secret.as_bytes()))
    }

    fn check_claims(&self, claims: &Map<String, Value>, now_ns: u64) -> Result<(), Denied> {
        let now = (now_ns / 1_000_000_000) as f64;
        let mut faults = Map::new();
        for claim in &self.claims {
            let (name, message) = match claim {
                Claim::Exp => ("exp", "token expired"),
                Claim::Nbf => ("nbf", "token not valid yet"),
            };
            let fault = match (claims.get(name).and_then(Value::as_f64), claim) {
                (None, _) => Some("must be a number"),
                (Some(exp), Claim::Exp) => (exp <= now).then_some(message),
                (Some(nbf), Claim::Nbf) => (nbf > now).then_some(message),
            };
            if let Some(fault) = fault {
                faults.insert(name.into(), fault.into());
            }
        }
        if faults.is_empty() && self.maximum_expiration > 0.0 {
            let exp = claims.get("exp").and_then(Value::as_f64);
            if exp.is_none_or(|exp| exp - now > self.maximum_expiration) {
                faults.insert("exp".into(), json!("exceeds maximum allowed expiration"));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(self.rejected(Value::Object(faults))) }
    }

    fn refused(&self, message: &str) -> Denied {
        self.rejected(json!({ "message": message }))
    }

    fn rejected(&self, body: Value) -> Denied {
        Reply::json(401, body).header("WWW-Authenticate", &*self.invalid_token).into()
    }
}

/// A token is ASCII; what is no text at all becomes one that no decoder takes.
fn into_text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

impl Handler for Jwt {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        if identity::skips_preflight(x, self.run_on_preflight) || self.anonymous.steps_aside(x) {
            return Step::NEXT;
        }
        let verdict = self.authenticate(x, host);
        identity::now(self.anonymous.conclude(x, host, verdict, Identifier::Key))
    }
}
