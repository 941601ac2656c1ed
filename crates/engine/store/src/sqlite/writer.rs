//! Writing to the tables.

use gibbon_plan::Change;
use rusqlite::{CachedStatement, Connection, params};
use uuid::Uuid;

use super::checkpoints::Checkpoints;
use super::fault;
use super::rows::View;
use crate::backend::{Add, Writer};
use crate::error::StoreError;
use crate::query::Rows;
use crate::row::{Index, expires_at};
use crate::rules::Settled;
use crate::thread::is_planned;

/// How many changes are kept for processes that follow. Who was away for longer reads everything again.
const KEPT_CHANGES: i64 = 20_000;
/// How often old changes are removed, in changes.
const CLEANING_INTERVAL: i64 = 1_000;

/// The one connection that writes.
pub struct SqliteWriter {
    connection: Connection,
    checkpoints: Checkpoints,
}

impl SqliteWriter {
    pub(super) fn new(connection: Connection, checkpoints: Checkpoints) -> Self {
        SqliteWriter { connection, checkpoints }
    }

    fn prepared(&self, sql: &str) -> Result<CachedStatement<'_>, StoreError> {
        self.connection.prepare_cached(sql).map_err(fault)
    }

    fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.prepared(sql)?.execute([]).map(drop).map_err(fault)
    }

    fn write_all(&self, changes: &[Settled]) -> Result<u64, StoreError> {
        let mut last = 0;
        for settled in changes {
            self.unlink(&settled.change, &settled.before)?;
            self.write_row(&settled.change)?;
            self.link(&settled.change, &settled.after)?;
            if is_planned(&settled.change.entity) {
                last = self.tell(&settled.change)?;
            }
        }
        Ok(last)
    }

    fn write_row(&self, change: &Change) -> Result<(), StoreError> {
        let Some(document) = &change.after else {
            let mut delete = self.prepared("DELETE FROM entities WHERE kind = ?1 AND id = ?2")?;
            return delete.execute(params![&*change.entity, change.id.as_bytes()]).map(drop).map_err(fault);
        };
        let sql = "INSERT INTO entities (kind, id, workspace, expires, document) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (kind, id) DO UPDATE SET workspace = excluded.workspace, expires = excluded.expires, document = excluded.document";
        let of = params![
            &*change.entity,
            change.id.as_bytes(),
            change.workspace.as_bytes(),
            expires_at(document),
            document.to_string()
        ];
        self.prepared(sql)?.execute(of).map(drop).map_err(fault)
    }

    /// Removes what the row was found by.
    fn unlink(&self, change: &Change, index: &Index) -> Result<(), StoreError> {
        let (kind, id) = (&*change.entity, change.id);
        for key in &index.keys {
            let sql = "DELETE FROM keys WHERE kind = ?1 AND name = ?2 AND workspace = ?3 AND value = ?4 AND id = ?5";
            let of = params![kind, &*key.name, key.workspace.as_bytes(), &*key.value, id.as_bytes()];
            self.prepared(sql)?.execute(of).map_err(fault)?;
        }
        for (field, parent) in &index.references {
            let sql = "DELETE FROM links WHERE kind = ?1 AND field = ?2 AND parent = ?3 AND id = ?4";
            self.prepared(sql)?.execute(params![kind, &**field, parent.as_bytes(), id.as_bytes()]).map_err(fault)?;
        }
        for tag in &index.tags {
            let sql = "DELETE FROM tags WHERE kind = ?1 AND tag = ?2 AND id = ?3";
            self.prepared(sql)?.execute(params![kind, &**tag, id.as_bytes()]).map_err(fault)?;
        }
        Ok(())
    }

    fn link(&self, change: &Change, index: &Index) -> Result<(), StoreError> {
        let (kind, id) = (&*change.entity, change.id);
        for key in &index.keys {
            // Fails if somebody else has it: the last guard behind the rules.
            let sql = "INSERT INTO keys (kind, name, workspace, value, id) VALUES (?1, ?2, ?3, ?4, ?5)";
            let of = params![kind, &*key.name, key.workspace.as_bytes(), &*key.value, id.as_bytes()];
            self.prepared(sql)?.execute(of).map_err(fault)?;
        }
        for (field, parent) in &index.references {
            let sql = "INSERT INTO links (kind, field, parent, id) VALUES (?1, ?2, ?3, ?4)";
            self.prepared(sql)?.execute(params![kind, &**field, parent.as_bytes(), id.as_bytes()]).map_err(fault)?;
        }
        for tag in &index.tags {
            let sql = "INSERT INTO tags (kind, tag, id, workspace) VALUES (?1, ?2, ?3, ?4)";
            let of = params![kind, &**tag, id.as_bytes(), change.workspace.as_bytes()];
            self.prepared(sql)?.execute(of).map_err(fault)?;
        }
        Ok(())
    }

    /// Notes a change for those who follow.
    fn tell(&self, change: &Change) -> Result<u64, StoreError> {
        let sql = "INSERT INTO changes (kind, id, workspace, before, after) VALUES (?1, ?2, ?3, ?4, ?5)";
        let text = |document: &Option<std::sync::Arc<serde_json::Value>>| document.as_ref().map(ToString::to_string);
        let workspace: Uuid = change.workspace;
        let of = params![
            &*change.entity,
            change.id.as_bytes(),
            workspace.as_bytes(),
            text(&change.before),
            text(&change.after)
        ];
        self.prepared(sql)?.execute(of).map_err(fault)?;
        let last = self.connection.last_insert_rowid();
        if last % CLEANING_INTERVAL == 0 {
            let sql = "DELETE FROM changes WHERE sequence <= ?1";
            self.prepared(sql)?.execute(params![last - KEPT_CHANGES]).map_err(fault)?;
        }
        Ok(u64::try_from(last).unwrap_or(0))
    }
}

impl Writer for SqliteWriter {
    fn begin(&mut self) -> Result<(), StoreError> {
        self.batch("BEGIN IMMEDIATE")
    }

    fn read(&mut self, reading: &mut dyn FnMut(&mut dyn Rows)) {
        reading(&mut View(&self.connection));
    }

    fn write(&mut self, changes: &[Settled]) -> Result<u64, StoreError> {
        self.batch("SAVEPOINT one")?;
        match self.write_all(changes) {
            Ok(last) => self.batch("RELEASE one").map(|()| last),
            Err(error) => {
                self.batch("ROLLBACK TO one")?;
                self.batch("RELEASE one")?;
                Err(error)
            }
        }
    }

    fn set_parameter(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO parameters (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.prepared(sql)?.execute(params![name, value]).map(drop).map_err(fault)
    }

    fn count(&mut self, add: &Add) -> Result<i64, StoreError> {
        let sql = "INSERT INTO counters (name, value, expires) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE SET
                   value = CASE WHEN expires <= ?4 THEN ?2 ELSE value + ?2 END,
                   expires = CASE WHEN expires <= ?4 THEN ?3 ELSE expires END RETURNING value";
        let mut statement = self.prepared(sql)?;
        statement.query_row(params![add.name, add.by, add.expires, add.now], |row| row.get(0)).map_err(fault)
    }

    fn forget_counters(&mut self, now: f64) -> Result<(), StoreError> {
        self.prepared("DELETE FROM counters WHERE expires <= ?1")?.execute(params![now]).map(drop).map_err(fault)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.batch("COMMIT")?;
        self.checkpoints.ask();
        Ok(())
    }

    fn rollback(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.batch("ROLLBACK")
        {
            tracing::error!("the datastore did not take changes back: {error}");
        }
    }
}
