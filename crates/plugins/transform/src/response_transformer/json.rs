//! The JSON part of the changes.

use serde_json::{Map, Value};

use super::config::{Config, Values};
use crate::pair;

/// Changes of a JSON object, parsed once.
#[derive(Debug, Default)]
pub struct Changes {
    remove: Vec<String>,
    rename: Vec<(String, String)>,
    replace: Vec<(String, Value)>,
    add: Vec<(String, Value)>,
    append: Vec<(String, Value)>,
}

impl Changes {
    pub fn new(c: &Config) -> Self {
        let renames = c.rename.json.iter().map(|p| pair::split(p)).map(|(a, b)| (a.to_owned(), b.to_owned()));
        Changes {
            remove: c.remove.json.clone(),
            rename: renames.collect(),
            replace: typed(&c.replace),
            add: typed(&c.add),
            append: typed(&c.append),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.rename.is_empty()
            && self.replace.is_empty()
            && self.add.is_empty()
            && self.append.is_empty()
    }

    /// The body after the changes; `None` if it is no JSON object.
    #[must_use]
    pub fn apply(&self, body: &[u8]) -> Option<Vec<u8>> {
        let Value::Object(mut object) = serde_json::from_slice(body).ok()? else { return None };
        self.change(&mut object);
        serde_json::to_vec(&Value::Object(object)).ok()
    }

    fn change(&self, object: &mut Map<String, Value>) {
        for name in &self.remove {
            object.shift_remove(name);
        }
        for (old, new) in &self.rename {
            if let Some(value) = object.shift_remove(old) {
                object.insert(new.clone(), value);
            }
        }
        for (name, value) in &self.replace {
            if let Some(place) = object.get_mut(name) {
                *place = value.clone();
            }
        }
        for (name, value) in &self.add {
            object.entry(name.clone()).or_insert_with(|| value.clone());
        }
        for (name, value) in &self.append {
            let place = object.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
            if !place.is_array() {
                *place = Value::Array(vec![place.take()]);
            }
            if let Some(list) = place.as_array_mut() {
                list.push(value.clone());
            }
        }
    }
}

/// Values with their types: text unless `json_types` says otherwise.
fn typed(values: &Values) -> Vec<(String, Value)> {
    let types = values.json_types.iter().map(|t| Some(t.as_str())).chain(std::iter::repeat(None));
    values
        .json
        .iter()
        .map(|p| pair::split(p))
        .zip(types)
        .map(|((name, text), kind)| (name.to_owned(), cast(text, kind)))
        .collect()
}

fn cast(text: &str, kind: Option<&str>) -> Value {
    match kind {
        Some("boolean") => Value::Bool(text == "true"),
        Some("number") => {
            let whole = text.parse::<i64>().ok().map(Value::from);
            whole.or_else(|| text.parse::<f64>().ok().map(Value::from)).unwrap_or_else(|| Value::from(text))
        }
        _ => Value::from(text),
    }
}
