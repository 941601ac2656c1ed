//! Messages in JSON. Names are those of the definition, unset plain fields show their defaults, 64-bit numbers are
//! numbers. Fields that a message does not have are passed over, as in Kong.

use prost_reflect::prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions};
use serde_json::{Map, Value};

/// Reads JSON. The reader's own bound on depth answers documents that nest without end.
pub fn decode_json(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("decode json err: {error}"))
}

/// A message of this type, encoded, from its form in JSON.
pub fn read_json(of: &MessageDescriptor, value: Value) -> Result<Vec<u8>, String> {
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let message = DynamicMessage::deserialize_with_options(of.clone(), value, &options);
    message.map(|message| message.encode_to_vec()).map_err(|error| error.to_string())
}

/// The JSON of an encoded message. The decoder bounds how deep messages may nest.
pub fn write_json(of: &MessageDescriptor, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let message = DynamicMessage::decode(of.clone(), bytes).map_err(|error| error.to_string())?;
    let options =
        SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false).stringify_64_bit_integers(false);
    let mut out = Vec::with_capacity(bytes.len() * 2 + 16);
    let mut writer = serde_json::Serializer::new(&mut out);
    message.serialize_with_options(&mut writer, &options).map_err(|error| error.to_string())?;
    Ok(out)
}

/// Puts texts (of a path, of a query) where dotted names say. A later text of a repeated field is added to it; a name
/// that leads nowhere is passed over, and so is one whose way is taken by something else.
pub fn fields_of<'a>(of: &MessageDescriptor, texts: impl IntoIterator<Item = (&'a str, String)>) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, text) in texts {
        put(&mut out, of, name, text);
    }
    out
}

fn put(into: &mut Map<String, Value>, of: &MessageDescriptor, name: &str, text: String) {
    let (head, rest) = name.split_once('.').map_or((name, None), |(head, rest)| (head, Some(rest)));
    let Some(field) = of.get_field_by_name(head).or_else(|| of.get_field_by_json_name(head)) else { return };
    match (rest, field.kind()) {
        (Some(rest), Kind::Message(inner)) if !field.is_list() && !field.is_map() => {
            let inside = into.entry(field.name().to_owned()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inside) = inside {
                put(inside, &inner, rest, text);
            }
        }
        (Some(_), _) => {}
        (None, _) if field.is_map() => {}
        (None, _) if field.is_list() => {
            let list = into.entry(field.name().to_owned()).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(scalar(&field, text));
            }
        }
        (None, _) => {
            into.insert(field.name().to_owned(), scalar(&field, text));
        }
    }
}

/// Truth is the one thing that JSON never writes as a text; numbers and names of enumerations may be texts.
fn scalar(field: &FieldDescriptor, text: String) -> Value {
    match (field.kind(), text.as_str()) {
        (Kind::Bool, "true" | "1") => Value::Bool(true),
        (Kind::Bool, "false" | "0") => Value::Bool(false),
        (Kind::Enum(_), number) if number.parse::<i32>().is_ok() => {
            number.parse::<i32>().map_or(Value::Null, Value::from)
        }
        _ => Value::String(text),
    }
}
