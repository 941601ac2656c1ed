//! The world of a plugin under test: a clock that is set by hand, a store, a key-value server and HTTP services
//! that live in memory, and a walk through the phases as the engine walks them. No sockets, no runtime, no sleep.
//!
//! What only the engine decides (order of plugins, framing, retries) is not imitated; whole-gateway tests are for that.
//!
//! ```
//! use gibbon_pdk::{Built, Exchange, Handler, Host, Part, Phase, Phases, Protocol, Protocols, Reply, Scopes, Step};
//!
//! struct Refuse;
//! impl Handler for Refuse {
//!     fn access<'a>(&'a self, _x: &'a mut Exchange, _host: &'a Host) -> Step<'a> {
//!         Step::reply(Reply::error(403))
//!     }
//! }
//! const PART: Part = Part {
//!     name: "refuse",
//!     priority: 1,
//!     version: "1",
//!     phases: Phases::of(&[Phase::Access]),
//!     protocols: Protocols::of(&[Protocol::Http]),
//!     scopes: Scopes::ALL,
//!     schema: gibbon_schema::Record::new,
//!     build: |_, _| -> Built { Ok(std::sync::Arc::new(Refuse)) },
//! };
//!
//! let rig = gibbon_rig::Rig::new();
//! let handler = rig.handler(&PART, serde_json::json!({}));
//! let mut x = gibbon_rig::request("GET /a", &[]);
//! assert_eq!(rig.access(&*handler, &mut x).reply().status, 403);
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod configuration;
mod exchange;
mod outside;
pub mod parity;
pub mod published;
mod time;
mod world;

pub use configuration::{accepted, refused};
pub use exchange::{Ended, json_body, request, with_body};
pub use outside::{DirectQueue, DirectQueues, MemoryKv, MemoryStore, People, ScriptedHttp};
pub use time::{FakeClock, FakeRandom, run};
pub use world::{NodeMemory, Rig};
