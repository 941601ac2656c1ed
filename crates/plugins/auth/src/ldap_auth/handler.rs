//! The access step of `ldap-auth`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use gibbon_pdk::{Build, Credential, Exchange, Fault, Flow, Handler, Host, Step};
use smallvec::SmallVec;

use super::config::Config;
use super::message;
use super::session::{Server, Verdict};
use crate::authorization::{AUTHORIZATION_HEADERS, UserPassword, after_scheme};
use crate::identity::{self, Anonymous, Caller, Denied, Identifier};

/// Verdicts remembered per node. Names and passwords are chosen by strangers, so there is a bound.
const MAX_REMEMBERED: usize = 10_000;

pub struct LdapAuth {
    server: Server,
    base_dn: String,
    attribute: String,
    scheme: String,
    hide_credentials: bool,
    cache_ttl: Duration,
    anonymous: Anonymous,
    challenge: Box<str>,
    /// What the key of a verdict begins with: the directory and the place in it.
    place: String,
    remembered: Arc<Remembered>,
}

/// The hash of where, who and with what; never the password itself.
type Key = [u8; 32];

/// The credential of a right password, and until when it is remembered (monotonic nanoseconds).
type Kept = (u64, Option<Arc<Credential>>);

/// Verdicts by key.
#[derive(Default)]
struct Remembered(Mutex<HashMap<Key, Kept>>);

impl Remembered {
    fn get(&self, key: &Key, now: u64) -> Option<Option<Arc<Credential>>> {
        let verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.get(key).filter(|(until, _)| *until > now).map(|(_, verdict)| verdict.clone())
    }

    fn put(&self, key: Key, verdict: Option<Arc<Credential>>, now: u64, ttl: Duration) {
        let mut verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= MAX_REMEMBERED {
            verdicts.retain(|_, (until, _)| *until > now);
        }
        // Still full of what counts: somebody tries passwords. Refusals go first, users stay known.
        if verdicts.len() >= MAX_REMEMBERED {
            verdicts.retain(|_, (_, verdict)| verdict.is_some());
        }
        if verdicts.len() < MAX_REMEMBERED {
            verdicts.insert(key, (now.saturating_add(ttl.as_nanos() as u64), verdict));
        }
    }
}

impl LdapAuth {
    pub fn new(config: Config, build: &Build<'_>) -> Self {
        let server = Server::new(&config);
        let scheme = config.header_type.unwrap_or_else(|| "ldap".into());
        let shown = if scheme == "ldap" { "LDAP" } else { &scheme };
        let seconds = |value: f64| Duration::try_from_secs_f64(value).unwrap_or_default();
        LdapAuth {
            challenge: identity::challenge(shown, config.realm.as_deref()),
            place: format!("{}:{}:{}:{}", config.ldap_host, config.ldap_port, config.base_dn, config.attribute),
            server,
            base_dn: config.base_dn,
            attribute: config.attribute,
            scheme,
            hide_credentials: config.hide_credentials,
            cache_ttl: seconds(config.cache_ttl),
            anonymous: Anonymous::new(config.anonymous),
            remembered: build.shared("ldap-auth: verdicts", Remembered::default),
        }
    }

    fn refused(&self) -> Denied {
        identity::unauthorized("Unauthorized", &self.challenge)
    }

    /// Names and passwords that the request offers, in the order they are tried.
    fn offers(&self, x: &Exchange) -> SmallVec<[UserPassword; 2]> {
        let values = AUTHORIZATION_HEADERS.iter().filter_map(|header| x.request.headers.get_str(header));
        let pairs = values.filter_map(|value| UserPassword::decode(after_scheme(value, &self.scheme, false)?));
        // Directories take a bind without password for an anonymous one, and say yes.
        pairs.filter(|pair| !pair.password.is_empty()).collect()
    }

    fn key(&self, pair: &UserPassword) -> Key {
        let mut hash = digest::Context::new(&digest::SHA256);
        for part in [self.place.as_bytes(), pair.user.as_bytes(), &pair.password] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut key = Key::default();
        key.copy_from_slice(hash.finish().as_ref());
        key
    }

    /// The caller as far as it is remembered: the first pair that is right, or none if all are known to be wrong.
    fn recall(&self, pairs: &[UserPassword], now: u64) -> Option<Option<Arc<Credential>>> {
        for pair in pairs {
            let known = self.remembered.get(&self.key(pair), now)?;
            if known.is_some() {
                return Some(known);
            }
        }
        Some(None)
    }

    async fn ask(&self, host: &Host, pair: &UserPassword) -> Result<Option<Arc<Credential>>, Fault> {
        let (key, now) = (self.key(pair), host.clock.monotonic_ns());
        if let Some(known) = self.remembered.get(&key, now) {
            return Ok(known);
        }
        let dn = message::name_of(&self.attribute, &pair.user, &self.base_dn);
        let verdict = match self.server.check(host, &dn, &pair.password).await {
            Ok(Verdict::Right) => Some(Arc::new(Credential {
                id: host.random.uuid(),
                consumer: None,
                key: pair.user.as_str().into(),
                fields: SmallVec::new(),
                document: None,
                expires_at: None,
            })),
            Ok(Verdict::Wrong) => None,
            Ok(Verdict::Unknown(code)) => {
                tracing::warn!("ldap-auth: {}: it cannot answer now (code {code})", self.place);
                return Ok(None);
            }
            Err(e) => {
                return Err(Fault::plugin(format!("the directory {}:{}: {e}", self.server.host, self.server.port)));
            }
        };
        self.remembered.put(key, verdict.clone(), now, self.cache_ttl);
        Ok(verdict)
    }

    fn conclude(&self, x: &mut Exchange, host: &Host, known: Option<Arc<Credential>>) -> Flow {
        if self.hide_credentials {
            for header in AUTHORIZATION_HEADERS {
                x.request.headers.remove(header);
            }
        }
        let caller = known.map(|credential| Caller { consumer: None, credential });
        self.anonymous.conclude(x, host, caller.ok_or_else(|| self.refused()), Identifier::Key)
    }
}

impl Handler for LdapAuth {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        if self.anonymous.steps_aside(x) {
            return Step::NEXT;
        }
        let pairs = self.offers(x);
        if let Some(known) = self.recall(&pairs, host.clock.monotonic_ns()) {
            return identity::now(self.conclude(x, host, known));
        }
        Step::Later(Box::pin(async move {
            let mut known = None;
            for pair in &pairs {
                known = match self.ask(host, pair).await {
                    Ok(known) => known,
                    Err(fault) => return fault.into(),
                };
                if known.is_some() {
                    break;
                }
            }
            self.conclude(x, host, known)
        }))
    }
}
