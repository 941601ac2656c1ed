//! Certificates list the server names they are for, and those are entities of their own: a list given with a certificate
//! becomes `snis`, and a certificate is shown with its list.

use std::sync::Arc;

use gibbon_model::{EntityDef, Write as Circumstances};
use gibbon_schema::Faults;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Address, Documents, find};
use crate::error::{ChangeError, StoreError};
use crate::query::Rows;
use crate::row::{Document, Row};
use crate::rules::{Condition, Write};
use crate::sources::SystemSources;

const NAMES: &str = "snis";

pub(super) fn is(def: &EntityDef) -> bool {
    def.name == "certificates"
}

/// The names of a certificate, sorted.
pub(super) fn names_of(rows: &mut dyn Rows, certificate: Uuid) -> Result<Value, StoreError> {
    let names = rows.referrers(NAMES, "certificate", certificate)?;
    let mut names: Vec<String> = names.iter().filter_map(name).collect();
    names.sort();
    Ok(names.into())
}

fn name(row: &Row) -> Option<String> {
    row.document.get("name").and_then(Value::as_str).map(ToOwned::to_owned)
}

/// The writes that bring the names of a certificate in line with the list it was given. `whole`: the certificate is
/// replaced, so that no list means no names.
pub(super) async fn names(
    documents: &Documents,
    def: &EntityDef,
    workspace: Uuid,
    certificate: Uuid,
    document: &mut Document,
    whole: bool,
) -> Result<Vec<Write>, ChangeError> {
    if !is(def) {
        return Ok(Vec::new());
    }
    let wanted: Vec<String> = match document.shift_remove(NAMES) {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
        _ if whole => Vec::new(),
        _ => return Ok(Vec::new()),
    };
    let Some(names) = documents.registry.get(NAMES) else { return Ok(Vec::new()) };
    check_distinct(&wanted)?;
    let (present, owners) = look_up(documents, names, workspace, certificate, wanted.clone()).await?;
    for (name, owner) in wanted.iter().zip(owners) {
        if let Some(other) = owner.filter(|owner| *owner != certificate) {
            return Err(fault(format!("{name} already associated with existing certificate '{other}'")));
        }
    }
    let mut writes = Vec::new();
    for row in present.iter().filter(|row| name(row).is_none_or(|name| !wanted.contains(&name))) {
        writes.push(Write::Delete { entity: NAMES.into(), workspace: row.workspace, id: row.id });
    }
    for name in wanted.iter().filter(|wanted| !present.iter().any(|row| name(row).as_ref() == Some(*wanted))) {
        writes.push(insertion(documents, names, workspace, certificate, name)?);
    }
    Ok(writes)
}

/// The certificate's names, and for each wanted one the certificate that has it.
async fn look_up(
    documents: &Documents,
    names: &Arc<EntityDef>,
    workspace: Uuid,
    certificate: Uuid,
    wanted: Vec<String>,
) -> Result<(Vec<Row>, Vec<Option<Uuid>>), StoreError> {
    let names = Arc::clone(names);
    let look = move |rows: &mut dyn Rows| {
        let present = rows.referrers(NAMES, "certificate", certificate)?;
        let mut owners = Vec::with_capacity(wanted.len());
        for name in &wanted {
            let address = Address::Key { field: "name".into(), value: name.as_str().into() };
            let row = find(rows, &names, workspace, &address)?;
            owners.push(row.and_then(|row| crate::row::uuid(row.document.get("certificate")?.get("id")?)));
        }
        Ok((present, owners))
    };
    documents.conductor.read(look).await
}

fn check_distinct(names: &[String]) -> Result<(), ChangeError> {
    let duplicate = names.iter().enumerate().find(|(at, name)| names.iter().take(*at).any(|earlier| earlier == *name));
    duplicate.map_or(Ok(()), |(_, name)| Err(fault(format!("{name} is duplicated"))))
}

fn fault(message: String) -> ChangeError {
    let mut faults = Faults::default();
    faults.insert(NAMES, message);
    faults.into()
}

fn insertion(
    documents: &Documents,
    def: &EntityDef,
    workspace: Uuid,
    certificate: Uuid,
    name: &str,
) -> Result<Write, ChangeError> {
    let mut sources = SystemSources::new();
    let mut circumstances = Circumstances { compat: documents.compat, sources: &mut sources, transform: true };
    let mut document = Document::new();
    document.insert("name".into(), name.into());
    document.insert("certificate".into(), json!({ "id": certificate.to_string() }));
    let document = def.insert(document, &mut circumstances)?;
    let id =
        document.get("id").and_then(crate::row::uuid).ok_or_else(|| StoreError::new("a name without identifier"))?;
    let document = Arc::new(Value::Object(document));
    Ok(Write::Put { entity: NAMES.into(), workspace, id, document, condition: Condition::Absent })
}

/// A certificate takes its names with it.
pub(super) async fn deletions(
    documents: &Documents,
    def: &EntityDef,
    certificate: Uuid,
) -> Result<Vec<Write>, StoreError> {
    if !is(def) {
        return Ok(Vec::new());
    }
    let names = documents.conductor.read(move |rows| rows.referrers(NAMES, "certificate", certificate)).await?;
    let delete = |row: Row| Write::Delete { entity: NAMES.into(), workspace: row.workspace, id: row.id };
    Ok(names.into_iter().map(delete).collect())
}
