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
    let streams = prompt.get("stream") == Some(&Value::Bool(true));
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
    let said = |message: &Value| match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
        _ => String::new(),
    };
    let messages = prompt.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let last = messages.last().map(said).unwrap_or_default();
    let read = messages.iter().map(|message| said(message).split_whitespace().count()).sum();
    (format!("You said: {last}").split_inclusive(' ').map(str::to_owned).collect(), read)
}

fn openai(prompt: &Value, streams: bool) -> Answer {
    let (words, read) = words(prompt);
    let usage = json!({"prompt_tokens": read, "completion_tokens": words.len(), "total_tokens": read + words.len()});
    if !streams {
        let message = json!({"role": "assistant", "content": words.concat()});
        let choices = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
        return json_with(
            StatusCode::OK,
            &json!({"id": "chatcmpl-demo", "object": "chat.completion", "created": 0, "model": "gpt-demo",
                "choices": choices, "usage": usage}),
        );
    }
    let chunk = |choices: Value, usage: &Value| {
        let chunk = json!({"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 0, "model": "gpt-demo",
            "choices": choices, "usage": usage});
        format!("data: {chunk}\n\n")
    };
    let piece = |delta: Value, finish: Value| {
        chunk(json!([{"index": 0, "delta": delta, "finish_reason": finish}]), &Value::Null)
    };
    let mut events: String = words.iter().map(|word| piece(json!({"content": word}), Value::Null)).collect();
    events += &piece(json!({}), json!("stop"));
    stream(events + &chunk(json!([]), &usage) + "data: [DONE]\n\n")
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
    let start = message(json!([]), Value::Null, 1);
    let end = json!({"stop_reason": "end_turn", "stop_sequence": null});
    let mut events = vec![
        json!({"type": "message_start", "message": start}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    ];
    let delta =
        |word| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}});
    events.extend(words.iter().map(delta));
    events.extend([
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": end, "usage": {"output_tokens": words.len()}}),
        json!({"type": "message_stop"}),
    ]);
    let named = |event: &Value| {
        let name = event.get("type").and_then(Value::as_str).unwrap_or_default();
        format!("event: {name}\ndata: {event}\n\n")
    };
    stream(events.iter().map(named).collect())
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
