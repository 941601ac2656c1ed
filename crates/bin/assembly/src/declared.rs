//! A declarative configuration put in force: read, checked, and turned into the changes that lead from
//! what was in force to what it says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use gibbon_declare::{Declared, Loader, load};
use gibbon_model::{DEFAULT_WORKSPACE_ID, Registry};
use gibbon_pdk::Random;
use gibbon_plan::{Change, Funnel};
use gibbon_schema::Compat;
use serde_json::Value;
use uuid::Uuid;

use crate::registry::Fresh;

/// Entities in force by kind and id.
type InForce = HashMap<(Arc<str>, Uuid), Arc<Value>>;

/// Reads declarative texts and keeps what is in force.
pub struct Declarative {
    pub registry: Arc<Registry>,
    funnel: Arc<Funnel>,
    random: Arc<dyn Random>,
    in_force: Mutex<InForce>,
}

impl Declarative {
    pub fn new(registry: Arc<Registry>, funnel: Arc<Funnel>, random: Arc<dyn Random>) -> Self {
        Declarative { registry, funnel, random, in_force: Mutex::default() }
    }

    /// Replaces the whole configuration; a refused text changes nothing.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn replace(&self, text: &[u8]) -> anyhow::Result<Declared> {
        let mut sources = Fresh(&*self.random);
        let mut loader = Loader { registry: &self.registry, compat: Compat::default(), sources: &mut sources };
        let declared = load(text, &mut loader)?;
        let next = entities(&declared);
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = difference(&in_force, &next, &self.registry)?;
        self.funnel.apply(&changes, Some(declared.hash.as_str().into()))?;
        *in_force = next;
        Ok(declared)
    }
}

fn entities(declared: &Declared) -> InForce {
    let mut all = InForce::new();
    for (kind, documents) in &declared.entities {
        let kind: Arc<str> = kind.as_str().into();
        for document in documents {
            let document = Value::Object(document.clone());
            if let Some(id) = gibbon_plan::document_id(&document) {
                all.insert((Arc::clone(&kind), id), Arc::new(document));
            }
        }
    }
    all
}

/// Deletions first, children before parents; then what is new or different, parents first.
fn difference(old: &InForce, new: &InForce, registry: &Registry) -> anyhow::Result<Vec<Change>> {
    let workspace = Uuid::parse_str(DEFAULT_WORKSPACE_ID).context("the default workspace")?;
    let order: HashMap<&str, usize> = registry.iter().enumerate().map(|(at, def)| (def.name.as_ref(), at)).collect();
    let place = |kind: &str| order.get(kind).copied().unwrap_or(usize::MAX);
    let change = |key: &(Arc<str>, Uuid), before: Option<&Arc<Value>>, after: Option<&Arc<Value>>| Change {
        entity: Arc::clone(&key.0),
        id: key.1,
        workspace,
        before: before.cloned(),
        after: after.cloned(),
    };
    let mut gone: Vec<Change> =
        old.iter().filter(|(k, _)| !new.contains_key(*k)).map(|(k, v)| change(k, Some(v), None)).collect();
    gone.sort_by_key(|c| (std::cmp::Reverse(place(&c.entity)), c.id));
    let differs = |k: &(Arc<str>, Uuid), v: &Arc<Value>| old.get(k).is_none_or(|before| before != v);
    let mut put: Vec<Change> =
        new.iter().filter(|(k, v)| differs(k, v)).map(|(k, v)| change(k, old.get(k), Some(v))).collect();
    put.sort_by_key(|c| (place(&c.entity), c.id));
    gone.append(&mut put);
    Ok(gone)
}
