//! Writing to the tables.

use gibbon_plan::Change;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::Turns;
use super::connection::{Deed, Parameters, PostgresSettings, Session};
use super::listen::CHANNEL;
use super::rows::View;
use crate::backend::{Add, Writer};
use crate::error::StoreError;
use crate::query::Rows;
use crate::row::{Index, expires_at};
use crate::rules::Settled;
use crate::thread::is_planned;

/// How many changes are kept for nodes that follow. Who was away for longer reads everything again.
const KEPT_CHANGES: i64 = 20_000;
/// How often old changes are removed, in changes.
const CLEANING_INTERVAL: i64 = 1_000;

/// Whoever changes something holds this lock, so that numbers are given in the order of commits.
const LOCK: i64 = 0x6769_6262_6f6e;

/// A statement and its values.
macro_rules! deed {
    ($sql:expr, $($value:expr),+) => {
        Deed { sql: $sql, values: vec![$(Box::new($value)),+] }
    };
}

/// The connection that writes; made anew when it is lost.
pub struct PostgresWriter {
    settings: PostgresSettings,
    runtime: Handle,
    session: Option<Session>,
    /// The number of the last change, known while a transaction is open.
    last: i64,
    told: bool,
    turns: Turns,
    /// Held while a transaction is open.
    turn: Option<OwnedSemaphorePermit>,
}

impl PostgresWriter {
    pub(super) fn open(settings: PostgresSettings, runtime: Handle, turns: Turns) -> Result<Self, StoreError> {
        let session = Some(Session::open(&settings, &runtime)?);
        Ok(PostgresWriter { settings, runtime, session, last: 0, told: false, turns, turn: None })
    }

    fn session(&self) -> Result<&Session, StoreError> {
        self.session.as_ref().ok_or_else(|| StoreError::new("PostgreSQL: not connected"))
    }

    fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.session()?.batch(sql)
    }

    fn run(&self, sql: &str, of: Parameters<'_>) -> Result<(), StoreError> {
        self.session()?.run(sql, of)
    }

    /// What writes these changes, and the number of the last.
    fn deeds(&mut self, changes: &[Settled]) -> (Vec<Deed>, u64) {
        let mut deeds = Vec::new();
        let mut last = 0;
        for settled in changes {
            unlink(&settled.change, &settled.before, &mut deeds);
            deeds.push(write_row(&settled.change));
            link(&settled.change, &settled.after, &mut deeds);
            if is_planned(&settled.change.entity) {
                last = self.tell(&settled.change, &mut deeds);
            }
        }
        (deeds, last)
    }

    /// Notes a change for the other nodes.
    fn tell(&mut self, change: &Change, deeds: &mut Vec<Deed>) -> u64 {
        self.last += 1;
        self.told = true;
        let sql = "INSERT INTO changes (sequence, kind, id, workspace, before, after) VALUES ($1, $2, $3, $4, $5, $6)";
        let text = |document: &Option<std::sync::Arc<serde_json::Value>>| document.as_ref().map(ToString::to_string);
        let (before, after) = (text(&change.before), text(&change.after));
        deeds.push(deed!(sql, self.last, kind_of(change), change.id, change.workspace, before, after));
        if self.last % CLEANING_INTERVAL == 0 {
            deeds.push(deed!("DELETE FROM changes WHERE sequence <= $1", self.last - KEPT_CHANGES));
        }
        u64::try_from(self.last).unwrap_or(0)
    }
}

fn kind_of(change: &Change) -> String {
    change.entity.to_string()
}

fn write_row(change: &Change) -> Deed {
    let Some(document) = &change.after else {
        return deed!("DELETE FROM entities WHERE kind = $1 AND id = $2", kind_of(change), change.id);
    };
    let sql = "INSERT INTO entities (kind, id, workspace, expires, document) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (kind, id) DO UPDATE SET workspace = excluded.workspace, expires = excluded.expires, document = excluded.document";
    deed!(sql, kind_of(change), change.id, change.workspace, expires_at(document), document.to_string())
}

