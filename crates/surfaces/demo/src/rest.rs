//! REST echo: a JSON description of the request as it arrived, so that one sees what the gateway made of it.

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use crate::serve::{Answer, text, whole};

/// Larger bodies are refused: the echo holds a body whole.
const MAX_BODY: usize = 1 << 20;

pub(crate) async fn answer(request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the body broke off or is larger than 1 MiB\n");
    };
    let description = json!({
        "backend": "rest",
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "version": format!("{:?}", head.version),
        "headers": headers(&head.headers),
        "body": String::from_utf8_lossy(&body.to_bytes()),
    });
    let mut answer = Response::new(whole(format!("{description:#}\n")));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// Header fields by name; a name that came more than once has an array.
fn headers(map: &HeaderMap) -> Value {
    let mut out = Map::new();
    for name in map.keys() {
        let mut values: Vec<Value> =
            map.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into()).collect();
        let value = if values.len() == 1 { values.swap_remove(0) } else { Value::Array(values) };
        out.insert(name.as_str().to_owned(), value);
    }
    Value::Object(out)
}
