//! Calls: formats on both sides, streams, failover.

use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};

use gibbon_testkit::client::Client;
use gibbon_testkit::upstream::{Connection, Upstream};
use serde_json::{Value, json};

use crate::*;

#[test]
fn an_openai_client_talks_to_anthropic() {
    let up = provider(200, "application/json", ANTHROPIC);
    let rig = gateway(&ai_proxy("openai", target("anthropic", &up, json!({"anthropic_version": "2023-06-01"}))));
    let answer = send(&rig, "/", &chat(false));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let body = answer.json().unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], "Hello");
    assert_eq!(body["usage"]["total_tokens"], 17);
    assert_eq!(answer.header("x-kong-llm-model"), Some("anthropic/m"));
    let sent = up.next_request().unwrap();
    assert_eq!((sent.target.as_str(), sent.header("x-key")), ("/up", Some("secret")));
    assert_eq!(sent.header("anthropic-version"), Some("2023-06-01"));
    let sent: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(sent["messages"], json!([{"role": "user", "content": "Hi"}]));
    assert_eq!((&sent["model"], &sent["system"]), (&json!("m"), &json!("Be brief.")));
}

#[test]
fn clients_of_every_format_talk_to_openai_and_get_their_own_answers() {
    let up = provider(200, "application/json", OPENAI);
    let cases = [
        (
            "anthropic",
            "/v1/messages",
            json!({"model": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}),
            "/content/0/text",
        ),
        (
            "gemini",
            "/v1beta/models/x:generateContent",
            json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}),
            "/candidates/0/content/parts/0/text",
        ),
        (
            "bedrock",
            "/model/x/converse",
            json!({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}),
            "/output/message/content/0/text",
        ),
    ];
    for (format, path, body, place) in cases {
        let rig = gateway(&ai_proxy(format, target("openai", &up, json!({}))));
        let answer = send(&rig, path, &body);
        let text = answer.text();
        assert_eq!(answer.status(), 200, "{format}: {text}");
        assert_eq!(answer.json().unwrap().pointer(place), Some(&json!("Hello")), "{format}: {text}");
        let sent: Value = serde_json::from_slice(&up.next_request().unwrap().body).unwrap();
        assert_eq!((&sent["model"], &sent["messages"][0]["content"]), (&json!("m"), &json!("Hi")), "{format}");
    }
}

#[test]
fn errors_of_a_provider_reach_clients_in_their_own_format() {
    let limited = r#"{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":null}}"#;
    let up = provider(429, "application/json", limited);
    let rig = gateway(&ai_proxy("anthropic", target("openai", &up, json!({}))));
    let body = json!({"model": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    let answer = send(&rig, "/v1/messages", &body);
    assert_eq!(answer.status(), 429);
    let body = answer.json().unwrap();
    assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!("rate_limit_error")));
    assert_eq!(body["error"]["message"], "slow down");
    // And of the gateway itself.
    let answer = send(&rig, "/v1/messages", &json!("no object"));
    assert_eq!(
        (answer.status(), answer.json().unwrap()["error"]["type"].clone()),
        (400, json!("invalid_request_error"))
    );
}

/// A provider whose stream goes on when the test says so.
pub fn step_by_step(steps: Receiver<String>) -> Upstream {
    let steps = Mutex::new(steps);
    Upstream::serve(move |mut c: Connection| {
        if c.read_request()?.is_none() {
            return Ok(());
        }
        c.send(STREAM_HEAD)?;
        while let Ok(step) = steps.lock().unwrap().recv_timeout(PATIENCE) {
            c.send(step)?;
        }
        Ok(())
    })
    .unwrap()
}

