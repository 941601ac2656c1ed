//! Lists: size, offset and tags of a query, and the page that answers it.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use gibbon_model::EntityDef;
use gibbon_schema::validators;
use gibbon_store::{Query, Tags, workspace_of};
use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::answer::{Answer, Content};
use crate::call::{Arguments, Call};
use crate::rbac::Action;
use crate::{Admin, failure};

const DEFAULT_SIZE: usize = 100;
const MAX_SIZE: usize = 1000;
const MAX_TAGS: usize = 5;

/// With or without padding, as clients keep it.
const OFFSETS: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What part of a list is wanted.
#[derive(Clone, Debug)]
pub struct Window {
    pub size: usize,
    pub after: Option<Uuid>,
    pub tags: Tags,
}

impl Window {
    /// From the arguments of a call. A node without a datastore takes any offset and finds nothing behind a wrong one.
    ///
    /// # Errors
    /// Arguments that cannot be used.
    pub fn of(arguments: &Arguments, lenient: bool) -> Result<Window, Answer> {
        let after = match arguments.get("offset") {
            None => None,
            Some(text) => Some(match decode(text) {
                Some(id) => id,
                None if lenient => Uuid::max(),
                None => return Err(failure::invalid_offset(text)),
            }),
        };
        Ok(Window { size: size(arguments)?, after, tags: tags(arguments.get("tags"))? })
    }
}

fn size(arguments: &Arguments) -> Result<usize, Answer> {
    let Some(text) = arguments.get("size") else { return Ok(DEFAULT_SIZE) };
    let Ok(number) = text.parse::<f64>() else { return Err(failure::invalid_size("size must be a number")) };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    // within the range that is checked
    if number.fract() == 0.0 && (1.0..=MAX_SIZE as f64).contains(&number) {
        Ok(number as usize)
    } else {
        Err(failure::invalid_size(&format!("size must be an integer between 1 and {MAX_SIZE}")))
    }
}

fn tags(text: Option<&str>) -> Result<Tags, Answer> {
    let Some(text) = text else { return Ok(Tags::Whatever) };
    let fault = |message: &str| failure::invalid_options(json!({ "tags": message }));
    if text.is_empty() {
        return Err(fault("cannot be null"));
    }
    let separators = (text.contains(','), text.contains('/'));
    if separators == (true, true) {
        return Err(fault("invalid filter syntax"));
    }
    let list: Vec<String> = text.split([',', '/']).map(ToOwned::to_owned).collect();
    if list.len() > MAX_TAGS {
        return Err(fault(&format!("cannot query more than {MAX_TAGS} tags")));
    }
    if list.iter().any(|tag| tag.is_empty() || validators::tag(&Value::from(tag.as_str())).is_err()) {
        return Err(fault("must only contain printable ascii (except `,` and `/`) or valid utf-8"));
    }
    Ok(if separators.1 { Tags::Any(list) } else { Tags::All(list) })
}

fn encode(id: Uuid) -> String {
    OFFSETS.encode(format!("[\"{id}\"]"))
}

fn decode(offset: &str) -> Option<Uuid> {
    let json = OFFSETS.decode(offset).ok()?;
    let key: Vec<String> = serde_json::from_slice(&json).ok()?;
    key.first().and_then(|id| Uuid::parse_str(id).ok())
}

/// A list of one kind, and what is wanted of it.
struct Listed<'a> {
    def: &'a Arc<EntityDef>,
    window: Window,
    query: Query,
    /// Whether it is of one parent's children.
    nested: bool,
}

/// What of a kind is wanted; of one parent's children if it is given as field and identifier.
fn listed<'a>(
    admin: &Admin,
    call: &Call,
    def: &'a Arc<EntityDef>,
    parent: Option<(&str, Uuid)>,
) -> Result<Listed<'a>, Answer> {
    let window = Window::of(&call.arguments, admin.documents.conductor.is_declarative())?;
    if window.tags != Tags::Whatever && def.record.get("tags").is_none() {
        return Err(failure::invalid_options(json!({"tags": "cannot be used with this entity"})));
    }
    let query = Query {
        entity: def.name.as_ref().into(),
        workspace: Some(workspace_of(def, call.workspace)),
        parent: parent.map(|(field, id)| (field.into(), id)),
        tags: window.tags.clone(),
        after: window.after,
        limit: window.size + 1,
    };
    Ok(Listed { def, window, query, nested: parent.is_some() })
}

