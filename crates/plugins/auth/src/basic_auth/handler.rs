//! The access step of `basic-auth`.

use std::sync::Arc;

use aws_lc_rs::digest;
use gibbon_pdk::{Credential, CredentialKind, Exchange, Handler, Host, Step};
use uuid::Uuid;

use super::config::Config;
use crate::authorization::{AUTHORIZATION_HEADERS, UserPassword};
use crate::identity::{self, Anonymous, Caller, Denied, Identifier};

const USERS: CredentialKind = CredentialKind("basicauth_credentials");

pub struct BasicAuth {
    hide_credentials: bool,
    anonymous: Anonymous,
    challenge: Box<str>,
}

impl BasicAuth {
    pub fn new(config: Config) -> Self {
        BasicAuth {
            hide_credentials: config.hide_credentials,
            anonymous: Anonymous::new(config.anonymous),
            challenge: identity::challenge("Basic", Some(&config.realm)),
        }
    }

    fn authenticate(&self, x: &mut Exchange, host: &Host) -> Result<Caller, Denied> {
        let refused = || identity::unauthorized("Unauthorized", &self.challenge);
        let (sent, credential) = self.find(x, host).ok_or_else(refused)?;
        if !is_password(&credential, &sent.password) {
            return Err(refused());
        }
        Caller::of(credential, host)
    }

    /// The first header that names a known user decides.
    fn find(&self, x: &mut Exchange, host: &Host) -> Option<(UserPassword, Arc<Credential>)> {
        for header in AUTHORIZATION_HEADERS {
            let sent = UserPassword::basic(x, header);
            if self.hide_credentials {
                x.request.headers.remove(header);
            }
            if let Some(sent) = sent
                && let Some(credential) = host.directory.credential(x.workspace, USERS, &sent.user)
            {
                return Some((sent, credential));
            }
        }
        None
    }
}

/// Passwords are stored as the hexadecimal SHA-1 of the password followed by the consumer's id. That hash is Kong's;
/// nothing rests on SHA-1 resisting collisions.
fn is_password(credential: &Credential, given: &[u8]) -> bool {
    let (Some(stored), Some(consumer)) = (credential.field("password"), credential.consumer) else { return false };
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(given);
    hash.update(consumer.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
    identity::equal_in_constant_time(&hex(hash.finish().as_ref()), stored.as_bytes())
}

/// The 40 digits of a SHA-1 hash.
fn hex(hash: &[u8]) -> [u8; 40] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [b'0'; 40];
    for (pair, byte) in out.chunks_exact_mut(2).zip(hash) {
        let digit = |n: u8| DIGITS.get(n as usize).copied().unwrap_or(b'0');
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    out
}

impl Handler for BasicAuth {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        if self.anonymous.steps_aside(x) {
            return Step::NEXT;
        }
        let verdict = self.authenticate(x, host);
        identity::now(self.anonymous.conclude(x, host, verdict, Identifier::Key))
    }
}
