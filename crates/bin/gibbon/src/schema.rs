//! The state of the database's tables, as the commands see it.

use gibbon_assembly::{MigrationState, Tables};
use gibbon_conf::{Database, Settings};

/// Our tables in PostgreSQL; nothing for databases that keep their tables up to date by themselves.
pub fn tables(settings: &Settings) -> anyhow::Result<Option<Tables>> {
    match settings.datastore.database {
        // The embedded database changes its tables when it is opened.
        Database::Off | Database::Sqlite => Ok(None),
        Database::Postgres => Tables::open(settings).map(Some),
    }
}

/// Whether a node may start.
///
/// # Errors
/// What to do first.
pub fn check(settings: &Settings) -> anyhow::Result<()> {
    match tables(settings)? {
        None => Ok(()),
        Some(tables) => gibbon_assembly::readiness(&tables.migrations.state()?),
    }
}

/// The state as JSON, in Kong's words.
pub fn status(state: &MigrationState) -> String {
    let (bootstrap, new) = match state {
        MigrationState::Absent | MigrationState::ForeignOnly => (true, &[][..]),
        MigrationState::Present { pending } => (false, pending.as_slice()),
        MigrationState::Newer => (false, &[][..]),
    };
    serde_json::json!({ "needs_bootstrap": bootstrap, "new_migrations": new, "pending_migrations": [] }).to_string()
}
