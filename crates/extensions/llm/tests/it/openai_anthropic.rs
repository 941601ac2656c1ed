//! OpenAI chat and Anthropic messages, to and fro: the cases that need more than a table.

use gibbon_llm::Error;
use gibbon_llm::convert::{self, StreamConverter};
use gibbon_llm::dialect::{Beside, Dialect, Leniency, Reply, Target};
use gibbon_llm::pass::Changes;
use serde_json::{Value, json};

fn to_anthropic(body: Value) -> Result<(Value, Vec<String>), Error> {
    to(Dialect::OpenAiChat, Dialect::Anthropic, body, &Target::default())
}

fn to_openai(body: Value) -> Result<(Value, Vec<String>), Error> {
    to(Dialect::Anthropic, Dialect::OpenAiChat, body, &Target::default())
}

fn to(from: Dialect, to: Dialect, body: Value, target: &Target) -> Result<(Value, Vec<String>), Error> {
    let (_, e) = convert::request(from, to, body.to_string().as_bytes(), &Beside::default(), target)?;
    Ok((serde_json::from_slice(&e.body).unwrap(), e.dropped))
}

fn stream(from: Dialect, to: Dialect, text: &str) -> String {
    let reply = Reply {
        id: "gen1".into(),
        created: 1,
        model: "asked".into(),
        include_usage: true,
        input_estimate: 9,
        array: false,
    };
    let mut c = StreamConverter::new(from, to, reply);
    let mut out = Vec::new();
    c.push(text.as_bytes(), &mut out);
    c.finish(&mut out);
    String::from_utf8(out).unwrap()
}

fn sse(events: &[Value]) -> String {
    events.iter().map(|e| format!("data: {e}\n\n")).collect()
}

/// The JSON of each event of a stream.
fn events(stream: &str) -> Vec<Value> {
    stream.lines().filter_map(|l| l.strip_prefix("data: ")).filter_map(|d| serde_json::from_str(d).ok()).collect()
}

