//! OpenAI's embeddings.

use crate::canonical::{EmbeddingEncoding, EmbeddingInput, EmbeddingRequest, EmbeddingResponse, Extra, Usage};
use crate::dialect::{Dialect, Encoded, Notes, Reply, Target};
use crate::json::{Fields, Path};
use crate::{Error, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

const INPUT: &str = "a string, an array of strings, or token ids";

/// Reads a request.
pub(in crate::dialect) fn read_request(body: &[u8]) -> Result<EmbeddingRequest> {
    let mut f = Fields::parse(body, "request body")?;
    let input = match f.take("input") {
        Some(value) => read_input(value, f.path("input"))?,
        None => return Err(f.must_be("input", INPUT)),
    };
    let encoding = match f.string("encoding_format")?.as_deref() {
        None => None,
        Some("float") => Some(EmbeddingEncoding::Float),
        Some("base64") => Some(EmbeddingEncoding::Base64),
        Some(_) => return Err(f.must_be("encoding_format", "float or base64")),
    };
    Ok(EmbeddingRequest {
        model: f.string("model")?.unwrap_or_default(),
        input,
        dimensions: f.integer("dimensions")?,
        encoding,
        user: f.string("user")?,
        extra: Extra::new(Dialect::OpenAiChat, f.rest()),
        ..EmbeddingRequest::default()
    })
}

fn read_input(value: Value, path: Path<'_>) -> Result<Vec<EmbeddingInput>> {
    let tokens = |items: &[Value]| items.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>();
    match value {
        Value::String(s) => Ok(vec![EmbeddingInput::Text(s)]),
        Value::Array(items) if items.first().is_some_and(Value::is_number) => {
            let ids = tokens(&items).ok_or_else(|| path.must_be(INPUT))?;
            Ok(vec![EmbeddingInput::Tokens(ids)])
        }
        Value::Array(items) if !items.is_empty() => items
            .into_iter()
            .map(|item| match item {
                Value::String(s) => Ok(EmbeddingInput::Text(s)),
                Value::Array(ids) => tokens(&ids).map(EmbeddingInput::Tokens).ok_or_else(|| path.must_be(INPUT)),
                _ => Err(path.must_be(INPUT)),
            })
            .collect(),
        _ => Err(path.must_be(INPUT)),
    }
}

/// Writes a request.
pub(in crate::dialect) fn write_request(request: &EmbeddingRequest, target: &Target) -> Result<Encoded> {
    let mut notes = Notes::new(Dialect::OpenAiChat, target.leniency);
    let mut body = Map::new();
    body.insert("model".into(), request.model.as_str().into());
    let mut items: Vec<Value> = request
        .input
        .iter()
        .map(|i| match i {
            EmbeddingInput::Text(t) => t.as_str().into(),
            EmbeddingInput::Tokens(ids) => ids.clone().into(),
        })
        .collect();
    let input = if items.len() == 1 { items.remove(0) } else { items.into() };
    body.insert("input".into(), input);
    if let Some(n) = request.dimensions {
        body.insert("dimensions".into(), n.into());
    }
    match request.encoding {
        None => {}
        Some(EmbeddingEncoding::Float) => drop(body.insert("encoding_format".into(), "float".into())),
        Some(EmbeddingEncoding::Base64) => drop(body.insert("encoding_format".into(), "base64".into())),
    }
    if let Some(user) = &request.user {
        body.insert("user".into(), user.as_str().into());
    }
    if request.task.is_some() {
        notes.hint("the task of an embedding")?;
    }
    if request.normalize.is_some() {
        notes.hint("normalisation of an embedding")?;
    }
    notes.extra(&request.extra, &[], &mut body)?;
    Ok(notes.done(body))
}

/// Reads an answer, its vectors written either way.
pub(in crate::dialect) fn read_response(body: &[u8]) -> Result<EmbeddingResponse> {
    let mut f = Fields::parse(body, "answer of the provider")?;
    let vectors = f.each("data", |mut d| {
        let at = d.take("index").and_then(|i| i.as_u64());
        match d.take("embedding") {
            Some(Value::String(s)) => from_base64(&s).map(|v| (at, v)),
            Some(Value::Array(a)) => floats(&a).map(|v| (at, v)),
            _ => None,
        }
        .ok_or_else(|| d.must_be("embedding", "an array of numbers"))
    })?;
    let mut vectors = vectors.ok_or_else(|| f.must_be("data", "an array"))?;
    vectors.sort_by_key(|(at, _)| *at);
    let usage = f.take("usage").map(|u| Usage::new(u.get("prompt_tokens").and_then(Value::as_u64).unwrap_or(0), 0));
    Ok(EmbeddingResponse {
        model: f.lenient_string("model"),
        vectors: vectors.into_iter().map(|(_, v)| v).collect(),
        usage,
    })
}

/// Writes an answer.
pub(in crate::dialect) fn write_response(
    response: &EmbeddingResponse,
    request: &EmbeddingRequest,
    reply: &Reply,
) -> Vec<u8> {
    let base64 = request.encoding == Some(EmbeddingEncoding::Base64);
    let data: Vec<Value> = response
        .vectors
        .iter()
        .enumerate()
        .map(|(i, v)| {
            let vector = if base64 { to_base64(v).into() } else { numbers(v) };
            json!({"object": "embedding", "index": i, "embedding": vector})
        })
        .collect();
    let usage = response.usage.unwrap_or_default();
    let model = response.model.as_deref().unwrap_or(&reply.model);
    json!({
        "object": "list", "data": data, "model": model,
        "usage": {"prompt_tokens": usage.input, "total_tokens": usage.total()},
    })
    .to_string()
    .into_bytes()
}

/// An array of JSON numbers as a vector.
pub(in crate::dialect) fn floats(items: &[Value]) -> Option<Vec<f32>> {
    items.iter().map(|n| n.as_f64().map(|f| f as f32)).collect()
}

/// A vector as JSON numbers, each as short as an `f32` allows.
fn numbers(vector: &[f32]) -> Value {
    // Through text: widening 0.1f32 to f64 would print sixteen digits of noise.
    vector.iter().map(|f| serde_json::from_str::<Value>(&format!("{f:?}")).unwrap_or(Value::Null)).collect()
}

fn to_base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|f| f.to_le_bytes()).collect();
    BASE64_STANDARD.encode(bytes)
}

