//! Our tables in a database: made, brought up to date, removed.

use tokio::runtime::Handle;

use super::connection::{PostgresSettings, Session};
use crate::error::StoreError;

/// What brings the tables from each version to the next, by name.
const STEPS: &[(&str, &str)] = &[("000_base", FIRST)];

const FIRST: &str = "
CREATE TABLE entities (
    kind TEXT COLLATE \"C\" NOT NULL,
    id UUID NOT NULL,
    workspace UUID NOT NULL,
    expires DOUBLE PRECISION,
    document TEXT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX entities_by_workspace ON entities (kind, workspace, id);
CREATE INDEX entities_by_end ON entities (expires) WHERE expires IS NOT NULL;

CREATE TABLE keys (
    kind TEXT COLLATE \"C\" NOT NULL,
    name TEXT COLLATE \"C\" NOT NULL,
    workspace UUID NOT NULL,
    value TEXT COLLATE \"C\" NOT NULL,
    id UUID NOT NULL,
    PRIMARY KEY (kind, name, workspace, value)
);

CREATE TABLE links (
    kind TEXT COLLATE \"C\" NOT NULL,
    field TEXT COLLATE \"C\" NOT NULL,
    parent UUID NOT NULL,
    id UUID NOT NULL,
    PRIMARY KEY (kind, field, parent, id)
);

CREATE TABLE tags (
    kind TEXT COLLATE \"C\" NOT NULL,
    tag TEXT COLLATE \"C\" NOT NULL,
    id UUID NOT NULL,
    workspace UUID NOT NULL,
    PRIMARY KEY (kind, tag, id)
);
CREATE INDEX tags_by_entity ON tags (kind, id, tag);

CREATE TABLE changes (
    sequence BIGINT PRIMARY KEY,
    kind TEXT NOT NULL,
    id UUID NOT NULL,
    workspace UUID NOT NULL,
    before TEXT,
    after TEXT
);

CREATE TABLE parameters (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL,
    expires DOUBLE PRECISION NOT NULL
);
CREATE INDEX counters_by_end ON counters (expires);
";

/// Two nodes that bring the tables up to date do so one after the other.
const LOCK: i64 = 0x6769_6262_6f6f;

/// How our tables stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There are none.
    Absent,
    /// There are none, but those of a Kong gateway.
    ForeignOnly,
    /// Steps by name that are still to be made; none if up to date.
    Present { pending: Vec<&'static str> },
    /// They were made by a later release.
    Newer,
}

/// The tables of one database. For code that may wait.
pub struct Migrations {
    settings: PostgresSettings,
    session: Session,
}

impl Migrations {
    /// Connects. `runtime` drives the connection.
    ///
    /// # Errors
    /// A server that cannot be reached.
    pub fn open(settings: &PostgresSettings, runtime: &Handle) -> Result<Self, StoreError> {
        Ok(Migrations { settings: settings.clone(), session: Session::open(settings, runtime)? })
    }

    fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.session.batch(sql)
    }

    /// Whether there is a table of that name.
    fn has_table(&self, schema: &str, table: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM information_schema.tables WHERE table_schema = $1 AND table_name = $2";
        Ok(self.session.one(sql, &[&schema, &table])?.is_some())
    }

    /// How the tables stand.
    ///
    /// # Errors
    /// Those of the server.
    pub fn state(&self) -> Result<State, StoreError> {
        if !self.has_table(&self.settings.own_schema(), "migrations")? {
            let foreign = self.settings.schema.as_deref().unwrap_or("public");
            return Ok(if self.has_table(foreign, "schema_meta")? { State::ForeignOnly } else { State::Absent });
        }
        let made = self.session.all("SELECT name FROM migrations ORDER BY name", &[])?;
        let made: Vec<String> = made.iter().map(|row| row.get(0)).collect();
        if made.iter().any(|name| !STEPS.iter().any(|(known, _)| known == name)) {
            return Ok(State::Newer);
        }
        let pending = STEPS.iter().map(|(name, _)| *name).filter(|name| !made.iter().any(|m| m == name)).collect();
        Ok(State::Present { pending })
    }

    /// Makes the tables, or brings them up to date. Returns the steps that were made.
    ///
    /// # Errors
    /// Those of the server; then nothing is changed.
    pub fn migrate(&self) -> Result<Vec<&'static str>, StoreError> {
        let schema = self.settings.quoted_schema();
        self.run(&format!(
            "BEGIN; SELECT pg_advisory_xact_lock({LOCK}); CREATE SCHEMA IF NOT EXISTS {schema};
             CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, made_at TIMESTAMPTZ NOT NULL DEFAULT now())"
        ))?;
        let made = self.migrate_inside();
        match made {
            Ok(steps) => self.run("COMMIT").map(|()| steps),
            Err(error) => {
                let _ = self.run("ROLLBACK");
                Err(error)
            }
        }
    }

    fn migrate_inside(&self) -> Result<Vec<&'static str>, StoreError> {
        let State::Present { pending } = self.state()? else {
            return Err(StoreError::new("the datastore's tables were made by a later release"));
        };
        for (name, sql) in STEPS.iter().filter(|(name, _)| pending.contains(name)) {
            self.run(&format!("{sql}; INSERT INTO migrations (name) VALUES ('{name}')"))?;
        }
        Ok(pending)
    }

    /// Removes our tables with everything in them.
    ///
    /// # Errors
    /// Those of the server.
    pub fn reset(&self) -> Result<(), StoreError> {
        self.run(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.settings.quoted_schema()))
    }
}
