//! The phases of `session`.
//!
//! `access` opens the session that the cookie names and takes its caller over. Cookies to be set are collected on the
//! way and leave in `header_filter`, which also makes a session for a caller that a later plugin recognised.

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gibbon_message::Method;
use gibbon_pdk::{Build, Credential, Exchange, Flow, Handler, Host, Reply, Step};
use smallvec::SmallVec;

use super::config::{Bind, Config, LogoutMethod, Property, Storage};
use super::jar::{self, Cookies};
use super::keeping::{self, Keeping, Save, Write};
use super::record::{Identity, Renewal, Session, Timeouts, bound, seconds};
use super::seal::{DEFLATED, Effort, FORGET, Keys, New, STORED, Verified};
use crate::arguments::{self, BodyArguments, Found};
use crate::cookies;
use crate::identity::{self, AUTHENTICATED_GROUPS, Caller, Identifier};

pub struct SessionPlugin {
    keys: Arc<Keys>,
    keeping: Option<Keeping>,
    audience: String,
    name: String,
    remember_name: String,
    attributes: String,
    timeouts: Timeouts,
    remember_timeouts: Timeouts,
    remember: bool,
    stale_ttl: u64,
    response_headers: Vec<Property>,
    request_headers: Vec<Property>,
    read_body_for_logout: bool,
    logout_methods: Vec<LogoutMethod>,
    logout_query_arg: Option<String>,
    logout_post_arg: Option<String>,
    hash_subject: bool,
    store_metadata: bool,
    bind: Vec<Bind>,
}

/// Which of the two cookies is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Session,
    Remember,
}

/// What an exchange knows of its session.
#[derive(Default)]
struct Ongoing {
    session: Option<Session>,
    cookies: Cookies,
    writes: Vec<Write>,
}

impl Ongoing {
    /// A cookie set twice leaves once, as it was set last.
    fn set_cookies(&mut self, cookies: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in cookies {
            self.cookies.retain(|(other, _)| *other != name);
            self.cookies.push((name, value));
        }
    }
}

impl SessionPlugin {
    pub fn new(config: Config, build: &Build<'_>) -> Self {
        let secret = config.secret.clone().unwrap_or_else(|| build.random.uuid().to_string());
        let stored = config.storage == Some(Storage::Kong);
        SessionPlugin {
            keys: Arc::new(Keys::new(&secret)),
            keeping: stored.then(|| Keeping::new(build)),
            attributes: jar::attributes(&config),
            timeouts: Timeouts::of_session(&config),
            remember_timeouts: Timeouts::of_remember(&config),
            remember: config.remember.unwrap_or(false),
            stale_ttl: seconds(config.stale_ttl, 10),
            response_headers: config.response_headers.iter().copied().collect(),
            request_headers: config.request_headers.iter().copied().collect(),
            read_body_for_logout: config.read_body_for_logout.unwrap_or(false),
            logout_methods: config.logout_methods.iter().copied().collect(),
            hash_subject: config.hash_subject.unwrap_or(false),
            store_metadata: config.store_metadata.unwrap_or(false),
            bind: config.bind.iter().copied().collect(),
            audience: config.audience.unwrap_or_else(|| "default".into()),
            name: config.cookie_name.unwrap_or_else(|| "session".into()),
            remember_name: config.remember_cookie_name.unwrap_or_else(|| "remember".into()),
            logout_query_arg: config.logout_query_arg,
            logout_post_arg: config.logout_post_arg,
        }
    }

    fn cookie_name(&self, which: Which) -> &str {
        match which {
            Which::Session => &self.name,
            Which::Remember => &self.remember_name,
        }
    }

    /// The envelope in a cookie, if it is ours, for our kind of storage, and not past its time.
    fn verify(&self, x: &Exchange, which: Which, now: u64) -> Option<(Verified, String)> {
        let cookie = cookies::get(x, self.cookie_name(which))?;
        let verified = self.keys.verify(cookie)?;
        let timeouts = match which {
            Which::Session => &self.timeouts,
            Which::Remember => &self.remember_timeouts,
        };
        let stored = verified.header.flags & STORED != 0;
        (stored == self.keeping.is_some() && timeouts.allow(&verified.header, now))
            .then(|| (verified, cookie.to_owned()))
    }

    /// Whether there may be a session to be ended.
    fn has_session(&self, x: &Exchange, now: u64) -> bool {
        let remembered = self.remember && self.verify(x, Which::Remember, now).is_some();
        remembered || self.verify(x, Which::Session, now).is_some()
    }

