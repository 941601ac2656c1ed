//! Reading error answers. Providers disagree on the shape, and a proxy in between may answer in its
//! place, so every shape is looked for, and a body in none of them still gives a failure. Such a
//! body is never quoted: it may be a page of HTML, or worse, an echo of the request.

use crate::canonical::{Failure, FailureKind};
use serde_json::Value;

/// A failure from an HTTP error answer.
pub(super) fn read(status: u16, body: &[u8]) -> Failure {
    serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|v| of_value(status, &v))
        .unwrap_or_else(|| Failure::new(status, format!("the provider answered with status {status}")))
}

/// A failure from an error object, as it stands in an error answer or in a stream.
pub(super) fn of_value(status: u16, value: &Value) -> Option<Failure> {
    // Gemini wraps the error in an array when it streams.
    let value = value.as_array().and_then(|a| a.first()).unwrap_or(value);
    let outer = value.as_object()?;
    let inner = outer.get("error").unwrap_or(value);
    let text = |v: &Value, key: &str| v.get(key).and_then(Value::as_str).map(str::to_owned);
    let message = match inner {
        Value::String(s) => Some(s.clone()),
        _ => text(inner, "message").or_else(|| text(inner, "Message")),
    };
    let message = message.or_else(|| detail(outer.get("detail")?))?;
    let kind = text(inner, "type").or_else(|| text(inner, "status")).or_else(|| text(inner, "__type"));
    let code = inner.get("code").and_then(|c| match c {
        Value::String(s) => Some(s.clone()),
        _ => None,
    });
    let mut failure = Failure::new(status, message);
    let word = kind.as_deref().or(code.as_deref());
    if let Some(known) = word.and_then(kind_of) {
        failure.kind = known;
    }
    failure.code = code.or_else(|| kind.filter(|_| outer.get("type") != Some(&Value::from("error"))));
    failure.param = text(inner, "param");
    failure.request_id = text(value, "request_id");
    Some(failure)
}

/// FastAPI's validation errors, as Mistral and vLLM pass them on.
fn detail(detail: &Value) -> Option<String> {
    match detail {
        Value::String(s) => Some(s.clone()),
        Value::Array(items) => {
            let texts: Vec<&str> = items.iter().filter_map(|i| i.get("msg").and_then(Value::as_str)).take(8).collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        }
        _ => None,
    }
}

/// The kind of failure a provider's word stands for.
pub(super) fn kind_of(word: &str) -> Option<FailureKind> {
    use FailureKind as K;
    Some(match word {
        "invalid_request_error"
        | "INVALID_ARGUMENT"
        | "FAILED_PRECONDITION"
        | "ValidationException"
        | "validationException" => K::InvalidRequest,
        "authentication_error" | "UNAUTHENTICATED" | "UnrecognizedClientException" | "invalid_api_key" => {
            K::Authentication
        }
        "permission_error" | "PERMISSION_DENIED" | "AccessDeniedException" | "billing_error" => K::Permission,
        "not_found_error" | "NOT_FOUND" | "ResourceNotFoundException" | "model_not_found" => K::NotFound,
        "request_too_large" => K::TooLarge,
        "rate_limit_error"
        | "rate_limit_exceeded"
        | "insufficient_quota"
        | "tokens"
        | "requests"
        | "RESOURCE_EXHAUSTED"
        | "ThrottlingException"
        | "throttlingException"
        | "ServiceQuotaExceededException" => K::RateLimit,
        "overloaded_error"
        | "UNAVAILABLE"
        | "ServiceUnavailableException"
        | "serviceUnavailableException"
        | "ModelNotReadyException" => K::Overloaded,
        "timeout_error" | "DEADLINE_EXCEEDED" | "ModelTimeoutException" | "modelTimeoutException" => K::Timeout,
        "api_error"
        | "server_error"
        | "INTERNAL"
        | "InternalServerException"
        | "internalServerException"
        | "ModelErrorException"
        | "ModelStreamErrorException"
        | "modelStreamErrorException" => K::Server,
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn every_known_shape_gives_its_message() {
        for body in [
            r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"nope"}}"#,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"},"request_id":"r"}"#,
            r#"{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}"#,
            r#"[{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}]"#,
            r#"{"message":"no"}"#,
            r#"{"error":"no"}"#,
            r#"{"object":"error","message":"no","type":"BadRequestError","code":400}"#,
            r#"{"detail":[{"loc":["body"],"msg":"no","type":"missing"}]}"#,
            r#"{"detail":"no"}"#,
        ] {
            let f = read(400, body.as_bytes());
            assert_eq!((f.message.as_str(), f.kind), ("no", FailureKind::InvalidRequest), "{body}");
        }
    }

    #[test]
    fn a_page_is_not_quoted() {
        let f = read(502, b"<html>secret</html>");
        assert_eq!(f.message, "the provider answered with status 502");
        assert_eq!(f.kind, FailureKind::Server);
    }

    #[test]
    fn the_word_decides_over_the_status() {
        let f = read(200, br#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#);
        assert_eq!(f.kind, FailureKind::Overloaded);
    }
}
