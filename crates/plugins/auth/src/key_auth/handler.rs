//! The access step of `key-auth`.

use std::borrow::Cow;

use gibbon_pdk::{CredentialKind, Exchange, Handler, Host, Step};

use super::config::Config;
use crate::arguments::{self, BodyArguments, Found};
use crate::identity::{self, Anonymous, Caller, Denied, Identifier};

const KEYS: CredentialKind = CredentialKind("keyauth_credentials");

pub struct KeyAuth {
    config: Config,
    anonymous: Anonymous,
    challenge: Box<str>,
}

/// A key, and the name under which it was sent.
struct Sent<'x, 's> {
    key: Cow<'x, str>,
    name: &'s str,
}

impl KeyAuth {
    pub fn new(mut config: Config) -> Self {
        KeyAuth {
            anonymous: Anonymous::new(config.anonymous.take()),
            challenge: identity::challenge("Key", config.realm.as_deref()),
            config,
        }
    }

    fn authenticate(&self, x: &mut Exchange, host: &Host) -> Result<Caller, Denied> {
        let body = if self.config.key_in_body {
            if x.body.is_unread() {
                return Err(Denied::NeedsBody);
            }
            BodyArguments::of(x)
        } else {
            BodyArguments::None
        };
        let sent = self.find(x, &body)?;
        let found = match &sent {
            Some(sent) if !sent.key.is_empty() => Ok(host.directory.credential(x.workspace, KEYS, &sent.key)),
            _ => Err(identity::unauthorized("No API key found in request", &self.challenge)),
        };
        if let Some(name) = sent.map(|sent| sent.name)
            && self.config.hide_credentials
        {
            self.hide(x, body, name);
        }
        let credential = found?.ok_or_else(|| identity::unauthorized("Unauthorized", &self.challenge))?;
        Caller::of(credential, host)
    }

    /// The first name that has a value decides, even if another one holds a valid key.
    fn find<'x, 's: 'x>(&'s self, x: &'x Exchange, body: &'x BodyArguments) -> Result<Option<Sent<'x, 's>>, Denied> {
        for name in &self.config.key_names {
            match self.look_up(x, body, name) {
                Found::Nothing | Found::NoText => {}
                Found::Many => return Err(identity::unauthorized("Duplicate API key found", &self.challenge)),
                // A key that is no text cannot be in the directory; it is refused as an unknown one is.
                found => {
                    let key = found.into_text().unwrap_or(Cow::Borrowed("\u{0}"));
                    return Ok(Some(Sent { key, name }));
                }
            }
        }
        Ok(None)
    }

    fn look_up<'a>(&self, x: &'a Exchange, body: &'a BodyArguments, name: &'a str) -> Found<'a> {
        let mut found = Found::Nothing;
        if self.config.key_in_header {
            found = arguments::in_headers(x, name);
        }
        if found == Found::Nothing && self.config.key_in_query {
            found = arguments::in_query(x, name);
        }
        if found == Found::Nothing {
            found = body.get(name);
        }
        found
    }

    fn hide(&self, x: &mut Exchange, body: BodyArguments, name: &str) {
        if self.config.key_in_header {
            x.request.headers.remove(name);
        }
        if self.config.key_in_query {
            arguments::remove_from_query(x, name);
        }
        body.remove_from(x, name);
    }
}

impl Handler for KeyAuth {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        if identity::skips_preflight(x, self.config.run_on_preflight) || self.anonymous.steps_aside(x) {
            return Step::NEXT;
        }
        let verdict = self.authenticate(x, host);
        identity::now(self.anonymous.conclude(x, host, verdict, Identifier::Id))
    }
}