fn from_base64(text: &str) -> Option<Vec<f32>> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    let (chunks, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| chunks.iter().map(|c| f32::from_le_bytes(*c)).collect())
}

/// The texts of a request, for targets that take no token ids.
pub(in crate::dialect) fn texts(request: &EmbeddingRequest, target: Dialect) -> Result<Vec<&str>> {
    request
        .input
        .iter()
        .map(|i| match i {
            EmbeddingInput::Text(t) => Ok(t.as_str()),
            EmbeddingInput::Tokens(_) => {
                Err(Error::Unsupported { target, what: "token ids as input of an embedding".to_owned() })
            }
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn all_four_shapes_of_input_are_read() {
        let read = |s: &str| read_request(format!(r#"{{"model":"m","input":{s}}}"#).as_bytes()).map(|r| r.input);
        let text = |t: &str| EmbeddingInput::Text(t.to_owned());
        assert_eq!(read(r#""a""#).unwrap(), [text("a")]);
        assert_eq!(read(r#"["a","b"]"#).unwrap(), [text("a"), text("b")]);
        assert_eq!(read("[1,2]").unwrap(), [EmbeddingInput::Tokens(vec![1, 2])]);
        assert_eq!(read("[[1],[2]]").unwrap().len(), 2);
        for bad in ["[]", "5", "[1,\"a\"]", "{}", "[-1]"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn vectors_survive_both_encodings() {
        let vectors = vec![vec![0.1f32, -2.5, 3.0e-8], vec![]];
        let response = EmbeddingResponse { model: Some("m".into()), vectors, usage: Some(Usage::new(3, 0)) };
        for encoding in [EmbeddingEncoding::Float, EmbeddingEncoding::Base64] {
            let request = EmbeddingRequest { encoding: Some(encoding), ..EmbeddingRequest::default() };
            let body = write_response(&response, &request, &Reply::default());
            assert_eq!(read_response(&body).unwrap(), response);
        }
    }

    #[test]
    fn vectors_out_of_order_are_sorted() {
        let body = br#"{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1]}]}"#;
        assert_eq!(read_response(body).unwrap().vectors, [vec![1.0], vec![2.0]]);
    }
}