#[test]
fn each_token_arrives_before_the_next_is_there() {
    let (next, steps) = mpsc::channel();
    let up = step_by_step(steps);
    let rig = gateway(&ai_proxy("anthropic", target("openai", &up, json!({}))));
    let mut client = Client::connect(rig.proxy).unwrap();
    let body = json!({"model": "x", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    client.send(post("/v1/messages", &body)).unwrap();
    for token in ["one", "two", "three"] {
        next.send(chunk(&openai_event(token))).unwrap();
        let seen = client.read_until(format!("\"{token}\"").as_bytes()).unwrap();
        assert!(String::from_utf8_lossy(&seen).contains("text_delta"), "{token}");
    }
    next.send(chunk("data: [DONE]\n\n") + "0\r\n\r\n").unwrap();
    let rest = String::from_utf8(client.read_to_end().unwrap()).unwrap();
    assert!(rest.contains("message_stop"), "{rest}");
}

#[test]
fn a_client_that_leaves_takes_the_call_with_it() {
    let (gone, told) = mpsc::channel();
    let gone = Mutex::new(gone);
    let up = Upstream::serve(move |mut c: Connection| {
        c.read_request()?;
        c.send(STREAM_HEAD.to_owned() + &chunk(&openai_event("one")))?;
        // The provider says nothing more: that this ends is the gateway's doing.
        c.hold();
        gone.lock().unwrap().send(()).unwrap();
        Ok(())
    })
    .unwrap();
    let rig = gateway(&ai_proxy("openai", target("openai", &up, json!({}))));
    let mut client = Client::connect(rig.proxy).unwrap();
    client.send(post("/", &chat(true))).unwrap();
    client.read_until(b"\"one\"").unwrap();
    drop(client);
    told.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_stream_that_breaks_ends_with_an_error_in_the_clients_format() {
    let (next, steps) = mpsc::channel();
    let up = step_by_step(steps);
    let rig = gateway(&ai_proxy("openai", target("anthropic", &up, json!({"anthropic_version": "2023-06-01"}))));
    let start = json!({"type":"message_start","message":{"id":"m","type":"message","role":"assistant","content":[],"model":"c","stop_reason":null,"usage":{"input_tokens":3,"output_tokens":1}}});
    let block = json!({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}});
    let delta = json!({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"half"}});
    let event = |v: &Value| format!("event: {}\ndata: {v}\n\n", v["type"].as_str().unwrap());
    next.send(chunk(&(event(&start) + &event(&block) + &event(&delta)))).unwrap();
    drop(next);
    let answer = send(&rig, "/", &chat(true));
    let text = answer.text();
    assert!(text.contains("\"half\"") && text.contains("\"error\""), "{text}");
    assert!(!text.contains("\"finish_reason\":\"stop\""), "{text}");
}

#[test]
fn a_target_that_refuses_is_followed_by_the_next() {
    let busy = provider(429, "application/json", r#"{"error":{"message":"slow down"}}"#);
    let up = provider(200, "application/json", ANTHROPIC);
    let targets =
        [target("openai", &busy, json!({})), target("anthropic", &up, json!({"anthropic_version": "2023-06-01"}))];
    let rig =
        gateway(&advanced(&targets, json!({"failover_criteria": ["error", "timeout", "http_429", "non_idempotent"]})));
    for _ in 0..4 {
        let answer = send(&rig, "/", &chat(false));
        assert_eq!(
            (answer.status(), answer.header("x-kong-llm-model")),
            (200, Some("anthropic/m")),
            "{}",
            answer.text()
        );
    }
    // Without the criterion the refusal is the client's.
    let rig = gateway(&advanced(&targets, json!({"algorithm": "priority"})));
    let statuses: Vec<u16> = (0..4).map(|_| send(&rig, "/", &chat(false)).status()).collect();
    assert!(statuses.contains(&429) && statuses.contains(&200), "{statuses:?}");
}

#[test]
fn a_stream_fails_over_up_to_its_first_token() {
    let broken = Upstream::serve(|mut c: Connection| {
        c.read_request()?;
        c.send(STREAM_HEAD)?;
        c.send(chunk(": nothing yet\n\n"))
    })
    .unwrap();
    let (next, steps) = mpsc::channel();
    let up = step_by_step(steps);
    let mut first = target("openai", &broken, json!({}));
    first["weight"] = json!(200);
    let targets = [first, target("openai", &up, json!({}))];
    let balancer = json!({"algorithm": "priority", "failover_criteria": ["error", "non_idempotent"]});
    let rig = gateway(&advanced(&targets, balancer));
    next.send(chunk(&openai_event("one")) + &chunk("data: [DONE]\n\n") + "0\r\n\r\n").unwrap();
    let answer = send(&rig, "/", &chat(true));
    let text = answer.text();
    assert!(answer.status() == 200 && text.contains("\"one\"") && !text.contains("nothing yet"), "{text}");
    assert_eq!((broken.requests().len(), up.requests().len()), (1, 1));
}

#[test]
fn clients_choose_by_alias_and_are_told_what_is_none() {
    let (a, b) = (provider(200, "application/json", OPENAI), provider(200, "application/json", ANTHROPIC));
    let mut targets = [target("openai", &a, json!({})), target("anthropic", &b, json!({"anthropic_version": "1"}))];
    targets[0]["model"]["model_alias"] = json!("fast");
    targets[1]["model"]["model_alias"] = json!("wise");
    let rig = gateway(&advanced(&targets, json!({})));
    for (alias, shown) in [("fast", "openai/m"), ("wise", "anthropic/m"), ("fast", "openai/m")] {
        let mut body = chat(false);
        body["model"] = json!(alias);
        assert_eq!(send(&rig, "/", &body).header("x-kong-llm-model"), Some(shown));
    }
    let mut body = chat(false);
    body["model"] = json!("other");
    let answer = send(&rig, "/", &body);
    assert_eq!(
        (answer.status(), answer.json().unwrap()["error"]["message"].clone()),
        (400, json!("model 'other' is not available"))
    );
}

#[test]
fn a_target_that_failed_too_often_is_left_alone() {
    let dead = Upstream::serve(|mut c: Connection| c.read_request().map(|_| ())).unwrap();
    let up = provider(200, "application/json", OPENAI);
    let targets = [target("openai", &dead, json!({})), target("openai", &up, json!({}))];
    let balancer = json!({"failover_criteria": ["error", "non_idempotent"], "max_fails": 2, "fail_timeout": 600000});
    let rig = gateway(&advanced(&targets, balancer));
    for _ in 0..8 {
        assert_eq!(send(&rig, "/", &chat(false)).status(), 200);
    }
    assert_eq!(dead.requests().len(), 2);
}
