//! Reading the tables of a Kong gateway, to take over its configuration. They are read only.
//!
//! Its tables have a column per field; which field a column is follows from the entity's definition. References are
//! `FIELD_id`, times are timestamps, and texts that are unique within a workspace may carry its identifier in front.

use std::sync::Arc;

use gibbon_model::{DEFAULT_WORKSPACE_ID, EntityDef, Registry, Write as Circumstances};
use gibbon_schema::{Compat, Context, Kind, Purpose};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::connection::{PostgresSettings, Session};
use crate::error::StoreError;
use crate::row::{Document, EXPIRES_AT};
use crate::rules::{Condition, Write};
use crate::sources::SystemSources;

/// Tables whose names are not those of their entities.
const TABLES: &[(&str, &str)] = &[("vaults", "sm_vaults")];
/// What only a running gateway needs.
const LEFT_OUT: &[&str] = &["clustering_data_planes", "tags"];
const CHUNK: i64 = 5_000;

/// A configuration as it was found.
#[derive(Debug, Default)]
pub struct Found {
    /// To be written in this order.
    pub writes: Vec<Write>,
    /// Settings that have no place here: table, column, how often it was set.
    pub dropped: Vec<(String, String, usize)>,
    /// Entities that are not sound here: entity, identifier, what is wrong. They are not among the writes.
    pub faulty: Vec<(String, String, String)>,
}

/// The tables of a Kong gateway.
pub struct KongTables {
    session: Session,
    schema: String,
    compat: Compat,
    default_workspace: Option<String>,
    found: Found,
}

impl KongTables {
    /// Reads all configuration.
    ///
    /// # Errors
    /// Those of the server.
    pub fn read(
        settings: &PostgresSettings,
        runtime: &Handle,
        registry: &Registry,
        compat: Compat,
    ) -> Result<Found, StoreError> {
        let session = Session::open(settings, runtime)?;
        let schema = settings.schema.clone().unwrap_or_else(|| "public".into());
        let mut tables = KongTables { session, schema, compat, default_workspace: None, found: Found::default() };
        tables.session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL TIME ZONE 'UTC'")?;
        tables.find_default_workspace()?;
        for def in registry.iter().filter(|def| def.primary_key == ["id"] && !LEFT_OUT.contains(&&*def.name)) {
            tables.read_kind(def)?;
        }
        tables.session.batch("COMMIT")?;
        Ok(tables.found)
    }

    fn quoted(&self, table: &str) -> String {
        let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        format!("{}.{}", quote(&self.schema), quote(table))
    }

    fn find_default_workspace(&mut self) -> Result<(), StoreError> {
        if !self.columns("workspaces")?.is_empty() {
            let sql = format!("SELECT id::text FROM {} WHERE name = 'default'", self.quoted("workspaces"));
            self.default_workspace = self.session.one(&sql, &[])?.map(|row| row.get(0));
        }
        Ok(())
    }

    /// Columns with their types; none if there is no such table.
    fn columns(&self, table: &str) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT column_name::text, data_type::text FROM information_schema.columns
                   WHERE table_schema = $1 AND table_name = $2";
        let rows = self.session.all(sql, &[&self.schema, &table])?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    fn read_kind(&mut self, def: &Arc<EntityDef>) -> Result<(), StoreError> {
        let table = TABLES.iter().find(|(entity, _)| *entity == def.name).map_or(&*def.name, |(_, table)| table);
        let columns = self.columns(table)?;
        if columns.is_empty() {
            return Ok(());
        }
        let times = columns.iter().filter(|(_, kind)| kind.starts_with("timestamp"));
        let times: Vec<String> = times
            .map(|(name, _)| format!("|| jsonb_build_object('{name}', extract(epoch FROM t.\"{name}\"))"))
            .collect();
        let sql = format!(
            "SELECT (to_jsonb(t) {})::text, t.id FROM {} t WHERE t.id > $1 ORDER BY t.id LIMIT $2",
            times.join(" "),
            self.quoted(table)
        );
        let mut after = Uuid::nil();
        loop {
            let rows = self.session.all(&sql, &[&after, &CHUNK])?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.get(1);
            for row in &rows {
                let text: &str = row.get(0);
                if let Ok(Value::Object(row)) = serde_json::from_str(text) {
                    self.convert(def, table, row);
                }
            }
        }
    }