    fn read(&self, verified: Verified, cookie: String, contents: &[u8]) -> Option<Session> {
        let deflated = verified.header.flags & DEFLATED != 0;
        Session::read(verified, cookie, contents, deflated, &self.audience)
    }

    /// Opens a session whose contents are in its cookies.
    fn open_cookie(&self, x: &Exchange, now: u64) -> Option<Session> {
        let (verified, cookie) = self.verify(x, Which::Session, now)?;
        let sealed = jar::gather(x, &self.name, &cookie, verified.header.size)?;
        let contents = self.keys.open(&verified, &sealed, &bound(x, &self.bind), Effort::Session)?;
        self.read(verified, cookie, &contents)
    }

    /// Opens a session by either cookie, waiting for the store and for a slow key where needed.
    async fn open_waiting(&self, x: &Exchange, host: &Host, which: Which, now: u64) -> Option<Session> {
        let (verified, cookie) = self.verify(x, which, now)?;
        let sealed = match &self.keeping {
            None => jar::gather(x, self.cookie_name(which), &cookie, verified.header.size)?,
            Some(keeping) => {
                let loaded = keeping.load(&*host.store, &keeping::key(&verified.header.id)).await;
                loaded.unwrap_or_else(|e| {
                    tracing::warn!("session: cannot be loaded: {e}");
                    None
                })?
            }
        };
        let bound = bound(x, &self.bind);
        let contents = match which {
            Which::Session => self.keys.open(&verified, &sealed, &bound, Effort::Session)?,
            Which::Remember => {
                let (keys, envelope) = (Arc::clone(&self.keys), verified.clone());
                let work = move || keys.open(&envelope, &sealed, &bound, Effort::Remember);
                let done = host.compute.run(Box::new(move || Box::new(work()))).await?;
                (*done.downcast::<Option<Vec<u8>>>().ok()?)?
            }
        };
        self.read(verified, cookie, &contents)
    }

    /// Replaces the envelope of a session by a new one, and collects what follows from it.
    fn save(&self, x: &Exchange, host: &Host, ongoing: &mut Ongoing, which: Which) -> Option<()> {
        let now = now(host);
        let session = ongoing.session.as_mut()?;
        let old = match which {
            Which::Session => session.envelope.as_ref().map(|e| e.header.clone()),
            Which::Remember => self.verify(x, which, now).map(|(verified, _)| verified.header),
        };
        let created = old.as_ref().map_or(now, |old| old.created);
        let (contents, deflated) = session.write();
        let mut flags = old.as_ref().map_or(0, |old| old.flags & FORGET);
        flags |= if deflated { DEFLATED } else { 0 } | if self.keeping.is_some() { STORED } else { 0 };
        let effort = if which == Which::Session { Effort::Session } else { Effort::Remember };
        let bound = bound(x, &self.bind);
        let new = New { flags, created, rolling_offset: now.saturating_sub(created) };
        let sealed = self.keys.seal(&new, &contents, &bound, effort, &*host.random)?;
        let name = self.cookie_name(which);
        let rolling = if which == Which::Session { self.timeouts.rolling } else { self.remember_timeouts.rolling };
        let lasting = (which == Which::Remember).then(|| jar::lasting(&self.attributes, created, rolling));
        let attributes = lasting.as_deref().unwrap_or(&self.attributes);
        let stored = self.keeping.is_some();
        let set = jar::split(name, &sealed.header_text, if stored { "" } else { &sealed.contents }, attributes)?;
        let mut expired = Vec::new();
        if let (Some(old), false) = (&old, stored) {
            let before = jar::count(name, old.size).unwrap_or(1);
            expired.extend(jar::expire(name, set.len() + 1, before, &self.attributes));
        }
        if stored {
            let ttl = if rolling == 0 { jar::MAX_AGE } else { rolling.min(jar::MAX_AGE) };
            ongoing.writes.push(Write::Save(Box::new(Save {
                key: keeping::key(&sealed.header.id),
                contents: sealed.contents.clone(),
                ttl,
                now,
                old_key: old.map(|old| keeping::key(&old.id)),
                old_ttl: (which == Which::Session).then_some(self.stale_ttl),
                metadata: self.metadata(session),
            })));
        }
        if which == Which::Session {
            session.envelope = Some(sealed.verified().clone());
            session.first_cookie = format!("{}{}", sealed.header_text, if stored { "" } else { &sealed.contents });
        }
        ongoing.set_cookies(set.into_iter().chain(expired));
        Some(())
    }