/// Removes what the row was found by.
fn unlink(change: &Change, index: &Index, deeds: &mut Vec<Deed>) {
    let (kind, id) = (|| kind_of(change), change.id);
    for key in &index.keys {
        let sql = "DELETE FROM keys WHERE kind = $1 AND name = $2 AND workspace = $3 AND value = $4 AND id = $5";
        deeds.push(deed!(sql, kind(), key.name.to_string(), key.workspace, key.value.to_string(), id));
    }
    for (field, parent) in &index.references {
        let sql = "DELETE FROM links WHERE kind = $1 AND field = $2 AND parent = $3 AND id = $4";
        deeds.push(deed!(sql, kind(), field.to_string(), *parent, id));
    }
    for tag in &index.tags {
        deeds.push(deed!("DELETE FROM tags WHERE kind = $1 AND tag = $2 AND id = $3", kind(), tag.to_string(), id));
    }
}

fn link(change: &Change, index: &Index, deeds: &mut Vec<Deed>) {
    let (kind, id) = (|| kind_of(change), change.id);
    for key in &index.keys {
        // Fails if somebody else has it: the last guard behind the rules.
        let sql = "INSERT INTO keys (kind, name, workspace, value, id) VALUES ($1, $2, $3, $4, $5)";
        deeds.push(deed!(sql, kind(), key.name.to_string(), key.workspace, key.value.to_string(), id));
    }
    for (field, parent) in &index.references {
        let sql = "INSERT INTO links (kind, field, parent, id) VALUES ($1, $2, $3, $4)";
        deeds.push(deed!(sql, kind(), field.to_string(), *parent, id));
    }
    for tag in &index.tags {
        let sql = "INSERT INTO tags (kind, tag, id, workspace) VALUES ($1, $2, $3, $4)";
        deeds.push(deed!(sql, kind(), tag.to_string(), id, change.workspace));
    }
}

impl Writer for PostgresWriter {
    fn begin(&mut self) -> Result<(), StoreError> {
        if self.session.as_ref().is_none_or(Session::is_closed) {
            self.session = None;
            self.session = Some(Session::open(&self.settings, &self.runtime)?);
        }
        self.told = false;
        self.turn = None;
        let turn = self.runtime.block_on(self.turns.wait())?;
        self.session()?.batch_ahead(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})"));
        let mut last = Ok(0);
        self.read(&mut |rows| last = rows.sequence());
        if last.is_err() {
            // The lock may yet be given to this connection, and must not stay with it.
            self.session = None;
        }
        self.last = i64::try_from(last?).unwrap_or(i64::MAX);
        self.turn = turn;
        Ok(())
    }

    fn read(&mut self, reading: &mut dyn FnMut(&mut dyn Rows)) {
        if let Some(session) = &self.session {
            reading(&mut View(session));
        }
    }

    fn write(&mut self, changes: &[Settled]) -> Result<u64, StoreError> {
        let before = self.last;
        let (deeds, last) = self.deeds(changes);
        match self.session()?.run_in_savepoint(&deeds) {
            Ok(()) => Ok(last),
            Err(error) => {
                self.last = before;
                self.batch("ROLLBACK TO one; RELEASE one")?;
                Err(error)
            }
        }
    }

    fn set_parameter(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO parameters (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.run(sql, &[&name, &value])
    }

    fn count(&mut self, add: &Add) -> Result<i64, StoreError> {
        let sql =
            "INSERT INTO counters AS c (name, value, expires) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET
                   value = CASE WHEN c.expires <= $4 THEN $2 ELSE c.value + $2 END,
                   expires = CASE WHEN c.expires <= $4 THEN $3 ELSE c.expires END RETURNING value";
        let row = self.session()?.one(sql, &[&add.name, &add.by, &add.expires, &add.now])?;
        Ok(row.map_or(0, |row| row.get(0)))
    }

    fn forget_counters(&mut self, now: f64) -> Result<(), StoreError> {
        self.run("DELETE FROM counters WHERE expires <= $1", &[&now])
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let done = match self.told {
            true => self.batch(&format!("NOTIFY {CHANNEL}; COMMIT")),
            false => self.batch("COMMIT"),
        };
        if done.is_err() {
            // Whether it was committed is not known: what is in the database is looked at when it is reached again.
            self.session = None;
        }
        self.turn = None;
        done
    }

    fn rollback(&mut self) {
        if self.session.is_some() && self.batch("ROLLBACK").is_err() {
            self.session = None;
        }
        self.turn = None;
    }
}
