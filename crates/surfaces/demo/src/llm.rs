//! Two providers of language models in one backend: `/openai` speaks OpenAI's chat format and is out of capacity at
//! every second request, `/anthropic` speaks Anthropic's messages. Both repeat the last thing that was said to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::serve::{Answer, text, whole};

/// Larger prompts are refused: a prompt is held whole.
const MAX_PROMPT: usize = 1 << 20;

/// How often each provider was asked.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    openai: AtomicU64,
}

pub(crate) async fn answer(request: Request<Incoming>, asked: Arc<Asked>) -> Answer {
    let path = request.uri().path().to_owned();
    let Ok(body) = Limited::new(request.into_body(), MAX_PROMPT).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the prompt broke off or is larger than 1 MiB\n");
    };
    let Ok(prompt) = serde_json::from_slice::<Value>(&body.to_bytes()) else {
        return text(StatusCode::BAD_REQUEST, "a prompt is JSON\n");
    };
    let streams = prompt["stream"] == true;
    match path.as_str() {
        "/openai" if asked.openai.fetch_add(1, Ordering::Relaxed) % 2 == 1 => {
            json_with(StatusCode::SERVICE_UNAVAILABLE, &json!({"error": {"message": "out of capacity"}}))
        }
        "/openai" => openai(&prompt, streams),
        "/anthropic" => anthropic(&prompt, streams),
        _ => text(StatusCode::NOT_FOUND, "the providers are /openai and /anthropic\n"),
    }
}

/// What the model says, word by word, and how many words it read.
fn words(prompt: &Value) -> (Vec<String>, usize) {
    let messages = prompt["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let said = |message: &Value| match &message["content"] {
        Value::String(text) => text.clone(),
        parts => parts.as_array().into_iter().flatten().filter_map(|p| p["text"].as_str()).collect(),
    };
    let last = messages.last().map(said).unwrap_or_default();
    let read = messages.iter().map(|m| said(m).split_whitespace().count()).sum();
    (format!("You said: {last}").split_inclusive(' ').map(str::to_owned).collect(), read)
}

fn openai(prompt: &Value, streams: bool) -> Answer {
    let (words, read) = words(prompt);
    let usage = json!({"prompt_tokens": read, "completion_tokens": words.len(), "total_tokens": read + words.len()});
    let head = |object: &str| json!({"id": "chatcmpl-demo", "object": object, "created": 0, "model": "gpt-demo"});
    if !streams {
        let mut answer = head("chat.completion");
        let message = json!({"role": "assistant", "content": words.concat()});
        answer["choices"] = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
        answer["usage"] = usage;
        return json_with(StatusCode::OK, &answer);
    }
    let chunk = |delta: Value, finish: Value| {
        let mut chunk = head("chat.completion.chunk");
        chunk["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        format!("data: {chunk}\n\n")
    };
    let mut events: String = words.iter().map(|word| chunk(json!({"content": word}), Value::Null)).collect();
    events += &chunk(json!({}), json!("stop"));
    let mut last = head("chat.completion.chunk");
    last["choices"] = json!([]);
    last["usage"] = usage;
    stream(events + &format!("data: {last}\n\ndata: [DONE]\n\n"))
}

fn anthropic(prompt: &Value, streams: bool) -> Answer {
    let (words, read) = words(prompt);
    let message = |content: Value, stop: Value, written: usize| {
        json!({"id": "msg_demo", "type": "message", "role": "assistant", "model": "claude-demo", "content": content,
            "stop_reason": stop, "stop_sequence": null, "usage": {"input_tokens": read, "output_tokens": written}})
    };
    if !streams {
        let content = json!([{"type": "text", "text": words.concat()}]);
        return json_with(StatusCode::OK, &message(content, json!("end_turn"), words.len()));
    }
    let event = |kind: &str, mut data: Value| {
        data["type"] = json!(kind);
        format!("event: {kind}\ndata: {data}\n\n")
    };
    let mut events = event("message_start", json!({"message": message(json!([]), Value::Null, 1)}));
    events += &event("content_block_start", json!({"index": 0, "content_block": {"type": "text", "text": ""}}));
    for word in &words {
        let delta = json!({"type": "text_delta", "text": word});
        events += &event("content_block_delta", json!({"index": 0, "delta": delta}));
    }
    events += &event("content_block_stop", json!({"index": 0}));
    let delta = json!({"stop_reason": "end_turn", "stop_sequence": null});
    events += &event("message_delta", json!({"delta": delta, "usage": {"output_tokens": words.len()}}));
    stream(events + &event("message_stop", json!({})))
}

fn json_with(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(whole(body.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn stream(events: String) -> Answer {
    let mut answer = Response::new(whole(events));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer
}
