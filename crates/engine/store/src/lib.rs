//! Where entities are kept, and the one way in which they change.
//!
//! The [`Conductor`] joins a store and the plan: it settles what is wanted against what is stored ([`rules`]), compiles
//! the next plan, commits, and puts the plan in force. [`Documents`] stands before it with the schema: what clients send
//! becomes complete documents there. Backends keep rows and what they are found by; they know no entity.
//!
//! How changes are asked for (Admin API, files, other nodes) is left to the surfaces.

mod backend;
mod conductor;
mod documents;
mod error;
mod keyring;
mod linked;
mod memory;
mod postgres;
mod query;
mod references;
mod replica;
mod row;
pub mod rules;
mod saved;
mod sources;
mod sqlite;
mod thread;
mod told;

pub use backend::{Add, Pending, Reader, Reading, Writer};
pub use conductor::{Conductor, Declaration, Making, gather, workspace_of};
pub use documents::{Address, Documents};
pub use error::{ChangeError, StoreError, Violation};
pub use keyring::{Keyring, KeyringChange, KeyringError, PrivateKey, PublicKey};
pub use memory::{Memory, MemoryWriter, Table};
pub use postgres::{
    Found, KongTables, MigrationState, Migrations, Postgres, PostgresSettings, PostgresTls, PostgresWriter,
    listen as listen_to_postgres,
};
pub use query::{Query, Rows, Tagged, Tags, Text};
pub use references::{NoSecrets, Secrets};
pub use row::{Document, EXPIRES_AT, Key, Row};
pub use saved::{Saved, load as load_saved};
pub use sources::SystemSources;
pub use sqlite::{Sqlite, SqliteWriter};
