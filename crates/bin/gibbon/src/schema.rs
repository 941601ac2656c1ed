//! The state of the database's tables, as the `migrations` commands see it.

use gibbon_conf::{Database, Settings};

/// What the tables need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing: there is no database, or it keeps its tables up to date by itself.
    UpToDate,
}

/// Looks at the database.
pub fn state(settings: &Settings) -> anyhow::Result<State> {
    match settings.datastore.database {
        // The embedded database changes its tables when it is opened.
        Database::Off | Database::Sqlite => Ok(State::UpToDate),
        Database::Postgres => anyhow::bail!("PostgreSQL is not part of this build; set database = sqlite or off"),
    }
}