    fn metadata(&self, session: &Session) -> Vec<(String, String)> {
        if !self.store_metadata {
            return Vec::new();
        }
        let subject = |subject: &str| match self.hash_subject {
            false => URL_SAFE_NO_PAD.encode(subject),
            true => {
                let hash = digest::digest(&digest::SHA256, subject.as_bytes());
                URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
            }
        };
        session.audiences().map(|(audience, who)| (URL_SAFE_NO_PAD.encode(audience), subject(who))).collect()
    }

    fn remembers(&self, session: &Session) -> bool {
        self.remember && session.envelope.as_ref().is_none_or(|e| e.header.flags & FORGET == 0)
    }

    /// Takes our audience out of the session; the last one takes the session with it.
    fn log_out(&self, x: &Exchange, host: &Host, ongoing: &mut Ongoing) {
        let Some(session) = &mut ongoing.session else { return };
        let remembers = self.remembers(session);
        if session.leave() {
            self.save_all(x, host, ongoing);
        } else {
            self.destroy(x, host, ongoing, Which::Session);
            if remembers {
                self.destroy(x, host, ongoing, Which::Remember);
            }
        }
        ongoing.session = None;
    }

    fn save_all(&self, x: &Exchange, host: &Host, ongoing: &mut Ongoing) {
        let remembers = ongoing.session.as_ref().is_some_and(|session| self.remembers(session));
        let saved = self.save(x, host, ongoing, Which::Session);
        if saved.is_none() || (remembers && self.save(x, host, ongoing, Which::Remember).is_none()) {
            tracing::error!("session: cannot be saved: its contents are too large for cookies");
        }
    }

    fn destroy(&self, x: &Exchange, host: &Host, ongoing: &mut Ongoing, which: Which) {
        let Some((verified, _)) = self.verify(x, which, now(host)) else { return };
        let name = self.cookie_name(which);
        let mut cookies = 1;
        if self.keeping.is_some() {
            ongoing.writes.push(Write::Delete { key: keeping::key(&verified.header.id) });
        } else {
            cookies = jar::count(name, verified.header.size).unwrap_or(1);
        }
        ongoing.set_cookies(jar::expire(name, 1, cookies, &self.attributes));
    }

    /// Whether this request asks for the end of its session; `None` as long as its body must be read to know.
    fn asks_for_logout(&self, x: &Exchange) -> Option<bool> {
        let method = match x.request.method {
            Method::Get => LogoutMethod::Get,
            Method::Post => LogoutMethod::Post,
            Method::Delete => LogoutMethod::Delete,
            _ => return Some(false),
        };
        if !self.logout_methods.contains(&method) {
            return Some(false);
        }
        if let Some(name) = &self.logout_query_arg
            && arguments::in_query(x, name) != Found::Nothing
        {
            return Some(true);
        }
        let Some(name) = self.logout_post_arg.as_ref().filter(|_| self.read_body_for_logout) else {
            return Some(false);
        };
        if method == LogoutMethod::Get {
            return Some(false);
        }
        if x.body.is_unread() {
            return None;
        }
        Some(BodyArguments::of(x).get(name) != Found::Nothing)
    }

    /// What follows in `access` from a session that is open.
    fn go_on(&self, x: &mut Exchange, host: &Host, ongoing: &mut Ongoing) -> Flow {
        if self.asks_for_logout(x) == Some(true) {
            self.log_out(x, host, ongoing);
            return Reply::new(200).into();
        }
        let identity = ongoing.session.as_ref().and_then(Session::identity);
        let consumer = identity.as_ref().and_then(|i| host.directory.consumer(i.consumer));
        let (Some(identity), Some(consumer)) = (identity, consumer) else {
            self.log_out(x, host, ongoing);
            return Flow::Next;
        };
        self.refresh(x, host, ongoing);
        if let Some(session) = &ongoing.session {
            for property in &self.request_headers {
                if let Some(value) = session.property(*property, &self.timeouts, now(host)) {
                    x.request.headers.set(property.header(), value);
                }
            }
        }
        let id = identity.credential.unwrap_or(identity.consumer);
        let credential = Credential {
            id,
            consumer: Some(identity.consumer),
            key: id.to_string().into(),
            fields: SmallVec::new(),
            document: None,
            expires_at: None,
        };
        let caller = Caller { consumer: Some(consumer), credential: Arc::new(credential) };
        identity::accept(x, host, caller, Identifier::Id);
        match identity.groups {
            Some(groups) => {
                x.request.headers.set(AUTHENTICATED_GROUPS, groups.join(", "));
                x.authenticated_groups = Some(groups);
            }
            None => drop(x.request.headers.remove(AUTHENTICATED_GROUPS)),
        }
        Flow::Next
    }