#[test]
fn every_system_message_is_kept_and_neighbours_of_one_role_join() {
    let (body, dropped) = to_anthropic(json!({"model": "m", "messages": [
        {"role": "system", "content": "A"}, {"role": "user", "content": "1"}, {"role": "developer", "content": "B"},
        {"role": "user", "content": "2"}], "seed": 7, "user": "u"}))
    .unwrap();
    assert_eq!(body["system"], json!([{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]));
    assert_eq!(
        body["messages"],
        json!([
        {"role": "user", "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}]}])
    );
    assert_eq!(body["metadata"], json!({"user_id": "u"}));
    assert_eq!(body["max_tokens"], 4096);
    assert_eq!(dropped, ["a seed"]);
}

#[test]
fn results_of_parallel_calls_become_one_turn() {
    let (body, _) = to_anthropic(json!({"messages": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{\"x\":1}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "ra"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "rb"}]},
        {"role": "user", "content": "and?"}]}))
    .unwrap();
    assert_eq!(
        body["messages"][1]["content"],
        json!([
        {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {"x": 1}}])
    );
    assert_eq!(
        body["messages"][2],
        json!({"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "a", "content": "ra"},
        {"type": "tool_result", "tool_use_id": "b", "content": "rb"},
        {"type": "text", "text": "and?"}]})
    );
}

#[test]
fn what_anthropic_cannot_say_is_refused_by_name_unless_leniency_allows() {
    for (field, value, what) in [
        ("n", json!(2), "several alternative answers"),
        ("logprobs", json!(true), "log probabilities"),
        ("frequency_penalty", json!(0.5), "frequency and presence penalties"),
        ("logit_bias", json!({"5": 1}), "a logit bias"),
        ("response_format", json!({"type": "json_object"}), "a JSON answer without a schema"),
        ("modalities", json!(["text", "audio"]), "audio in the answer"),
        ("nope", json!(1), "the field `nope`"),
    ] {
        let mut body = json!({"messages": [{"role": "user", "content": "q"}]});
        body[field] = value;
        let err = to_anthropic(body.clone()).unwrap_err();
        assert_eq!(err.to_string(), format!("Anthropic messages cannot express {what}"));
        let lenient = Target { leniency: Leniency::Lenient, ..Target::default() };
        let (_, dropped) = to(Dialect::OpenAiChat, Dialect::Anthropic, body, &lenient).unwrap();
        assert_eq!(dropped, [what]);
    }
    let strict = Target { leniency: Leniency::Strict, ..Target::default() };
    let body = json!({"messages": [{"role": "user", "content": "q"}], "seed": 1});
    assert!(to(Dialect::OpenAiChat, Dialect::Anthropic, body, &strict).is_err());
}

#[test]
fn neutral_values_are_no_reason_to_refuse() {
    let (_, dropped) = to_anthropic(json!({"messages": [{"role": "user", "content": "q"}], "n": 1,
        "frequency_penalty": 0, "presence_penalty": 0.0, "logprobs": false, "logit_bias": {}, "seed": null}))
    .unwrap();
    assert!(dropped.is_empty());
}

#[test]
fn effort_becomes_a_budget_or_a_word_as_the_model_has_it() {
    let ask = |model: &str, more: Value| {
        let mut body =
            json!({"model": model, "messages": [{"role": "user", "content": "q"}], "reasoning_effort": "high"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        to_anthropic(body).unwrap()
    };
    let (body, _) = ask("claude-sonnet-4-5", json!({}));
    assert_eq!(body["thinking"], json!({"type": "enabled", "budget_tokens": 4096}));
    assert_eq!(body["max_tokens"], 8192);
    let (body, _) = ask("claude-opus-4-6", json!({}));
    assert_eq!(body["thinking"], json!({"type": "adaptive"}));
    assert_eq!(body["output_config"], json!({"effort": "high"}));
    let (body, dropped) = ask("claude-sonnet-4-5", json!({"max_tokens": 500}));
    assert_eq!(body.get("thinking"), None);
    assert_eq!(dropped, ["reasoning within so few tokens"]);
    let tool = json!([{"type": "function", "function": {"name": "f"}}]);
    let (body, dropped) = ask("claude-sonnet-4-5", json!({"tools": tool, "tool_choice": "required"}));
    assert_eq!(body.get("thinking"), None);
    assert_eq!(dropped, ["reasoning together with a forced tool"]);
}

#[test]
fn signed_thoughts_go_to_an_openai_client_and_come_back() {
    let answer = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [
        {"type": "thinking", "thinking": "hm", "signature": "SIG"}, {"type": "redacted_thinking", "data": "XX"},
        {"type": "text", "text": "42"}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 5, "output_tokens": 6}});
    let reply = Reply { created: 7, ..Reply::default() };
    let (_, e) =
        convert::response(Dialect::Anthropic, Dialect::OpenAiChat, answer.to_string().as_bytes(), &reply).unwrap();
    let body: Value = serde_json::from_slice(&e.body).unwrap();
    let message = &body["choices"][0]["message"];
    assert_eq!(message["content"], "42");
    assert_eq!(message["reasoning_content"], "hm");
    assert_eq!(
        body["usage"],
        json!({"prompt_tokens": 12, "completion_tokens": 6, "total_tokens": 18,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5}})
    );
    assert_eq!(body["created"], 7);
    let (request, dropped) = to_anthropic(json!({"messages": [
        {"role": "user", "content": "q"}, message, {"role": "user", "content": "more"}]}))
    .unwrap();
    assert_eq!(request["messages"][1]["content"], answer["content"]);
    assert!(dropped.is_empty());
}

#[test]
fn a_claude_client_reaches_an_openai_model() {
    let (body, dropped) = to_openai(json!({"model": "gpt-5", "max_tokens": 100, "stream": true,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image", "source":
                {"type": "base64", "media_type": "image/png", "data": "AA"}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "is_error": true, "content":
                [{"type": "text", "text": "no"}]}, {"type": "text", "text": "hm"}]}],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true}, "metadata": {"user_id": "u"},
        "thinking": {"type": "enabled", "budget_tokens": 2048}, "stop_sequences": ["END"], "top_k": 5}))
    .unwrap();
    assert_eq!(
        body,
        json!({
        "model": "gpt-5",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": [{"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]},
            {"role": "assistant", "content": null, "reasoning_content": "t",
                "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}],
                "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
            {"role": "tool", "tool_call_id": "t1", "content": "no"},
            {"role": "user", "content": "hm"}],
        "max_completion_tokens": 100, "top_k": 5, "stop": ["END"],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
        "tool_choice": "required", "parallel_tool_calls": false, "reasoning_effort": "medium",
        "stream": true, "stream_options": {"include_usage": true}, "user": "u"})
    );
    assert_eq!(dropped, ["a cache marker", "the error flag of a tool result"]);
}

