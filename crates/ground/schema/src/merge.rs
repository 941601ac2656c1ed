//! Laying changes over a stored entity (PATCH): records field by field, everything else replaced.

use serde_json::{Map, Value};

use crate::{field::Kind, record::Record};

impl Record {
    /// `base` with `changes` laid over it. Fields are those of this schema; unknown fields of `changes` are kept, so
    /// that validation can name them.
    pub fn merge(&self, base: &Map<String, Value>, changes: Map<String, Value>) -> Map<String, Value> {
        let subschema = self.subschema_for(&changes).or_else(|| self.subschema_for(base));
        let mut merged = base.clone();
        for (name, change) in changes {
            let field = subschema.as_deref().and_then(|s| s.get(&name)).or_else(|| self.get(&name));
            let inner = match field.map(|f| &f.kind) {
                Some(Kind::Record(record)) => Some(record),
                _ => None,
            };
            match (inner, merged.get_mut(&name), change) {
                (Some(record), Some(Value::Object(present)), Value::Object(changes)) => {
                    *present = record.merge(present, changes);
                }
                (_, Some(present), change) => *present = change,
                (_, None, change) => {
                    merged.insert(name, change);
                }
            }
        }
        merged
    }
}
