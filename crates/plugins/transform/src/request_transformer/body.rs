//! The body's part of the changes: forms, JSON objects and simple multipart forms; other bodies pass untouched.

use serde_json::{Map, Value};

use super::query::Arguments;
use crate::multipart::{self, Field};

/// Changes of one part of a request, with values filled in for this request.
#[derive(Debug, Default)]
pub struct Changes {
    pub remove: Vec<String>,
    pub rename: Vec<(String, String)>,
    pub replace: Vec<(String, String)>,
    pub add: Vec<(String, String)>,
    pub append: Vec<(String, String)>,
}

impl Changes {
    /// Applies the changes to arguments, in Kong's order.
    pub fn apply_to_arguments(&self, all: &mut Arguments) {
        self.remove.iter().for_each(|name| all.remove(name));
        self.rename.iter().for_each(|(old, new)| all.rename(old, new));
        for (name, value) in &self.replace {
            if all.has(name) {
                all.set(name, value.clone());
            }
        }
        for (name, value) in &self.add {
            if !all.has(name) {
                all.set(name, value.clone());
            }
        }
        self.append.iter().for_each(|(name, value)| all.append(name, value.clone()));
    }

    fn apply_to_object(&self, object: &mut Map<String, Value>) {
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
                *place = Value::from(value.as_str());
            }
        }
        for (name, value) in &self.add {
            object.entry(name.clone()).or_insert_with(|| Value::from(value.as_str()));
        }
        for (name, value) in &self.append {
            let place = object.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
            if !place.is_array() {
                *place = Value::Array(vec![place.take()]);
            }
            if let Some(list) = place.as_array_mut() {
                list.push(Value::from(value.as_str()));
            }
        }
    }
}

/// The body after the changes; `None` leaves it as it is.
#[must_use]
pub fn transform(changes: &Changes, content_type: &str, body: &[u8]) -> Option<Vec<u8>> {
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media.as_str() {
        "application/json" => json(changes, body),
        "application/x-www-form-urlencoded" => {
            let mut all = Arguments::parse(body);
            changes.apply_to_arguments(&mut all);
            Some(all.encode(true))
        }
        "multipart/form-data" => multipart(changes, multipart::boundary(content_type)?, body),
        _ => None,
    }
}

/// An object, or nothing at all, which counts as an empty one.
fn json(changes: &Changes, body: &[u8]) -> Option<Vec<u8>> {
    let mut object = if body.is_empty() {
        Map::new()
    } else {
        match serde_json::from_slice(body).ok()? {
            Value::Object(object) => object,
            _ => return None,
        }
    };
    changes.apply_to_object(&mut object);
    serde_json::to_vec(&Value::Object(object)).ok()
}

fn multipart(changes: &Changes, boundary: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut fields = multipart::fields(boundary, body)?;
    for (old, new) in &changes.rename {
        if let Some(field) = fields.iter_mut().find(|f| f.name == *old) {
            field.name.clone_from(new);
            field.head = head_of(new);
        }
    }
    fields.retain(|f| !changes.remove.contains(&f.name));
    for (name, value) in &changes.replace {
        if let Some(field) = fields.iter_mut().find(|f| f.name == *name) {
            field.value = value.clone().into_bytes();
        }
    }
    for (name, value) in &changes.add {
        if !fields.iter().any(|f| f.name == *name) {
            fields.push(Field { name: name.clone(), head: head_of(name), value: value.clone().into_bytes() });
        }
    }
    let mut out = Vec::with_capacity(body.len());
    for field in &fields {
        out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        out.extend_from_slice(&field.head);
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(&field.value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Some(out)
}

/// A quote or a line break in a name would end it; neither may.
fn head_of(name: &str) -> Vec<u8> {
    let safe: String = name.chars().filter(|c| !matches!(c, '"' | '\r' | '\n')).collect();
    format!("Content-Disposition: form-data; name=\"{safe}\"").into_bytes()
}
