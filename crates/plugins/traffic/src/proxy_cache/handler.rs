//! Before: is there an answer that the client takes? After: may this one be kept?

use std::sync::Arc;

use bytes::BytesMut;
use gibbon_message::Headers;
use gibbon_pdk::{BodyChunk, Exchange, Handler, Host, Reply, ReplyBody, ResponseSource, Step};
use uuid::Uuid;

use super::caches::Caches;
use super::config::{Config, Strategy};
use super::directives::{Directives, freshness};
use super::key::{self, Key, Variance};
use super::media::MediaType;
use super::memory::{CachedAnswer, LARGEST, Memory};

const STATUS: &str = "X-Cache-Status";

pub struct ProxyCache {
    statuses: Vec<u16>,
    methods: Vec<String>,
    media_types: Vec<MediaType>,
    ttl: i64,
    storage_ttl: Option<i64>,
    obeys: bool,
    variance: Variance,
    shown: Shown,
    memory: Arc<Memory>,
    /// Says which memory is used for as long as it is.
    _used: Arc<str>,
}

/// Which headers clients get.
#[derive(Clone, Copy)]
struct Shown {
    age: bool,
    status: bool,
    key: bool,
}

/// An answer that may be kept, while it passes by.
struct Candidate {
    key: Key,
    /// Known from the header filter on.
    head: Option<(u16, Headers, i64)>,
    body: BytesMut,
}

impl ProxyCache {
    pub fn new(config: Config, plugin: Uuid, caches: &Caches) -> Self {
        let Strategy::Memory = config.strategy;
        let headers = &config.response_headers;
        ProxyCache {
            statuses: config.response_code,
            methods: config.request_method,
            media_types: config.content_type.iter().filter_map(|text| MediaType::parse(text)).collect(),
            ttl: config.cache_ttl,
            storage_ttl: config.storage_ttl,
            obeys: config.cache_control,
            variance: Variance {
                ignore_uri_case: config.ignore_uri_case,
                query: config.vary_query_params.unwrap_or_default(),
                headers: config.vary_headers.unwrap_or_default(),
            },
            shown: Shown { age: headers.age, status: headers.status, key: headers.key },
            memory: caches.memory(&config.memory.dictionary_name),
            _used: caches.used_by(plugin, &config.memory.dictionary_name),
        }
    }

    fn shown(&self, x: &Exchange) -> Shown {
        if x.request.headers.contains("kong-debug") {
            return Shown { age: true, status: true, key: true };
        }
        self.shown
    }

    fn may_be_asked(&self, x: &Exchange, directives: &Directives) -> bool {
        let refuses = self.obeys && (directives.has("no-store") || directives.has("no-cache"));
        !refuses && self.methods.iter().any(|method| method == x.request.method.as_str())
    }

    /// Whether the client takes an answer of that age.
    fn is_taken(&self, answer: &CachedAnswer, directives: &Directives, now: i64) -> bool {
        let age = now - answer.timestamp;
        if !self.obeys {
            return age <= self.ttl;
        }
        let too_old = directives.number("max-age").is_some_and(|most| age > most);
        let too_stale = directives.number("max-stale").is_some_and(|most| age - answer.ttl > most);
        let not_fresh_enough = directives.number("min-fresh").is_some_and(|least| answer.ttl - age < least);
        !too_old && !too_stale && !not_fresh_enough
    }

