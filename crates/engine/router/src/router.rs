//! The router: built from routes, updated into a new one that shares what did not change, asked per request.

use std::hash::{DefaultHasher, Hash, Hasher};

use uuid::Uuid;

use crate::authority::Authority;
use crate::compile::compile;
use crate::conditions::Request;
use crate::entry::Entry;
use crate::found::Found;
use crate::index::Index;
use crate::keys::HostKey;
use crate::records::{Record, Records};
use crate::spec::{Flavor, Query, RouteSpec, Subsystem};

/// An immutable set of routes of one subsystem, each leading to a `T` (cheap to clone, an `Arc` say).
pub struct Router<T> {
    flavor: Flavor,
    subsystem: Subsystem,
    index: Index<T>,
    records: Records<T>,
    fingerprint: u64,
    unindexed: usize,
}

/// A change of one route.
// Changes pass through one by one: boxing the large variant would only add an allocation each.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone)]
pub enum Change<T> {
    /// Adds the route, or replaces the one with its id.
    Put(RouteSpec, T),
    Remove(Uuid),
}

/// A route that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route {route}: {message}")]
pub struct RouteError {
    pub route: Uuid,
    pub message: String,
}

/// Memory that look-ups use again and again; one per worker.
#[derive(Debug, Default)]
pub struct Scratch {
    host: Vec<u8>,
    backward: Vec<u8>,
}

impl<T: Clone> Clone for Router<T> {
    fn clone(&self) -> Self {
        Router {
            flavor: self.flavor,
            subsystem: self.subsystem,
            index: self.index.clone(),
            records: self.records.clone(),
            fingerprint: self.fingerprint,
            unindexed: self.unindexed,
        }
    }
}

impl<T: Clone> Router<T> {
    #[must_use]
    pub fn empty(flavor: Flavor, subsystem: Subsystem) -> Router<T> {
        Router { flavor, subsystem, index: Index::default(), records: Records::default(), fingerprint: 0, unindexed: 0 }
    }

    /// Builds a router of the given routes; those of the other subsystem are left out.
    ///
    /// # Errors
    /// All routes that cannot be compiled.
    pub fn build(
        flavor: Flavor,
        subsystem: Subsystem,
        routes: impl IntoIterator<Item = (RouteSpec, T)>,
    ) -> Result<Router<T>, Vec<RouteError>> {
        let changes = routes.into_iter().map(|(spec, value)| Change::Put(spec, value));
        Router::empty(flavor, subsystem).changed(changes)
    }

    /// The router after `changes`, in their order. What they do not touch is shared with this one, so that the cost
    /// goes by the number of changes and not by the number of routes.
    ///
    /// # Errors
    /// All changed routes that cannot be compiled; this router stays as it is in any case.
    pub fn updated(&self, changes: impl IntoIterator<Item = Change<T>>) -> Result<Router<T>, Vec<RouteError>> {
        self.clone().changed(changes)
    }

    fn changed(mut self, changes: impl IntoIterator<Item = Change<T>>) -> Result<Router<T>, Vec<RouteError>> {
        let mut errors = Vec::new();
        for change in changes {
            match change {
                Change::Remove(id) => self.remove(id),
                Change::Put(spec, _) if spec.subsystem() != self.subsystem => self.remove(spec.id),
                Change::Put(spec, value) => {
                    if let Err(message) = self.put(&spec, &value) {
                        errors.push(RouteError { route: spec.id, message });
                    }
                }
            }
        }
        if errors.is_empty() { Ok(self) } else { Err(errors) }
    }

    fn put(&mut self, spec: &RouteSpec, value: &T) -> Result<(), String> {
        let entries = compile(self.flavor, spec, value)?;
        for entry in &entries {
            self.index.insert(self.subsystem, entry);
            self.unindexed += usize::from(is_unindexed(entry));
        }
        let digest = digest(spec);
        self.fingerprint = self.fingerprint.wrapping_add(digest);
        let old = self.records.insert(spec.id, digest, entries.into());
        self.forget(old);
        Ok(())
    }

    fn remove(&mut self, id: Uuid) {
        let old = self.records.remove(id);
        self.forget(old);
    }

    fn forget(&mut self, record: Option<Record<T>>) {
        let Some(record) = record else { return };
        self.fingerprint = self.fingerprint.wrapping_sub(record.digest);
        for entry in &record.entries {
            self.index.remove(self.subsystem, entry);
            self.unindexed -= usize::from(is_unindexed(entry));
        }
    }

    /// The route of a request. Costs no allocation for routes of hosts and prefixes.
    pub fn find<'a>(&'a self, query: &Query<'a>, scratch: &mut Scratch) -> Option<Found<'a, T>> {
        let best = match self.subsystem {
            Subsystem::Http => self.find_http(query, scratch),
            Subsystem::Stream => self.find_stream(query, scratch),
        }?;
        Some(Found::new(best.value, query.path, best.hit))
    }

    fn find_http<'a>(&'a self, query: &Query<'a>, scratch: &mut Scratch) -> Option<crate::index::Best<'a, T>> {
        let is_traditional = self.flavor == Flavor::Traditional;
        // Kong's engine works on text: a path or host that is not UTF-8 has no route. Being stricter than a regular
        // expression's `.` matters, or a stray byte would lead around a protected route.
        if !is_traditional && (std::str::from_utf8(query.path).is_err() || std::str::from_utf8(query.host).is_err()) {
            return None;
        }
        let authority = if is_traditional {
            lower(query.host, &mut scratch.host);
            let raw = if scratch.host.is_empty() { query.host } else { &scratch.host };
            Authority::with_brackets(raw)
        } else {
            Authority::at_first_colon(query.host)
        };
        reverse(authority.host, &mut scratch.backward);
        let request = Request {
            query,
            host: Some(authority.host).filter(|host| !host.is_empty()),
            host_port: authority.port,
            sni: sni(query),
            flavor: self.flavor,
        };
        self.index.find(&request, request.host, &scratch.backward, query.path)
    }

    fn find_stream<'a>(&'a self, query: &Query<'a>, scratch: &mut Scratch) -> Option<crate::index::Best<'a, T>> {
        let request = Request { query, host: None, host_port: None, sni: sni(query), flavor: self.flavor };
        reverse(request.sni.unwrap_or_default(), &mut scratch.backward);
        self.index.find(&request, request.sni, &scratch.backward, &query.destination.1.to_be_bytes())
    }

    #[must_use]
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// Number of routes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of routes that neither host nor path narrow down: each request is compared with all of them, so that
    /// more than a thousand deserve a warning.
    #[must_use]
    pub fn unindexed(&self) -> usize {
        self.unindexed
    }

    /// Equal for routers of equal routes, however they came about. Does not cover the values.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

fn is_unindexed<T>(entry: &Entry<T>) -> bool {
    // A plain `/` is the one route for all that is left, and cheap.
    entry.rules.is_some() && entry.keys.iter().any(|(host, path)| host == HostKey::Any && path.len() <= 1)
}

fn digest(spec: &RouteSpec) -> u64 {
    let mut hasher = DefaultHasher::new();
    spec.hash(&mut hasher);
    hasher.finish()
}

fn sni<'a>(query: &Query<'a>) -> Option<&'a [u8]> {
    query.sni.map(str::as_bytes)
}

fn reverse(name: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend(name.iter().rev());
}

/// Leaves `out` empty if `name` is lower case already.
fn lower(name: &[u8], out: &mut Vec<u8>) {
    out.clear();
    if name.iter().any(u8::is_ascii_uppercase) {
        out.extend(name.iter().map(u8::to_ascii_lowercase));
    }
}
