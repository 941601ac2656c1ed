//! The access step of `basic-auth`.

use std::sync::Arc;

use aws_lc_rs::digest;
use gibbon_limit::Decision;
use gibbon_pdk::{Build, BuildError, Credential, CredentialKind, Exchange, Flow, Handler, Host, Reply, Step};
use uuid::Uuid;

use super::attempts::{Attempt, Attempts};
use super::config::Config;
use crate::authorization::{AUTHORIZATION_HEADERS, UserPassword};
use crate::identity::{self, Anonymous, Caller, Denied, Identifier};

const USERS: CredentialKind = CredentialKind("basicauth_credentials");

pub struct BasicAuth {
    hide_credentials: bool,
    anonymous: Anonymous,
    challenge: Box<str>,
    attempts: Option<Attempts>,
}

impl BasicAuth {
    /// # Errors
    /// Where failed logins cannot be counted as configured.
    pub fn new(config: Config, build: &Build<'_>) -> Result<Self, BuildError> {
        Ok(BasicAuth {
            hide_credentials: config.hide_credentials,
            attempts: config.brute_force_protection.map_or(Ok(None), |p| Attempts::new(&p, build))?,
            anonymous: Anonymous::new(config.anonymous),
            challenge: identity::challenge("Basic", Some(&config.realm)),
        })
    }

    /// Who is calling, and the login that says so if there was one and it counts.
    fn authenticate(&self, x: &mut Exchange, host: &Host) -> (Result<Caller, Denied>, Option<Attempt>) {
        let refused = || Err(identity::unauthorized("Unauthorized", &self.challenge));
        let Some((sent, credential)) = self.find(x, host) else { return (refused(), None) };
        let proven = credential.filter(|credential| is_password(credential, &sent.password));
        let attempt = self.attempts.is_some().then(|| Attempt::new(x, &sent.user, proven.is_some()));
        (proven.map_or_else(refused, |credential| Caller::of(credential, host)), attempt)
    }

    /// The first header that names a known user decides; else what the last one says.
    fn find(&self, x: &mut Exchange, host: &Host) -> Option<(UserPassword, Option<Arc<Credential>>)> {
        let mut found = None;
        for header in AUTHORIZATION_HEADERS {
            let sent = UserPassword::basic(x, header);
            if self.hide_credentials {
                x.request.headers.remove(header);
            }
            let Some(sent) = sent else { continue };
            if let Some(credential) = host.directory.credential(x.workspace, USERS, &sent.user) {
                return Some((sent, Some(credential)));
            }
            found = Some((sent, None));
        }
        found
    }

    fn conclude(
        &self,
        x: &mut Exchange,
        host: &Host,
        verdict: Result<Caller, Denied>,
        attempts: Option<Decision>,
    ) -> Flow {
        let verdict = match attempts {
            Some(attempts) if !attempts.is_allowed() => Err(locked_out(&attempts)),
            _ => verdict,
        };
        self.anonymous.conclude(x, host, verdict, Identifier::Key)
    }
}

/// Says the same whether the password was right or wrong.
fn locked_out(attempts: &Decision) -> Denied {
    let seconds = attempts.summary().map_or(1, |summary| summary.reset_seconds);
    Reply::error_with(429, "Too many failed logins").header("Retry-After", seconds.to_string()).into()
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
        let (verdict, attempt) = self.authenticate(x, host);
        let (Some(attempts), Some(attempt)) = (&self.attempts, attempt) else {
            return identity::now(self.conclude(x, host, verdict, None));
        };
        let now_ms = host.clock.wall_ns() / 1_000_000;
        if !attempts.is_shared() {
            let decision = attempts.settle_here(&attempt, now_ms);
            return identity::now(self.conclude(x, host, verdict, Some(decision)));
        }
        Step::Later(Box::pin(async move {
            let decision = attempts.settle(&attempt, now_ms).await;
            self.conclude(x, host, verdict, Some(decision))
        }))
    }
}
