//! The access step of `hmac-auth`.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_message::date;
use gibbon_pdk::{CredentialKind, Exchange, Handler, Host, RequestBody, Step};

use super::config::Config;
use super::signature::Signature;
use crate::authorization::AUTHORIZATION_HEADERS;
use crate::identity::{self, Anonymous, Caller, Denied, Identifier};

const USERS: CredentialKind = CredentialKind("hmacauth_credentials");
const NO_VALID_DATE: &str =
    "HMAC signature cannot be verified, a valid date or x-date header is required for HMAC Authentication";
const NOT_VERIFIABLE: &str = "HMAC signature cannot be verified";
const NOT_THE_SAME: &str = "HMAC signature does not match";

pub struct HmacAuth {
    hide_credentials: bool,
    clock_skew: f64,
    validate_request_body: bool,
    enforce_headers: Vec<String>,
    algorithms: Vec<String>,
    anonymous: Anonymous,
    challenge: Box<str>,
}

impl HmacAuth {
    pub fn new(config: Config) -> Self {
        HmacAuth {
            hide_credentials: config.hide_credentials,
            clock_skew: config.clock_skew.unwrap_or(300.0),
            validate_request_body: config.validate_request_body,
            enforce_headers: config.enforce_headers.unwrap_or_default(),
            algorithms: config.algorithms.unwrap_or_default(),
            anonymous: Anonymous::new(config.anonymous),
            challenge: identity::challenge("hmac", config.realm.as_deref()),
        }
    }

    fn refused(&self, message: &'static str) -> Denied {
        identity::unauthorized(message, &self.challenge)
    }

    /// Who signed, by the header that holds the signature. The body is asked for only when the signature is valid.
    fn authenticate(&self, x: &Exchange, host: &Host) -> Result<Caller, Denied> {
        if AUTHORIZATION_HEADERS.iter().all(|header| !x.request.headers.contains(header)) {
            return Err(self.refused("Unauthorized"));
        }
        if !self.is_recent(x, host.clock.wall()) {
            return Err(self.refused(NO_VALID_DATE));
        }
        let Some((_, signature)) = find(x).filter(|(_, signature)| self.accepts(signature)) else {
            return Err(self.refused(NOT_VERIFIABLE));
        };
        let Some(credential) = host.directory.credential(x.workspace, USERS, signature.username) else {
            return Err(self.refused(NOT_VERIFIABLE));
        };
        if !credential.field("secret").is_some_and(|secret| signature.is_valid(x, secret)) {
            return Err(self.refused(NOT_THE_SAME));
        }
        if self.validate_request_body && !is_digest_right(x)? {
            return Err(self.refused(NOT_THE_SAME));
        }
        Caller::of(credential, host)
    }

    fn is_recent(&self, x: &Exchange, now: i64) -> bool {
        ["x-date", "date"].iter().any(|header| {
            let sent = x.request.headers.get_str(header).and_then(date::parse);
            sent.is_some_and(|sent| now.abs_diff(sent) as f64 <= self.clock_skew)
        })
    }

    fn accepts(&self, signature: &Signature<'_>) -> bool {
        let covers = |wanted: &String| signature.names().any(|name| name == wanted);
        self.enforce_headers.iter().all(covers) && self.algorithms.iter().any(|a| a == signature.algorithm)
    }

    /// Takes out the header that a signature was looked for in last.
    fn hide(&self, x: &mut Exchange) {
        let header = find(x).map_or("authorization", |(header, _)| header);
        x.request.headers.remove(header);
    }
}

/// The first header that holds a signature.
fn find(x: &Exchange) -> Option<(&'static str, Signature<'_>)> {
    AUTHORIZATION_HEADERS.into_iter().find_map(|header| {
        let value = x.request.headers.get_str(header)?;
        Some((header, Signature::parse(value)?))
    })
}

/// Whether the body is the one that the Digest header names; without that header there must be none.
fn is_digest_right(x: &Exchange) -> Result<bool, Denied> {
    let body = match &x.body {
        RequestBody::Unread => return Err(Denied::NeedsBody),
        RequestBody::Empty => &[],
        RequestBody::Whole(bytes) => &bytes[..],
        // Beyond the buffer it cannot be compared, as in Kong.
        RequestBody::Spooled(_) => return Ok(false),
    };
    let Some(given) = x.request.headers.get("digest") else { return Ok(body.is_empty()) };
    let hash = digest::digest(&digest::SHA256, body);
    let expected = format!("SHA-256={}", STANDARD.encode(hash));
    Ok(identity::equal_in_constant_time(expected.as_bytes(), given))
}

impl Handler for HmacAuth {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        if self.anonymous.steps_aside(x) {
            return Step::NEXT;
        }
        let verdict = self.authenticate(x, host);
        // The step runs again when the body is there, and needs the header until then.
        if self.hide_credentials && !matches!(verdict, Err(Denied::NeedsBody)) {
            self.hide(x);
        }
        identity::now(self.anonymous.conclude(x, host, verdict, Identifier::Key))
    }
}