#[test]
fn a_server_tool_of_one_provider_is_refused_for_another() {
    let err = to_openai(json!({"messages": [{"role": "user", "content": "q"}], "max_tokens": 5,
        "tools": [{"type": "web_search_20250305", "name": "web_search"}]}))
    .unwrap_err();
    assert_eq!(err.to_string(), "OpenAI chat completions cannot express the built-in tool `web_search_20250305`");
}

fn chunk(delta: Value, finish: Value) -> Value {
    json!({"id": "c1", "object": "chat.completion.chunk", "created": 5, "model": "gpt", "choices":
        [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

#[test]
fn interleaved_parallel_calls_come_to_a_claude_client_one_after_the_other() {
    let call = |i: u64, more: Value| {
        let mut c = json!({"index": i});
        c.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        chunk(json!({"tool_calls": [c]}), Value::Null)
    };
    let text = sse(&[
        chunk(json!({"role": "assistant", "content": ""}), Value::Null),
        chunk(json!({"content": "Let me see"}), Value::Null),
        call(0, json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}})),
        call(1, json!({"id": "b", "type": "function", "function": {"name": "g", "arguments": "{\"y\""}})),
        call(0, json!({"function": {"arguments": "{\"x\":1}"}})),
        call(1, json!({"function": {"arguments": ":2}"}})),
        chunk(json!({}), json!("tool_calls")),
        json!({"id": "c1", "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 6, "total_tokens": 17}}),
    ]) + "data: [DONE]\n\n";
    let got = events(&stream(Dialect::OpenAiChat, Dialect::Anthropic, &text));
    let kinds: Vec<String> = got
        .iter()
        .map(|e| {
            format!("{}{}", e["type"].as_str().unwrap(), e.get("index").map_or(String::new(), |i| format!(" {i}")))
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start 0",
            "content_block_delta 0",
            "content_block_stop 0",
            "content_block_start 1",
            "content_block_delta 1",
            "content_block_stop 1",
            "content_block_start 2",
            "content_block_delta 2",
            "content_block_delta 2",
            "content_block_stop 2",
            "message_delta",
            "message_stop",
        ]
    );
    assert_eq!(got[0]["message"]["usage"], json!({"input_tokens": 9, "output_tokens": 0}));
    assert_eq!(got[5]["delta"], json!({"type": "input_json_delta", "partial_json": "{\"x\":1}"}));
    assert_eq!(got[11]["delta"]["stop_reason"], "tool_use");
    assert_eq!(got[11]["usage"], json!({"input_tokens": 11, "output_tokens": 6}));
}

#[test]
fn a_provider_failing_in_mid_stream_ends_the_stream_without_a_false_end() {
    let text = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n\
        event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    let out = stream(Dialect::Anthropic, Dialect::OpenAiChat, text);
    let got = events(&out);
    assert_eq!(
        got.last().unwrap()["error"],
        json!({"message": "Overloaded", "type": "overloaded_error", "param": null, "code": null})
    );
    assert!(!out.contains("[DONE]"));
}

#[test]
fn a_stream_that_breaks_off_is_an_error_in_the_clients_format() {
    let text = sse(&[chunk(json!({"content": "half"}), Value::Null)]);
    let got = events(&stream(Dialect::OpenAiChat, Dialect::Anthropic, &text));
    assert_eq!(got.last().unwrap()["type"], "error");
    let got = events(&stream(Dialect::OpenAiChat, Dialect::Anthropic, "data: {broken\n\n"));
    assert_eq!(got.last().unwrap()["error"]["type"], "api_error");
}

#[test]
fn oddities_of_compatible_servers_are_read() {
    // No [DONE]; `usage: null`; two finish chunks; a comment; `choices: null`; an empty event.
    let text = ": OPENROUTER PROCESSING\n\n".to_owned()
        + &sse(&[
            json!({"id": "c1", "model": "", "choices": [], "prompt_filter_results": []}),
            json!({"id": "c1", "model": "gpt", "choices": null, "usage": null}),
            chunk(json!({"content": null, "reasoning": "hm"}), Value::Null),
            chunk(json!({"content": "ok"}), Value::Null),
            chunk(json!({}), json!("stop")),
            chunk(json!({"content": ""}), json!("stop")),
            json!({"choices": [], "x_groq": {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}}),
        ])
        + "data:\n\n";
    let got = events(&stream(Dialect::OpenAiChat, Dialect::Anthropic, &text));
    assert_eq!(got[1]["content_block"]["type"], "thinking");
    assert_eq!(got.iter().filter(|e| e["type"] == "message_delta").count(), 1);
    assert_eq!(got.last().unwrap()["type"], "message_stop");
}

#[test]
fn calls_told_apart_by_id_alone_are_two_calls() {
    let call = |id: &str| {
        chunk(
            json!({"tool_calls": [{"index": 0, "id": id, "function": {"name": "f", "arguments": "{}"}}]}),
            Value::Null,
        )
    };
    let text = sse(&[call("a"), call("b"), chunk(json!({}), json!("stop"))]);
    let got = events(&stream(Dialect::OpenAiChat, Dialect::Anthropic, &text));
    let ids: Vec<&str> = got.iter().filter_map(|e| e["content_block"]["id"].as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert!(got.iter().any(|e| e["delta"]["stop_reason"] == "tool_use"));
}

#[test]
fn errors_are_told_in_the_clients_words() {
    let upstream = br#"{"error":{"message":"slow down","type":"rate_limit_exceeded","code":"rate_limit_exceeded"}}"#;
    let (failure, body) = convert::failure(Dialect::OpenAiChat, Dialect::Anthropic, 429, upstream);
    assert_eq!(failure.status, 429);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body, json!({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}));
    let (_, body) = convert::failure(Dialect::Anthropic, Dialect::OpenAiChat, 529, b"<html>");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["type"], "overloaded_error");
}

#[test]
fn a_request_passes_through_unless_it_carries_another_providers_signature() {
    let anthropic = Dialect::Anthropic;
    let prepare = |signature: &str| {
        let body = format!(
            r#"{{ "model":"mine","max_tokens":5,"messages":[{{"role":"user","content":"q"}},{{"role":"assistant","content":[{{"type":"thinking","thinking":"t","signature":"{signature}"}},{{"type":"text","text":"a"}}]}},{{"role":"user","content":"q"}}]}}"#
        );
        let changes = Changes { model: Some("theirs"), ..Changes::default() };
        convert::prepare(anthropic, anthropic, body.as_bytes(), &Beside::default(), &Target::default(), &changes)
            .unwrap()
    };
    let own = prepare("SIG");
    let text = String::from_utf8(own.encoded.body).unwrap();
    assert!(own.passed && text.contains("SIG") && text.starts_with(r#"{"model":"theirs","max_tokens":5"#));
    let other = prepare("gibbonGESIG");
    let body: Value = serde_json::from_slice(&other.encoded.body).unwrap();
    assert_eq!(body["messages"][1]["content"], json!([{"type": "text", "text": "a"}]));
    assert_eq!(other.encoded.dropped, ["reasoning without a signature"]);
    let back = prepare("gibbonANSIG");
    let body: Value = serde_json::from_slice(&back.encoded.body).unwrap();
    assert_eq!(body["messages"][1]["content"][0]["signature"], "SIG");
}

#[test]
fn failures_of_bedrock_name_their_type_in_a_header() {
    let failure = gibbon_llm::canonical::Failure::new(429, "slow");
    let headers = Dialect::Bedrock.codec().failure_headers(&failure);
    assert_eq!(headers, [("x-amzn-errortype", "ThrottlingException".to_owned())]);
}
