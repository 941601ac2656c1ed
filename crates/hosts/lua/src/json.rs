//! Between JSON documents and Lua values, as cjson does it: null is a light userdata or nothing, an empty table is an
//! object unless it is marked as an array, whole numbers are written without a fraction.

use mlua::{Lua, Table, Value};
use serde_json::{Map, Number, Value as Json};

/// Nesting above which a document is refused: an attacker's brackets must not exhaust the stack.
const MAX_DEPTH: usize = 1000;
/// Named registry value: the metatable of arrays.
pub const ARRAY_METATABLE: &str = "gibbon.array_mt";

/// What becomes of null inside of tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// `cjson.null`, which is `ngx.null`.
    Kept,
    /// Absent.
    Dropped,
}

/// A document as a Lua value.
///
/// # Errors
/// Lua's memory is at its limit.
pub fn to_lua(lua: &Lua, value: &Json, nulls: Nulls) -> mlua::Result<Value> {
    Ok(match value {
        Json::Null if nulls == Nulls::Kept => Value::NULL,
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::Number(number) => Value::Number(number.as_f64().unwrap_or_default()),
        Json::String(text) => Value::String(lua.create_string(text)?),
        Json::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            let mut at = 0;
            for item in items {
                let item = to_lua(lua, item, nulls)?;
                if !item.is_nil() {
                    at += 1;
                    table.raw_set(at, item)?;
                }
            }
            Value::Table(table)
        }
        Json::Object(fields) => {
            let table = lua.create_table_with_capacity(0, fields.len())?;
            for (name, value) in fields {
                table.raw_set(name.as_str(), to_lua(lua, value, nulls)?)?;
            }
            Value::Table(table)
        }
    })
}

/// Marks every array of a decoded document, so that it is encoded as one even when it is empty.
///
/// # Errors
/// Lua's memory is at its limit.
pub fn to_lua_marked(lua: &Lua, value: &Json) -> mlua::Result<Value> {
    let array: Table = lua.named_registry_value(ARRAY_METATABLE)?;
    mark(lua, value, &array)
}

fn mark(lua: &Lua, value: &Json, array: &Table) -> mlua::Result<Value> {
    match value {
        Json::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (at, item) in items.iter().enumerate() {
                table.raw_set(at + 1, mark(lua, item, array)?)?;
            }
            table.set_metatable(Some(array.clone()))?;
            Ok(Value::Table(table))
        }
        Json::Object(fields) => {
            let table = lua.create_table_with_capacity(0, fields.len())?;
            for (name, value) in fields {
                table.raw_set(name.as_str(), mark(lua, value, array)?)?;
            }
            Ok(Value::Table(table))
        }
        other => to_lua(lua, other, Nulls::Kept),
    }
}

/// A Lua value as a document; text that is no UTF-8 has its bad bytes replaced.
///
/// # Errors
/// In cjson's words: what cannot be written, or is nested too deep.
pub fn from_lua(lua: &Lua, value: &Value) -> Result<Json, String> {
    let array = lua.named_registry_value::<Table>(ARRAY_METATABLE).ok();
    convert(value, array.as_ref(), 0)
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // whole below 2^53, checked
fn number(value: f64) -> Result<Json, String> {
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return Ok(Json::from(value as i64));
    }
    Number::from_f64(value)
        .map(Json::Number)
        .ok_or_else(|| "Cannot serialise number: must not be NaN or Infinity".to_owned())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[allow(clippy::cast_precision_loss)]
fn convert(value: &Value, array: Option<&Table>, depth: usize) -> Result<Json, String> {
    if depth > MAX_DEPTH {
        return Err(format!("Cannot serialise, excessive depth ({depth})"));
    }
    match value {
        Value::Nil => Ok(Json::Null),
        Value::Boolean(flag) => Ok(Json::Bool(*flag)),
        Value::Integer(whole) => Ok(Json::from(*whole)),
        Value::Number(float) => number(*float),
        Value::String(bytes) => Ok(Json::String(text(&bytes.as_bytes()))),
        Value::LightUserData(pointer) if pointer.0.is_null() => Ok(Json::Null),
        Value::Table(table) => table_of(table, array, depth),
        other => Err(format!("Cannot serialise {}: type not supported", other.type_name())),
    }
}

fn table_of(table: &Table, array: Option<&Table>, depth: usize) -> Result<Json, String> {
    let marked = table.metatable().is_some_and(|own| array.is_some_and(|array| own == *array));
    let length = table.raw_len();
    if marked || length > 0 {
        // A sequence with other keys beside it is an object in cjson's eyes.
        let mut keys = 0;
        let mut sequence = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, _) = pair.map_err(|e| e.to_string())?;
            keys += 1;
            sequence &= matches!(key, Value::Integer(_)) || matches!(key, Value::Number(n) if n.fract() == 0.0);
        }
        if marked || (sequence && keys == length) {
            let mut items = Vec::with_capacity(length);
            for at in 1..=length {
                let item = table.raw_get::<Value>(at).map_err(|e| e.to_string())?;
                items.push(convert(&item, array, depth + 1)?);
            }
            return Ok(Json::Array(items));
        }
    }
    let mut fields = Map::new();
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|e| e.to_string())?;
        let name = match &key {
            Value::String(name) => text(&name.as_bytes()),
            Value::Integer(whole) => whole.to_string(),
            Value::Number(float) => float.to_string(),
            _ => return Err("Cannot serialise table: table key must be a number or string".to_owned()),
        };
        fields.insert(name, convert(&value, array, depth + 1)?);
    }
    Ok(Json::Object(fields))
}
