//! Obtains certificates from an ACME authority (RFC 8555) for the names that clients ask for, answers its HTTP-01
//! challenges, and renews what it obtained.
//!
//! A handshake never waits for the authority: the first one for a new name sees the default certificate, and the name is
//! put on a list that is worked off in the background. What is obtained lies in a storage that several nodes can share.

mod account;
mod admin;
mod authority;
mod certificates;
mod challenge;
mod config;
mod domains;
mod entities;
mod given_key;
mod handler;
mod issue;
mod jws;
mod keeper;
mod storage;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use gibbon_pdk::{AdminRoot, NodeState, Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::Acme;
use keeper::Keeper;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "acme",
    priority: 1705,
    version: crate::VERSION,
    // Challenges are answered before routing, so that no route is needed for them.
    phases: Phases::of(&[Phase::Certificate, Phase::Rewrite]),
    protocols: crate::HTTP,
    scopes: Scopes::GLOBAL_ONLY,
    schema: Config::record,
    build: |document, build| {
        let keeper = Keeper::new(crate::config(PART.name, document)?, build)?;
        build.shared(InForce::KEY, InForce::default).set(&keeper);
        Ok(Arc::new(Acme(keeper)))
    },
};

/// The configuration in force, for the Admin API. There is one at most: the plugin is global.
#[derive(Default)]
struct InForce(Mutex<Weak<Keeper>>);

impl InForce {
    const KEY: &str = "acme/in-force";

    fn set(&self, keeper: &Arc<Keeper>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(keeper);
    }

    fn get(&self) -> Option<Arc<Keeper>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }
}

/// The plugin's paths of the Admin API.
pub fn admin_paths(state: &dyn NodeState) -> AdminRoot {
    let any = state.get_or_insert(InForce::KEY, &mut || Arc::new(InForce::default()));
    (PART.name.into(), Arc::new(admin::AcmePaths(any.downcast().unwrap_or_default())))
}
