//! Reading from the tables.

use std::fmt::Write as _;
use std::sync::Arc;

use gibbon_plan::Change;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension as _, Params, Row as SqlRow, params, params_from_iter};
use serde_json::Value;
use uuid::Uuid;

use super::fault;
use crate::error::StoreError;
use crate::query::{Query, Rows, Tagged, Tags, Text};
use crate::row::{Key, Row};

/// A connection to read from.
pub struct View<'a>(pub &'a Connection);

fn uuid(row: &SqlRow<'_>, at: usize) -> rusqlite::Result<Uuid> {
    let bytes: [u8; 16] = row.get(at)?;
    Ok(Uuid::from_bytes(bytes))
}

/// Identifier, workspace and document, in this order from the given column.
type Raw = (Uuid, Uuid, String);

fn raw(row: &SqlRow<'_>) -> rusqlite::Result<Raw> {
    Ok((uuid(row, 0)?, uuid(row, 1)?, row.get(2)?))
}

fn document(text: &str) -> Result<Arc<Value>, StoreError> {
    serde_json::from_str(text).map(Arc::new).map_err(|_| StoreError::new("a stored entity is damaged"))
}

fn row((id, workspace, text): Raw) -> Result<Row, StoreError> {
    Ok(Row { id, workspace, document: document(&text)? })
}

/// A change as it is stored.
struct Told {
    sequence: i64,
    kind: String,
    id: Uuid,
    workspace: Uuid,
    before: Option<String>,
    after: Option<String>,
}

fn told(row: &SqlRow<'_>) -> rusqlite::Result<Told> {
    Ok(Told {
        sequence: row.get(0)?,
        kind: row.get(1)?,
        id: uuid(row, 2)?,
        workspace: uuid(row, 3)?,
        before: row.get(4)?,
        after: row.get(5)?,
    })
}

impl Told {
    fn read(self) -> Result<(u64, Change), StoreError> {
        let read = |text: Option<String>| text.as_deref().map(document).transpose();
        let change = Change {
            entity: self.kind.into(),
            id: self.id,
            workspace: self.workspace,
            before: read(self.before)?,
            after: read(self.after)?,
        };
        Ok((u64::try_from(self.sequence).unwrap_or(0), change))
    }
}