    fn refresh(&self, x: &Exchange, host: &Host, ongoing: &mut Ongoing) {
        let Some(session) = &mut ongoing.session else { return };
        match session.renewal(&self.timeouts, now(host)) {
            Renewal::NotYet => {}
            Renewal::Roll => drop(self.save(x, host, ongoing, Which::Session)),
            Renewal::Touch(idling_offset) => {
                let touched = session.envelope.as_mut().and_then(|e| self.keys.touch(e, idling_offset));
                if let Some(header) = touched {
                    let cookies = jar::first(&self.name, &header, &session.first_cookie, &self.attributes);
                    ongoing.set_cookies(cookies);
                }
            }
        }
    }

    /// `access` where something must be waited for: rows of the store, the key of the second cookie.
    async fn access_waiting(&self, x: &mut Exchange, host: &Host) -> Flow {
        let now = now(host);
        let mut ongoing =
            Ongoing { session: self.open_waiting(x, host, Which::Session, now).await, ..Ongoing::default() };
        if ongoing.session.is_none() && self.remember {
            ongoing.session = self.open_waiting(x, host, Which::Remember, now).await;
            if let Some(session) = &mut ongoing.session {
                // Both cookies are renewed: a new session begins, and the second cookie is good for one opening.
                session.envelope = None;
                self.save_all(x, host, &mut ongoing);
            }
        }
        let flow = self.open_or_pass(x, host, &mut ongoing);
        for write in std::mem::take(&mut ongoing.writes) {
            if let Err(e) = keeping::apply(&*host.store, &*host.random, &write).await {
                tracing::warn!("session: cannot be saved: {e}");
            }
        }
        x.slots.set(ongoing);
        flow
    }

    fn open_or_pass(&self, x: &mut Exchange, host: &Host, ongoing: &mut Ongoing) -> Flow {
        match &ongoing.session {
            Some(session) if session.is_ours() => self.go_on(x, host, ongoing),
            _ => Flow::Next,
        }
    }

    /// Makes a session for the caller, unless the session at hand is the caller's already.
    fn begin(&self, x: &Exchange, host: &Host, ongoing: &mut Ongoing) {
        let (Some(credential), Some(consumer)) = (&x.credential, &x.consumer) else { return };
        let known = ongoing.session.as_ref().and_then(Session::identity);
        if known.is_some_and(|i| i.consumer == consumer.id && i.credential == Some(credential.id)) {
            return;
        }
        let identity =
            Identity { consumer: consumer.id, credential: Some(credential.id), groups: x.authenticated_groups.clone() };
        let id = consumer.id.to_string();
        let subject = consumer.username.as_deref().or(consumer.custom_id.as_deref()).unwrap_or(&id);
        ongoing.session.get_or_insert_with(Session::new).set(&identity, &self.audience, subject);
        self.save_all(x, host, ongoing);
    }
}

fn now(host: &Host) -> u64 {
    host.clock.wall().max(0) as u64
}

impl Handler for SessionPlugin {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        for property in &self.request_headers {
            x.request.headers.remove(property.header());
        }
        if !x.request.headers.contains("cookie") {
            return Step::NEXT;
        }
        if self.asks_for_logout(x).is_none() && self.has_session(x, now(host)) {
            return Flow::ReadBody.into();
        }
        if self.keeping.is_some() || (self.remember && cookies::get(x, &self.remember_name).is_some()) {
            return Step::Later(Box::pin(self.access_waiting(x, host)));
        }
        let mut ongoing = Ongoing { session: self.open_cookie(x, now(host)), ..Ongoing::default() };
        let flow = self.open_or_pass(x, host, &mut ongoing);
        x.slots.set(ongoing);
        identity::now(flow)
    }

    fn header_filter(&self, x: &mut Exchange, host: &Host) {
        let mut ongoing = x.slots.take::<Ongoing>().unwrap_or_default();
        self.begin(x, host, &mut ongoing);
        if let Some(session) = ongoing.session.as_ref().filter(|s| s.is_ours()) {
            for property in &self.response_headers {
                if let Some(value) = session.property(*property, &self.timeouts, now(host)) {
                    x.response.headers.set(property.header(), value);
                }
            }
        }
        if let Some(keeping) = &self.keeping {
            keeping.hand_over(&ongoing.writes);
        }
        for (name, value) in &ongoing.cookies {
            let is_same = |header: &[u8], cookie: &[u8]| {
                let rest = cookie.strip_prefix(name.as_bytes());
                header.eq_ignore_ascii_case(b"set-cookie") && rest.is_some_and(|rest| rest.starts_with(b"="))
            };
            x.response.headers.retain(|header, cookie| !is_same(header, cookie));
            x.response.headers.append("Set-Cookie", format!("{name}={value}"));
        }
    }
}