    fn convert(&mut self, def: &EntityDef, table: &str, mut row: Document) {
        let own = row.shift_remove("ws_id").and_then(|id| id.as_str().map(ToOwned::to_owned));
        row.shift_remove("cache_key");
        let ends = row.shift_remove("ttl").filter(|_| def.ttl).and_then(|at| at.as_f64());
        let mut document = Document::new();
        for (column, value) in row {
            match field_of(def, &column) {
                Some((field, true)) => {
                    let reference = if value.is_null() { Value::Null } else { json!({ "id": value }) };
                    document.insert(field.to_owned(), reference);
                }
                Some((field, false)) => {
                    let value = plain(def, field, value, own.as_deref());
                    document.insert(field.to_owned(), value);
                }
                None if value.is_null() => {}
                None => self.drop_setting(table, &column),
            }
        }
        if def.name == "workspaces" && document.get("name").and_then(Value::as_str) == Some("default") {
            document.insert("id".into(), DEFAULT_WORKSPACE_ID.into());
        }
        self.keep(def, document, own.as_deref(), ends);
    }

    fn drop_setting(&mut self, table: &str, column: &str) {
        match self.found.dropped.iter_mut().find(|(t, c, _)| t == table && c == column) {
            Some((.., times)) => *times += 1,
            None => self.found.dropped.push((table.to_owned(), column.to_owned(), 1)),
        }
    }

    /// Completes and checks a document and keeps it, or notes what is wrong with it.
    fn keep(&mut self, def: &EntityDef, mut document: Document, workspace: Option<&str>, ends: Option<f64>) {
        let id = document.get("id").and_then(crate::row::uuid).unwrap_or_default();
        let mut sources = SystemSources::new();
        // Secrets are stored as hashes already, and times are those of the gateway that is taken over.
        let mut circumstances = Circumstances { compat: self.compat, sources: &mut sources, transform: false };
        let checked = def
            .complete(&mut document, Context::Select, &mut circumstances)
            .and_then(|()| def.record.validate_fields(&document, Purpose::Whole));
        if let Err(faults) = checked {
            return self.found.faulty.push((def.name.to_string(), id.to_string(), faults.message()));
        }
        for (name, field) in &def.record.fields {
            if field.transient {
                document.shift_remove(name.as_ref());
            }
        }
        if let Some(at) = ends {
            document.insert(EXPIRES_AT.into(), at.into());
        }
        self.found.writes.push(Write::Put {
            entity: def.name.as_ref().into(),
            workspace: self.workspace(def, workspace),
            id,
            document: Arc::new(Value::Object(document)),
            condition: Condition::Whatever,
        });
    }

    fn workspace(&self, def: &EntityDef, own: Option<&str>) -> Uuid {
        if !def.workspaceable {
            return Uuid::nil();
        }
        let own = own.filter(|own| self.default_workspace.as_deref() != Some(own));
        let default = || Uuid::parse_str(DEFAULT_WORKSPACE_ID).unwrap_or_default();
        own.and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_else(default)
    }
}

/// The field a column holds, and whether it is the identifier of a reference.
fn field_of<'a>(def: &'a EntityDef, column: &'a str) -> Option<(&'a str, bool)> {
    if let Some(name) = column.strip_suffix("_id")
        && def.foreign_fields().any(|(field, _)| field == name)
    {
        return Some((name, true));
    }
    def.record.get(column).map(|_| (column, false))
}

fn plain(def: &EntityDef, field: &str, value: Value, workspace: Option<&str>) -> Value {
    let Some(described) = def.record.get(field) else { return value };
    match (&described.kind, &value) {
        #[allow(clippy::cast_possible_truncation)] // seconds and counts
        (Kind::Integer, Value::Number(number)) => number.as_f64().map_or(Value::Null, |n| (n.floor() as i64).into()),
        (Kind::Number, Value::Number(number)) => {
            number.as_f64().map_or(Value::Null, |n| ((n * 1000.0).round() / 1000.0).into())
        }
        (Kind::String, Value::String(text)) if described.unique == Some(true) => {
            let prefix = workspace.map(|id| format!("{id}:"));
            prefix.and_then(|prefix| text.strip_prefix(prefix.as_str())).unwrap_or(text).into()
        }
        _ => value,
    }
}
