//! Bodies: JSON, forms, multipart forms, and the text of a declarative file.

use bytes::Bytes;
use gibbon_schema::Record;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::form::Node;
use crate::{infer, multipart};

/// What a client sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Nothing,
    Json(Value),
    /// Names and texts; what they mean is up to a schema.
    Form(Node),
    /// YAML; only declarative files come so.
    Yaml(Vec<u8>),
}

impl Body {
    /// The body as fields of a record.
    ///
    /// # Errors
    /// JSON or YAML that holds no fields.
    pub fn fields(&self, record: &Record) -> Result<Map<String, Value>, Answer> {
        match self {
            Body::Form(form) => Ok(infer::record(record, form)),
            other => other.fields_as_sent(),
        }
    }

    /// As `fields`, with the texts of a form left as they are.
    ///
    /// # Errors
    /// JSON or YAML that holds no fields.
    pub fn fields_as_sent(&self) -> Result<Map<String, Value>, Answer> {
        match self {
            Body::Nothing => Ok(Map::new()),
            Body::Json(Value::Object(fields)) => Ok(fields.clone()),
            // An empty list is what some encoders make of an empty table.
            Body::Json(Value::Array(items)) if items.is_empty() => Ok(Map::new()),
            Body::Json(_) => Err(unreadable()),
            Body::Form(form) => Ok(infer::record(&Record::new(), form)),
            Body::Yaml(_) => Err(unsupported()),
        }
    }
}

fn unreadable() -> Answer {
    Answer::bad("Cannot parse JSON body")
}

fn unsupported() -> Answer {
    Answer::nothing(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// The body of a request; nothing for methods that carry none.
///
/// # Errors
/// Those of [`read`].
pub fn of(head: &http::request::Parts, bytes: Bytes, yaml: bool) -> Result<Body, Answer> {
    match head.method {
        Method::POST | Method::PUT | Method::PATCH => read(&head.headers, bytes.into(), yaml),
        // A few deletions say in their body what to delete; to the others it is nothing.
        Method::DELETE => Ok(read(&head.headers, bytes.into(), yaml).unwrap_or(Body::Nothing)),
        _ => Ok(Body::Nothing),
    }
}

/// Reads a body by its content type. `yaml` is allowed where declarative files are taken.
///
/// # Errors
/// 400 for what cannot be read, 415 for types that are not known.
pub fn read(headers: &HeaderMap, bytes: Vec<u8>, yaml: bool) -> Result<Body, Answer> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let content_type = types.next().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if types.next().is_some() {
        return Err(Answer::bad("Multiple Content-Type headers not allowed"));
    }
    let Some(content_type) = content_type else {
        return if bytes.is_empty() { Ok(Body::Nothing) } else { Err(unsupported()) };
    };
    let (kind, parameters) = content_type.split_once(';').unwrap_or((&content_type, ""));
    match kind.trim().to_ascii_lowercase().as_str() {
        "application/json" if bytes.is_empty() => Ok(Body::Nothing),
        "application/json" => serde_json::from_slice(&bytes).map(Body::Json).map_err(|_| unreadable()),
        "application/x-www-form-urlencoded" => {
            Node::from_urlencoded(&bytes).map(Body::Form).ok_or_else(|| Answer::bad("Cannot parse form body"))
        }
        "multipart/form-data" => {
            let parts =
                multipart::parse(&bytes, parameters).ok_or_else(|| Answer::bad("Cannot parse multipart body"))?;
            Ok(Body::Form(Node::from_pairs(parts)))
        }
        "application/yaml" | "text/yaml" if yaml => Ok(Body::Yaml(bytes)),
        _ if bytes.is_empty() => Ok(Body::Nothing),
        _ => Err(unsupported()),
    }
}
