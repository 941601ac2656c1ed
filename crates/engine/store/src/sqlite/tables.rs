//! The tables: the same few for all kinds of entities, so that a plugin that brings a kind needs no migration.

use rusqlite::{Connection, TransactionBehavior};

use super::fault;
use crate::error::StoreError;

/// The version of the tables, as in the file's header.
const VERSION: i64 = 1;

/// What brings a file from each version to the next.
const STEPS: &[&str] = &[FIRST];

const FIRST: &str = "
CREATE TABLE entities (
    kind TEXT NOT NULL,
    id BLOB NOT NULL,
    workspace BLOB NOT NULL,
    expires REAL,
    document TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX entities_by_workspace ON entities (kind, workspace, id);
CREATE INDEX entities_by_end ON entities (expires) WHERE expires IS NOT NULL;

CREATE TABLE keys (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    workspace BLOB NOT NULL,
    value TEXT NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (kind, name, workspace, value)
) WITHOUT ROWID;

CREATE TABLE links (
    kind TEXT NOT NULL,
    field TEXT NOT NULL,
    parent BLOB NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (kind, field, parent, id)
) WITHOUT ROWID;

CREATE TABLE tags (
    kind TEXT NOT NULL,
    tag TEXT NOT NULL,
    id BLOB NOT NULL,
    workspace BLOB NOT NULL,
    PRIMARY KEY (kind, tag, id)
) WITHOUT ROWID;
CREATE INDEX tags_by_entity ON tags (kind, id, tag);

CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id BLOB NOT NULL,
    workspace BLOB NOT NULL,
    before TEXT,
    after TEXT
);

CREATE TABLE parameters (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX counters_by_end ON counters (expires);
";

/// Brings the tables up to date, in one transaction.
pub fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(fault)?;
    if version > VERSION {
        return Err(StoreError::new(format!(
            "the datastore's tables have version {version}, made by a later release; this one knows version {VERSION}"
        )));
    }
    let done = usize::try_from(version).unwrap_or(0);
    for step in STEPS.iter().skip(done) {
        transaction.execute_batch(step).map_err(fault)?;
    }
    transaction.pragma_update(None, "user_version", VERSION).map_err(fault)?;
    transaction.commit().map_err(fault)
}
