//! Reading from the tables.

use std::fmt::Write as _;
use std::sync::Arc;

use gibbon_plan::Change;
use serde_json::Value;
use tokio_postgres::Row as SqlRow;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::connection::{Parameters, Session};
use crate::error::StoreError;
use crate::query::{Query, Rows, Tagged, Tags, Text};
use crate::row::{Key, Row};

/// A session to read from.
pub(super) struct View<'a>(pub &'a Session);

impl View<'_> {
    fn page_rows(&self, query: &Query) -> Result<Vec<SqlRow>, StoreError> {
        let (sql, values) = page_sql(query);
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
        self.all(&sql, &values)
    }

    fn all(&self, sql: &str, of: Parameters<'_>) -> Result<Vec<SqlRow>, StoreError> {
        self.0.all(sql, of)
    }

    fn one(&self, sql: &str, of: Parameters<'_>) -> Result<Option<SqlRow>, StoreError> {
        self.0.one(sql, of)
    }
}

fn document(text: &str) -> Result<Arc<Value>, StoreError> {
    serde_json::from_str(text).map(Arc::new).map_err(|_| StoreError::new("a stored entity is damaged"))
}

fn row(row: &SqlRow) -> Result<Row, StoreError> {
    Ok(Row { id: row.get(0), workspace: row.get(1), document: document(row.get(2))? })
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl Rows for View<'_> {
    fn get(&mut self, entity: &str, id: Uuid) -> Result<Option<Row>, StoreError> {
        let sql = "SELECT id, workspace, document FROM entities WHERE kind = $1 AND id = $2";
        self.one(sql, &[&entity, &id])?.as_ref().map(row).transpose()
    }

    fn owner(&mut self, key: &Key) -> Result<Option<Uuid>, StoreError> {
        let sql = "SELECT id FROM keys WHERE kind = $1 AND name = $2 AND workspace = $3 AND value = $4";
        let found = self.one(sql, &[&&*key.entity, &&*key.name, &key.workspace, &&*key.value])?;
        Ok(found.map(|row| row.get(0)))
    }

    fn page(&mut self, query: &Query) -> Result<Vec<Row>, StoreError> {
        self.page_rows(query)?.iter().map(row).collect()
    }

    fn page_texts(&mut self, query: &Query) -> Result<Option<Vec<Text>>, StoreError> {
        let text = |row: &SqlRow| Text { id: row.get(0), document: row.get(2), expires: row.get(3) };
        Ok(Some(self.page_rows(query)?.iter().map(text).collect()))
    }

    fn referrers(&mut self, entity: &str, field: &str, parent: Uuid) -> Result<Vec<Row>, StoreError> {
        let sql = "SELECT e.id, e.workspace, e.document FROM links l JOIN entities e ON e.kind = l.kind AND e.id = l.id
                   WHERE l.kind = $1 AND l.field = $2 AND l.parent = $3 ORDER BY l.id";
        self.all(sql, &[&entity, &field, &parent])?.iter().map(row).collect()
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
                   WHERE (kind, id, tag) > ($1, $2, $3) AND ($4::text IS NULL OR tag = $4) AND workspace IN ($5, $6)
                   ORDER BY kind, id, tag LIMIT $7";
        let rows = self.all(sql, &[&kind, &id, &last, &tag, &workspace, &Uuid::nil(), &count(limit)])?;
        let tagged = |row: &SqlRow| Tagged {
            entity: row.get::<_, &str>(0).into(),
            id: row.get(1),
            tag: row.get::<_, &str>(2).into(),
        };
        Ok(rows.iter().map(tagged).collect())
    }

    fn sequence(&mut self) -> Result<u64, StoreError> {
        let row = self.one("SELECT coalesce(max(sequence), 0) FROM changes", &[])?;
        Ok(row.map_or(0, |row| unsigned(row.get(0))))
    }

    fn changes_after(&mut self, sequence: u64, limit: usize) -> Result<Option<Vec<(u64, Change)>>, StoreError> {
        let last = self.sequence()?;
        if last <= sequence {
            return Ok((last == sequence).then(Vec::new));
        }
        let sql = "SELECT sequence, kind, id, workspace, before, after FROM changes
                   WHERE sequence > $1 ORDER BY sequence LIMIT $2";
        let from = i64::try_from(sequence).unwrap_or(i64::MAX);
        let rows = self.all(sql, &[&from, &count(limit)])?;
        if rows.first().is_none_or(|row| unsigned(row.get(0)) != sequence + 1) {
            return Ok(None);
        }
        let change = |row: &SqlRow| {
            let read = |at: usize| row.get::<_, Option<&str>>(at).map(document).transpose();
            let change = Change {
                entity: row.get::<_, &str>(1).into(),
                id: row.get(2),
                workspace: row.get(3),
                before: read(4)?,
                after: read(5)?,
            };
            Ok((unsigned(row.get(0)), change))
        };
        rows.iter().map(change).collect::<Result<_, _>>().map(Some)
    }

    fn expired(&mut self, now: f64, limit: usize) -> Result<Vec<(Arc<str>, Uuid, Uuid)>, StoreError> {
        let sql = "SELECT kind, workspace, id FROM entities WHERE expires <= $1 LIMIT $2";
        let rows = self.all(sql, &[&now, &count(limit)])?;
        Ok(rows.iter().map(|row| (row.get::<_, &str>(0).into(), row.get(1), row.get(2))).collect())
    }

    fn parameter(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.one("SELECT value FROM parameters WHERE name = $1", &[&name])?.map(|row| row.get(0)))
    }
}

type Owned = Box<dyn ToSql + Sync + Send>;

/// The statement of a page, with numbered parameters.
fn page_sql(query: &Query) -> (String, Vec<Owned>) {
    let mut sql = String::from("SELECT e.id, e.workspace, e.document, e.expires FROM ");
    let mut values: Vec<Owned> = vec![Box::new(query.entity.to_string())];
    if let Some((field, parent)) = &query.parent {
        sql.push_str("links l JOIN entities e ON e.kind = l.kind AND e.id = l.id WHERE l.kind = $1 AND l.field = $2 AND l.parent = $3");
        values.push(Box::new(field.to_string()));
        values.push(Box::new(*parent));
    } else {
        sql.push_str("entities e WHERE e.kind = $1");
    }
    if let Some(workspace) = query.workspace {
        values.push(Box::new(workspace));
        let _ = write!(sql, " AND e.workspace = ${}", values.len());
    }
    if let Some(after) = query.after {
        values.push(Box::new(after));
        let _ = write!(sql, " AND e.id > ${}", values.len());
    }
    let (tags, together): (&[String], bool) = match &query.tags {
        Tags::Whatever => (&[], false),
        Tags::All(tags) => (tags, true),
        Tags::Any(tags) => (tags, false),
    };
    let mut conditions = Vec::with_capacity(tags.len());
    for tag in tags {
        values.push(Box::new(tag.clone()));
        conditions.push(format!("e.id IN (SELECT id FROM tags WHERE kind = $1 AND tag = ${})", values.len()));
    }
    if !conditions.is_empty() {
        let _ = write!(sql, " AND ({})", conditions.join(if together { " AND " } else { " OR " }));
    }
    values.push(Box::new(count(query.limit)));
    let _ = write!(sql, " ORDER BY e.id LIMIT ${}", values.len());
    (sql, values)
}