    /// Passes the request on, and watches what comes back.
    fn watch(&self, x: &mut Exchange, key: Key, status: &'static str) -> Step<'static> {
        if self.shown(x).status {
            x.added_headers.set(STATUS, status);
        }
        x.slots.set(Candidate { key, head: None, body: BytesMut::new() });
        Step::NEXT
    }

    fn replay(&self, x: &Exchange, answer: &CachedAnswer, now: i64) -> Reply {
        let shown = self.shown(x);
        let mut reply = Reply::new(answer.status);
        reply.headers = answer.headers.clone();
        reply.headers.retain(|name, _| is_replayed(name));
        if shown.age {
            reply.headers.append("age", (now - answer.timestamp).to_string());
        }
        reply.body = ReplyBody::Bytes(answer.body.clone());
        reply.proxied = true;
        reply
    }

    /// How long this answer stays fresh, if it may be kept.
    fn keeps(&self, x: &Exchange, now: i64) -> Option<i64> {
        if !self.statuses.contains(&x.response.status) || !self.takes_media_type(&x.response.headers) {
            return None;
        }
        if !self.obeys {
            return Some(self.ttl);
        }
        let directives = Directives::of(&x.response.headers);
        if ["private", "no-store", "no-cache"].iter().any(|name| directives.has(name)) {
            return None;
        }
        Some(freshness(&directives, &x.response.headers, now)).filter(|seconds| *seconds > 0)
    }

    fn takes_media_type(&self, headers: &Headers) -> bool {
        let mut given = headers.get_all("content-type");
        let (Some(value), None) = (given.next(), given.next()) else { return false };
        let Some(given) = std::str::from_utf8(value).ok().and_then(MediaType::parse) else { return false };
        self.media_types.iter().any(|kept| kept.covers(&given))
    }

    fn keep(&self, candidate: Candidate, now: i64) {
        let Some((status, headers, ttl)) = candidate.head else { return };
        let answer = CachedAnswer { status, headers, body: candidate.body.freeze(), timestamp: now, ttl };
        self.memory.put(candidate.key, answer, self.storage_ttl.unwrap_or(ttl), now);
    }
}

impl Handler for ProxyCache {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        let directives = if self.obeys { Directives::of(&x.request.headers) } else { Directives::default() };
        if !self.may_be_asked(x, &directives) {
            if self.shown(x).status {
                x.added_headers.set(STATUS, "Bypass");
            }
            return Step::NEXT;
        }
        let key = key::key(x, &self.variance);
        if self.shown(x).key {
            x.added_headers.set("X-Cache-Key", key::hex(&key));
        }
        let now = host.clock.wall();
        match self.memory.get(&key, now) {
            // The client wants what is there or nothing: the page of 504.
            None if directives.has("only-if-cached") => Step::reply(Reply::new(504)),
            None => self.watch(x, key, "Miss"),
            Some(answer) if !self.is_taken(&answer, &directives, now) => self.watch(x, key, "Refresh"),
            Some(answer) => {
                let reply = self.replay(x, &answer, now);
                if self.shown(x).status {
                    x.added_headers.set(STATUS, "Hit");
                }
                Step::reply(reply)
            }
        }
    }

    fn header_filter(&self, x: &mut Exchange, host: &Host) {
        let Some(mut candidate) = x.slots.take::<Candidate>() else { return };
        // Only what an upstream said is worth keeping, not what the gateway says in its place.
        let from_upstream = x.response_source == ResponseSource::Service;
        match self.keeps(x, host.clock.wall()).filter(|_| from_upstream) {
            Some(ttl) => {
                candidate.head = Some((x.response.status, kept_headers(&x.response.headers), ttl));
                x.slots.set(candidate);
            }
            None if self.shown(x).status => x.response.headers.set(STATUS, "Bypass"),
            None => {}
        }
    }

    fn body_filter(&self, x: &mut Exchange, chunk: &mut BodyChunk, host: &Host) {
        let Some(candidate) = x.slots.get_mut::<Candidate>() else { return };
        if candidate.body.len() + chunk.data.len() > LARGEST {
            x.slots.take::<Candidate>();
            return;
        }
        candidate.body.extend_from_slice(&chunk.data);
        if chunk.last
            && let Some(candidate) = x.slots.take::<Candidate>()
        {
            self.keep(candidate, host.clock.wall());
        }
    }
}

/// A copy that takes no more memory than it needs.
fn kept_headers(headers: &Headers) -> Headers {
    let mut kept = Headers::new();
    for (name, value) in headers.iter().filter(|(name, _)| is_replayed(name)) {
        kept.append_clean(name, value);
    }
    kept
}

/// What belongs to one connection, one message or one client is not given again.
fn is_replayed(name: &[u8]) -> bool {
    const NOT: [&str; 11] = [
        "connection",
        "keep-alive",
        "public",
        "proxy-authenticate",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "age",
        "x-cache-status",
        "x-cache-key",
        "trailer",
    ];
    let is = |other: &&str| name.eq_ignore_ascii_case(other.as_bytes());
    let of_one_client = || name.to_ascii_lowercase().windows(19).any(|part| part == b"ratelimit-remaining");
    !NOT.iter().any(is) && !of_one_client()
}