/// A list of one kind; of one parent's children if it is given as field and identifier.
pub async fn list(
    admin: &Admin,
    call: &Call,
    def: &Arc<EntityDef>,
    path: &str,
    parent: Option<(&str, Uuid)>,
) -> Answer {
    let Listed { def, window, query, nested } = match listed(admin, call, def, parent) {
        Ok(listed) => listed,
        Err(answer) => return answer,
    };
    let mut rows = match admin.documents.page_texts(def, query).await {
        Ok(rows) => rows,
        Err(error) => return failure::of_store(&error),
    };
    let next = trim(call, path, &window, &mut rows, nested, workspace_of(def, call.workspace));
    Answer { status: StatusCode::OK, content: Content::Written(written(&rows, &next)), headers: Vec::new() }
}

/// As [`list`], for callers that look into it.
pub async fn list_values(admin: &Admin, call: &Call, def: &Arc<EntityDef>, path: &str) -> Result<Value, Answer> {
    let Listed { def, window, query, .. } = listed(admin, call, def, None)?;
    let rows = admin.documents.page(def, query).await.map_err(|error| failure::of_store(&error))?;
    Ok(page(call, path, &window, rows, false, workspace_of(def, call.workspace)))
}

/// A page of rows that are JSON already.
fn written(rows: &[(Uuid, String)], next: &Map<String, Value>) -> String {
    let mut text = String::with_capacity(rows.iter().map(|(_, row)| row.len() + 1).sum::<usize>() + 1024);
    text.push_str(r#"{"data":["#);
    for (number, (_, row)) in rows.iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        text.push_str(row);
    }
    text.push(']');
    for (name, value) in next {
        let _ = write!(text, ",\"{name}\":{value}");
    }
    text.push('}');
    text
}

/// A page of values that says where the next begins.
pub fn page(
    call: &Call,
    path: &str,
    window: &Window,
    mut rows: Vec<(Uuid, Value)>,
    nested: bool,
    workspace: Uuid,
) -> Value {
    let next = trim(call, path, window, &mut rows, nested, workspace);
    let data: Vec<Value> = rows.into_iter().map(|(_, value)| value).collect();
    let mut page = Map::new();
    page.insert("data".into(), data.into());
    page.extend(next);
    Value::Object(page)
}

/// Turns one row more than wanted into a page, and says where the next begins. What the caller may not see is left out;
/// such a page is shorter.
fn trim<T>(
    call: &Call,
    path: &str,
    window: &Window,
    rows: &mut Vec<(Uuid, T)>,
    nested: bool,
    workspace: Uuid,
) -> Map<String, Value> {
    let more = rows.len() > window.size;
    rows.truncate(window.size);
    let offset = rows.last().filter(|_| more).map(|(id, _)| encode(*id));
    rows.retain(|(id, _)| call.may(workspace, *id, Action::Read));
    let mut told = Map::new();
    match offset {
        None => told.insert("next".into(), Value::Null),
        Some(offset) => {
            let mut next = format!("{path}?offset={offset}");
            for name in ["tags", "size"].into_iter().filter(|_| !nested) {
                if let Some(value) = call.arguments.get(name) {
                    next.push_str(&format!("&{name}={}", escaped(value)));
                }
            }
            told.insert("next".into(), next.into());
            told.insert("offset".into(), offset.into())
        }
    };
    told
}

/// A value of a query, so that it reads as itself again.
fn escaped(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_the_key_of_the_last_row() {
        let id = Uuid::parse_str("10000000-0000-4000-8000-000000000002").unwrap();
        assert_eq!(encode(id), "WyIxMDAwMDAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDIiXQ");
        assert_eq!(decode(&encode(id)), Some(id));
        assert_eq!(decode("nonsense"), None);
    }

    #[test]
    fn what_is_wrong_with_an_offset_is_told() {
        for (offset, encoding) in
            [("nonsense", "json"), ("", "json"), ("bm9uc2Vuc2U=", "json"), ("%%", "base64"), ("a", "base64")]
        {
            let wanted = json!({
                "code": 7, "name": "invalid offset", "message": format!("'{offset}' is not a valid offset: bad {encoding} encoding"),
            });
            assert_eq!(failure::invalid_offset(offset).content, Content::Json(wanted));
        }
    }

    #[test]
    fn tags_are_all_wanted_or_any() {
        assert_eq!(tags(Some("a,b")).unwrap(), Tags::All(vec!["a".into(), "b".into()]));
        assert_eq!(tags(Some("a/b")).unwrap(), Tags::Any(vec!["a".into(), "b".into()]));
        for bad in ["", "a,b/c", "1,2,3,4,5,6", "a,"] {
            assert!(tags(Some(bad)).is_err(), "{bad}");
        }
    }
}