impl View<'_> {
    fn one<T>(
        &self,
        sql: &str,
        of: impl Params,
        read: impl FnOnce(&SqlRow<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.0.prepare_cached(sql).map_err(fault)?;
        statement.query_row(of, read).optional().map_err(fault)
    }

    fn all<T>(
        &self,
        sql: &str,
        of: impl Params,
        read: impl FnMut(&SqlRow<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.0.prepare_cached(sql).map_err(fault)?;
        let rows = statement.query_map(of, read).map_err(fault)?;
        rows.collect::<Result<_, _>>().map_err(fault)
    }
}

impl Rows for View<'_> {
    fn get(&mut self, entity: &str, id: Uuid) -> Result<Option<Row>, StoreError> {
        let sql = "SELECT id, workspace, document FROM entities WHERE kind = ?1 AND id = ?2";
        self.one(sql, params![entity, id.as_bytes()], raw)?.map(row).transpose()
    }

    fn owner(&mut self, key: &Key) -> Result<Option<Uuid>, StoreError> {
        let sql = "SELECT id FROM keys WHERE kind = ?1 AND name = ?2 AND workspace = ?3 AND value = ?4";
        self.one(sql, params![&*key.entity, &*key.name, key.workspace.as_bytes(), &*key.value], |row| uuid(row, 0))
    }

    fn page(&mut self, query: &Query) -> Result<Vec<Row>, StoreError> {
        let (sql, values) = page_sql(query);
        self.all(&sql, params_from_iter(values), raw)?.into_iter().map(row).collect()
    }

    fn page_texts(&mut self, query: &Query) -> Result<Option<Vec<Text>>, StoreError> {
        let (sql, values) = page_sql(query);
        let text = |row: &SqlRow<'_>| Ok(Text { id: uuid(row, 0)?, document: row.get(2)?, expires: row.get(3)? });
        self.all(&sql, params_from_iter(values), text).map(Some)
    }

    fn referrers(&mut self, entity: &str, field: &str, parent: Uuid) -> Result<Vec<Row>, StoreError> {
        let sql = "SELECT e.id, e.workspace, e.document FROM links l JOIN entities e ON e.kind = l.kind AND e.id = l.id
                   WHERE l.kind = ?1 AND l.field = ?2 AND l.parent = ?3 ORDER BY l.id";
        self.all(sql, params![entity, field, parent.as_bytes()], raw)?.into_iter().map(row).collect()
    }

    fn tagged(
        &mut self,
        workspace: Uuid,
        tag: Option<&str>,
        after: Option<&Tagged>,
        limit: usize,
    ) -> Result<Vec<Tagged>, StoreError> {
        let (kind, id, last) = after.map_or(("", Uuid::nil(), ""), |a| (&*a.entity, a.id, &*a.tag));
        let sql = "SELECT kind, id, tag FROM tags
                   WHERE (kind, id, tag) > (?1, ?2, ?3) AND (?4 IS NULL OR tag = ?4) AND workspace IN (?5, ?6)
                   ORDER BY kind, id, tag LIMIT ?7";
        let nil = Uuid::nil();
        let of = params![kind, id.as_bytes(), last, tag, workspace.as_bytes(), nil.as_bytes(), count(limit)];
        self.all(sql, of, |row| {
            let (kind, tag): (String, String) = (row.get(0)?, row.get(2)?);
            Ok(Tagged { entity: kind.into(), id: uuid(row, 1)?, tag: tag.into() })
        })
    }

    fn sequence(&mut self) -> Result<u64, StoreError> {
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'changes'";
        Ok(self.one(sql, [], |row| row.get::<_, i64>(0))?.map_or(0, |last| u64::try_from(last).unwrap_or(0)))
    }

    fn changes_after(&mut self, sequence: u64, limit: usize) -> Result<Option<Vec<(u64, Change)>>, StoreError> {
        let last = self.sequence()?;
        if last <= sequence {
            return Ok((last == sequence).then(Vec::new));
        }
        let sql = "SELECT sequence, kind, id, workspace, before, after FROM changes
                   WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";
        let rows = self.all(sql, params![count64(sequence), count(limit)], told)?;
        if rows.first().is_none_or(|told| told.sequence != count64(sequence) + 1) {
            return Ok(None);
        }
        rows.into_iter().map(Told::read).collect::<Result<_, _>>().map(Some)
    }

    fn expired(&mut self, now: f64, limit: usize) -> Result<Vec<(Arc<str>, Uuid, Uuid)>, StoreError> {
        let sql = "SELECT kind, workspace, id FROM entities WHERE expires <= ?1 LIMIT ?2";
        self.all(sql, params![now, count(limit)], |row| {
            Ok((row.get::<_, String>(0)?.into(), uuid(row, 1)?, uuid(row, 2)?))
        })
    }

    fn parameter(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        self.one("SELECT value FROM parameters WHERE name = ?1", params![name], |row| row.get(0))
    }
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn count64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn blob(id: Uuid) -> Sql {
    Sql::Blob(id.as_bytes().to_vec())
}

/// The statement of a page; its text depends on the shape of the query only, so that it stays prepared.
fn page_sql(query: &Query) -> (String, Vec<Sql>) {
    let kind = || Sql::Text(query.entity.to_string());
    let mut sql = String::from("SELECT e.id, e.workspace, e.document, e.expires FROM ");
    let mut values = Vec::new();
    let id = match &query.parent {
        Some((field, parent)) => {
            sql.push_str("links l CROSS JOIN entities e ON e.kind = l.kind AND e.id = l.id WHERE l.kind = ? AND l.field = ? AND l.parent = ?");
            values.extend([kind(), Sql::Text(field.to_string()), blob(*parent)]);
            "l.id"
        }
        None => {
            sql.push_str("entities e WHERE e.kind = ?");
            values.push(kind());
            "e.id"
        }
    };
    if let Some(workspace) = query.workspace {
        sql.push_str(" AND e.workspace = ?");
        values.push(blob(workspace));
    }
    if let Some(after) = query.after {
        let _ = write!(sql, " AND {id} > ?");
        values.push(blob(after));
    }
    let (tags, together): (&[String], bool) = match &query.tags {
        Tags::Whatever => (&[], false),
        Tags::All(tags) => (tags, true),
        Tags::Any(tags) => (tags, false),
    };
    let with = "e.id IN (SELECT id FROM tags WHERE kind = ? AND tag = ?)";
    if !tags.is_empty() {
        let joined = vec![with; tags.len()].join(if together { " AND " } else { " OR " });
        let _ = write!(sql, " AND ({joined})");
        values.extend(tags.iter().flat_map(|tag| [kind(), Sql::Text(tag.clone())]));
    }
    let _ = write!(sql, " ORDER BY {id} LIMIT ?");
    values.push(Sql::Integer(count(query.limit)));
    (sql, values)
}
